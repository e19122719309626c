"""How much lies in the projects' repositories: measured by collections, and what backups added since."""

from datetime import datetime

import sqlalchemy as sa

from openvbs.db.session import lock_name
from openvbs.db.tables import repositories


def add_bytes(connection: sa.Connection, repository_id: str, stored_bytes: int, *, now: datetime) -> None:
    """Count what a backup has added. Counted again by a measurement that saw it already, until the next one."""
    _set(connection, repository_id, now, added_bytes=repositories.c.added_bytes + stored_bytes)


def added_bytes(connection: sa.Connection, repository_id: str) -> int:
    """What was added since the last measurement; to be asked before a new one begins."""
    added = connection.scalar(sa.select(repositories.c.added_bytes).where(repositories.c.id == repository_id))
    return int(added or 0)


def put_measured(
    connection: sa.Connection, repository_id: str, measured_bytes: int, *, added_before: int, now: datetime
) -> None:
    """Keep a measurement, before which ``added_before`` was counted as added."""
    _set(
        connection,
        repository_id,
        now,
        measured_bytes=measured_bytes,
        added_bytes=repositories.c.added_bytes - added_before,
        measured_at=now,
    )


def _set(connection: sa.Connection, repository_id: str, now: datetime, **values: object) -> None:
    lock_name(connection, f"repository {repository_id}")
    mine = repositories.c.id == repository_id
    if connection.scalar(sa.select(repositories.c.id).where(mine)) is None:
        first = {"id": repository_id, "measured_bytes": 0, "added_bytes": 0, "measured_at": now}
        connection.execute(repositories.insert().values(first))
    connection.execute(repositories.update().where(mine).values(values))
