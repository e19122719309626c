"""Find pieces of names, and backups by size, by indexes alone"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_backups_name": ["project_id", "name", "id"],
    "ix_backups_size": ["project_id", "size_gib", "name", "id"],
}
_LIVE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    op.drop_index("ix_backups_name", "backups")
    for name, columns in _INDEXES.items():
        op.create_index(name, "backups", columns, sqlite_where=_LIVE, postgresql_where=_LIVE)
    dialect = op.get_bind().dialect
    if dialect.name == "sqlite" or (dialect.server_version_info or (0,)) < (14,):
        return
    # From these PostgreSQL tells a piece that all names have from one that few have: the one is found soonest by
    # walking the list, the other by the index of names.
    op.execute("CREATE STATISTICS backups_lower_name ON lower(name) FROM backups")
    op.execute("ANALYZE backups")
