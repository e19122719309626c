"""Find the backups whose data lies in a repository"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_backups_data", "backups", ["repository_id", "data_id"])
