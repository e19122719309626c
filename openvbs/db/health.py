"""What an operator wants to know of a database before trusting it."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from openvbs.db import jobs, migrate, workers
from openvbs.db.session import Database


class _Undo(Exception):
    """Takes a trial write back."""


@dataclass(frozen=True, slots=True)
class Health:
    """The answers of one look."""

    is_current: bool
    """The schema is that of this release."""
    now: datetime
    """The database server's clock."""
    last_heartbeat_at: datetime | None
    """When a worker was last alive; None when none ever was, or when the schema is not current."""
    failed_checks: dict[str, str]
    """Of every project whose repository's last check failed, why."""


def look(database: Database) -> Health:
    """Read, and write without keeping it. Raises DatabaseUnavailable when either fails."""
    with database.read() as connection:
        is_current = migrate.is_current(connection)
        now = _now(connection)
        beats = [at for _, at in workers.list_all(connection)] if is_current else []
        failed = jobs.failed_checks(connection) if is_current else {}
    if is_current:
        with suppress(_Undo), database.write() as connection:
            workers.beat(connection, "doctor", host="doctor", pid=0, started_at=now, now=now)
            raise _Undo
    return Health(is_current, now, max(beats, default=None), failed)


def _now(connection: sa.Connection) -> datetime:
    if connection.dialect.name == "sqlite":
        text = connection.scalar(sa.text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')"))
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    moment: datetime = connection.scalars(sa.select(sa.func.clock_timestamp(type_=sa.DateTime(timezone=True)))).one()
    return moment.astimezone(UTC)
