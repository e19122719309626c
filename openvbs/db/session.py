"""Connections and transactions, alike on SQLite and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from openvbs.clock import monotonic_seconds
from openvbs.errors import Unavailable

BUSY_TIMEOUT_SECONDS = 30
POOL_CONNECTIONS_MAX = 20
PING_AFTER_SECONDS = 1.0
"""A connection that has been idle for longer is tried before it is used."""


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, is full or locked for too long. Nothing of the transaction was kept."""


class Database:
    """One database. Each statement sees one consistent moment; writers on SQLite take the write lock at once.

    A writer that first read under a shared lock and then asked for the write lock would fail at once when another
    came between; BEGIN IMMEDIATE makes it wait its turn instead, up to BUSY_TIMEOUT_SECONDS.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url)
        # PostgreSQL's default isolation gives each statement its own moment anyway, so BEGIN and ROLLBACK would only
        # cost a reader two more ways to the server and back.
        self._readers = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection to read with. Raises DatabaseUnavailable."""
        with _errors_named(), self._readers.connect() as connection:
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
        # The connection that was used last is the least likely to have been closed by the other side.
        engine = sa.create_engine(
            url, pool_size=POOL_CONNECTIONS_MAX, pool_use_lifo=True, json_deserializer=msgspec.json.decode
        )
        _ping_after_idleness(engine)
        _plan_each_time(engine)
        return engine
    engine = sa.create_engine(
        url,
        pool_size=POOL_CONNECTIONS_MAX,
        json_deserializer=msgspec.json.decode,
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


def _ping_after_idleness(engine: sa.Engine) -> None:
    """Look whether a connection still lives before it is used, if it was not used lately.

    SQLAlchemy's own pool_pre_ping asks the server each time, which takes as long as most of our statements.
    """

    @sa.event.listens_for(engine, "checkin")
    def _note(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = monotonic_seconds()

    @sa.event.listens_for(engine, "checkout")
    def _ping(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        now = monotonic_seconds()
        if now - record.info.get("used_at", now) > PING_AFTER_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise sa.exc.DisconnectionError from error  # the pool then takes another one


def _plan_each_time(engine: sa.Engine) -> None:
    """Let PostgreSQL plan a prepared statement for the values at hand.

    After a few uses it would keep one plan for all, and projects of five backups and of fifty thousand need two. Nor
    does it start helpers for one statement: that takes longer than any statement of ours does without.
    """

    @sa.event.listens_for(engine, "connect")
    def _set(connection: Any, _record: object) -> None:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        connection.execute("SET max_parallel_workers_per_gather = 0")
        connection.commit()


def lock(connection: sa.Connection, query: sa.Select[Any]) -> sa.Select[Any]:
    """The query with its rows locked until the commit. SQLite's writers are alone already."""
    return query if connection.dialect.name == "sqlite" else query.with_for_update()


def lock_name(connection: sa.Connection, name: str) -> None:
    """Make everybody else who locks this name wait until our commit: for rules about rows that are not there yet."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))))
