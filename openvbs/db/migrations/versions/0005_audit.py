"""Let audit events be written once per key, found by share, owed to a notification and forgotten by age"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _partial(name: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, "audit_events", columns, unique=unique, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("once", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("is_owed", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.alter_column("is_owed", existing_type=sa.Boolean(), existing_nullable=False, server_default=None)
    op.create_index("ix_audit_events_at", "audit_events", ["at"])
    _partial("ix_audit_events_share", ["share_id"], "share_id IS NOT NULL")
    _partial("ix_audit_events_owed", ["at"], "is_owed")
    _partial("uq_audit_events_once", ["once"], "once IS NOT NULL", unique=True)
