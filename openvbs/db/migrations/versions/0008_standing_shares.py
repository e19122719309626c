"""Let a policy share the backups that it makes"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("policies", schema=None) as batch_op:
        batch_op.add_column(sa.Column("share_with", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("policies", schema=None) as batch_op:
        batch_op.alter_column("share_with", existing_type=sa.JSON(), existing_nullable=False, server_default=None)
