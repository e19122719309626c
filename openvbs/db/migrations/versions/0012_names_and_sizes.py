"""Find pieces of names, and backups by size, by indexes alone"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_LIVE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    # SQLite cannot add a column that is stored; it computes this one when it is read.
    folded = sa.Computed("lower(name)", persisted=not is_sqlite)
    op.add_column("backups", sa.Column("folded_name", sa.Text(), folded))
    op.drop_index("ix_backups_name", "backups")
    op.create_index(
        "ix_backups_name",
        "backups",
        ["project_id", "name", "id"],
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
        postgresql_include=["folded_name"],
    )
    op.create_index(
        "ix_backups_size",
        "backups",
        ["project_id", "size_gib", "name", "id"],
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    if not is_sqlite:
        op.execute("ANALYZE backups")
