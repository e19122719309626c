"""Note what the store was told of backups' records, and let shares that a rescue found wait to be accepted"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OWED = sa.text("version <> stored_version")
_SUSPENDED = sa.text("suspended_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "store_records",
        sa.Column("backup_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("stored_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("backup_id", name=op.f("pk_store_records")),
    )
    op.create_index("ix_store_records_owed", "store_records", ["version"], sqlite_where=_OWED, postgresql_where=_OWED)
    with op.batch_alter_table("shares", schema=None) as batch_op:
        batch_op.add_column(sa.Column("suspended_at", sa.DateTime(), nullable=True))
    op.create_index(
        "ix_shares_suspended", "shares", ["backup_id"], sqlite_where=_SUSPENDED, postgresql_where=_SUSPENDED
    )
    # The store has not been told of anything yet.
    op.execute(
        "INSERT INTO store_records (backup_id, version, stored_version) "
        "SELECT id, 1, 0 FROM backups WHERE purged_at IS NULL"
    )
