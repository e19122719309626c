"""Find what is live by indexes of what is live alone, and backups by name and status"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BACKUPS = {
    "ix_backups_page": ["project_id", "created_at", "id"],
    "ix_backups_name": ["project_id", "name"],
    "ix_backups_status": ["project_id", "status", "created_at", "id"],
}
_SHARES = {
    "ix_shares_from": ["from_project_id", "created_at", "id", "expires_at"],
    "ix_shares_to": ["to_project_id", "created_at", "id", "expires_at"],
}


def upgrade() -> None:
    op.drop_index("ix_backups_page", "backups")
    op.drop_index("ix_shares_from", "shares")
    op.drop_index("ix_shares_to", "shares")
    op.drop_index("ix_jobs_open", "jobs")
    for table, indexes, condition in (
        ("backups", _BACKUPS, "deleted_at IS NULL"),
        ("shares", _SHARES, "cancelled_at IS NULL"),
        ("jobs", {"ix_jobs_open": ["backup_id"]}, "status IN ('INIT', 'RUNNING')"),
    ):
        where = sa.text(condition)
        for name, columns in indexes.items():
            op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
