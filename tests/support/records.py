"""A running service's records, for states that no request can bring about, and its worker, to be held still."""

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.support.waiting import until

_ANYBODY_AT_WORK = """
    SELECT count(*) FROM pg_stat_activity AS other
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND (
        state = 'active'
        OR EXISTS (
            SELECT 1 FROM pg_locks AS lock
            WHERE lock.pid = other.pid AND locktype = 'relation' AND mode <> 'AccessShareLock'
        )
    )
"""


class Records:
    """The service's database, used beside it."""

    def __init__(self, url: str) -> None:
        arguments = {"timeout": 60} if url.startswith("sqlite") else {}
        self._engine = sa.create_engine(url, connect_args=arguments)

    def execute(self, statement: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def scalar(self, statement: str, **values: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.scalar(sa.text(statement), values)

    def nobody_writes(self) -> bool:
        """True when no transaction of another process is open that could make writers wait."""
        if self._engine.dialect.name == "postgresql":
            # One may wait in a transaction for long, as the leader of a queue does, as long as it locked nothing.
            return self.scalar(_ANYBODY_AT_WORK) == 0
        with contextlib.closing(sqlite3.connect(self._engine.url.database or "", timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def close(self) -> None:
        self._engine.dispose()


def _stands_still(process_id: int) -> bool:
    """True when the kernel has stopped each thread of the process."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{process_id}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):  # one of them has just ended
        return False
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


@contextlib.contextmanager
def stopped(process_id: int, records: Records) -> Iterator[None]:
    """Hold a process still (SIGSTOP), but never in the middle of a transaction of its own."""

    def stop_between_transactions() -> bool:
        os.kill(process_id, signal.SIGSTOP)
        # The signal is on its way when kill returns: until every thread stands still, one may begin a transaction.
        until(lambda: _stands_still(process_id), what=f"process {process_id} stands still")
        if records.nobody_writes():
            return True
        os.kill(process_id, signal.SIGCONT)
        return False

    until(stop_between_transactions, what=f"process {process_id} outside of a transaction")
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)
