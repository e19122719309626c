"""The migrations make exactly the tables that the code describes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event

from openvbs.db import jobs, migrate
from openvbs.db.session import Database, DatabaseUnavailable
from openvbs.db.tables import metadata


def test_migrations_and_tables_agree(new_database_url: Callable[[], str]) -> None:
    url = new_database_url()
    migrate.upgrade(url)
    migrate.upgrade(url)
    database = Database(url)
    try:
        with database.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            assert migrate.is_current(connection)
    finally:
        database.close()


@pytest.mark.parametrize("ask", [jobs.list_open, jobs.count_open, jobs.cancelled_while_waiting])
def test_what_workers_ask_each_second_reads_open_jobs_alone(
    ask: Callable[[sa.Connection], object], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/openvbs.db"  # whose planner takes a partial index only for its very condition
    migrate.upgrade(url)
    database = Database(url)
    asked: list[tuple[str, Any]] = []
    try:
        with database.read() as connection:
            event.listen(connection, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
            ask(connection)
            statement, parameters = asked[-1]
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    finally:
        database.close()
    (access,) = [row.detail for row in plan if "jobs" in row.detail]
    assert access == "SCAN jobs USING INDEX ix_jobs_open"


def test_an_unreachable_database_is_named_as_such() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable), database.read():
        pass
