"""The migrations make exactly the tables that the code describes."""

from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from openvbs.db import migrate
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


def test_an_unreachable_database_is_named_as_such() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable), database.read():
        pass
