"""Say which backup a job copies, whose data is not to go before the job has ended"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COPYING = sa.text("source_backup_id IS NOT NULL")


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source_backup_id", sa.String(length=36), nullable=True))
    op.create_index("ix_jobs_source", "jobs", ["source_backup_id"], sqlite_where=_COPYING, postgresql_where=_COPYING)
