"""Worker heartbeats: who is alive, so that another can take over a dead one's jobs."""

from datetime import datetime

import sqlalchemy as sa

from openvbs.db.tables import workers


def beat(
    connection: sa.Connection, worker_id: str, *, host: str, pid: int, started_at: datetime, now: datetime
) -> None:
    """Note that the worker is alive."""
    values = {"host": host, "pid": pid, "started_at": started_at, "heartbeat_at": now}
    if connection.execute(workers.update().where(workers.c.id == worker_id).values(values)).rowcount == 0:
        connection.execute(workers.insert().values(id=worker_id, **values))


def list_all(connection: sa.Connection) -> list[tuple[str, datetime]]:
    """(worker id, last heartbeat) of every worker ever seen and not removed."""
    return [(row.id, row.heartbeat_at) for row in connection.execute(sa.select(workers.c.id, workers.c.heartbeat_at))]


def remove(connection: sa.Connection, worker_id: str) -> None:
    connection.execute(workers.delete().where(workers.c.id == worker_id))
