"""Let a share end by itself at a time that its owner set"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_EXPIRING = sa.text("cancelled_at IS NULL AND expires_at IS NOT NULL")


def upgrade() -> None:
    with op.batch_alter_table("shares", schema=None) as batch_op:
        batch_op.add_column(sa.Column("expires_at", sa.DateTime(), nullable=True))
    op.create_index("ix_shares_expiring", "shares", ["expires_at"], sqlite_where=_EXPIRING, postgresql_where=_EXPIRING)
