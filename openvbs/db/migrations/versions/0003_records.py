"""Say under which id a backup's data lies, and which reference keeps it for an imported record"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CREATING = "status = 'creating' AND deleted_at IS NULL AND volume_id <> '00000000-0000-0000-0000-000000000000'"


def upgrade() -> None:
    op.drop_index("uq_backups_creating", table_name="backups")
    with op.batch_alter_table("backups", schema=None) as batch_op:
        batch_op.add_column(sa.Column("data_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("reference_id", sa.String(length=36), nullable=True))
    op.execute("UPDATE backups SET data_id = id")
    with op.batch_alter_table("backups", schema=None) as batch_op:
        batch_op.alter_column("data_id", existing_type=sa.String(length=36), nullable=False)
    op.create_index(
        "uq_backups_creating",
        "backups",
        ["volume_id"],
        unique=True,
        sqlite_where=sa.text(_CREATING),
        postgresql_where=sa.text(_CREATING),
    )
