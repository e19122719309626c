"""Connections and transactions, alike on SQLite and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from openvbs.errors import Unavailable

BUSY_TIMEOUT_SECONDS = 30
POOL_CONNECTIONS_MAX = 20


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, is full or locked for too long. Nothing of the transaction was kept."""


class Database:
    """One database. Readers see one consistent moment; writers on SQLite take the write lock at once.

    A writer that first read under a shared lock and then asked for the write lock would fail at once when another
    came between; BEGIN IMMEDIATE makes it wait its turn instead, up to BUSY_TIMEOUT_SECONDS.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection in a read transaction. Raises DatabaseUnavailable."""
        with _errors_named(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A connection in a write transaction: committed at the end, rolled back by any exception."""
        with _errors_named(), self.engine.connect() as plain:
            connection = plain.execution_options(openvbs_writes=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _errors_named() -> Iterator[None]:
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        raise DatabaseUnavailable(
            f"The database did not do its work: {error.orig if isinstance(error, sa.exc.DBAPIError) else error}"
        ) from error


def create_engine(url: str, *, always_immediate: bool = False) -> sa.Engine:
    """An engine with our settings. With always_immediate every SQLite transaction takes the write lock at its start."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_size=POOL_CONNECTIONS_MAX, pool_pre_ping=True)
    engine = sa.create_engine(
        url,
        pool_size=POOL_CONNECTIONS_MAX,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _set_pragmas(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # WAL's NORMAL may lose commits when the power fails
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = always_immediate or connection.get_execution_options().get("openvbs_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def lock(connection: sa.Connection, query: sa.Select[Any]) -> sa.Select[Any]:
    """The query with its rows locked until the commit. SQLite's writers are alone already."""
    return query if connection.dialect.name == "sqlite" else query.with_for_update()


def lock_name(connection: sa.Connection, name: str) -> None:
    """Make everybody else who locks this name wait until our commit: for rules about rows that are not there yet."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))))
