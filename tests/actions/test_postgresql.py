"""What only PostgreSQL needs of us."""

import psycopg
import pytest
import sqlalchemy as sa

from openvbs.db import session
from openvbs.db.session import Database
from tests.support.postgres import PostgresServer, give_back

pytestmark = pytest.mark.heavy


def test_a_connection_that_the_server_closed_while_it_was_idle_fails_nobody(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PING_AFTER_SECONDS", 0)
    url = postgres.create_database()
    database = Database(url)
    with database.read() as connection, database.read() as other:
        lost = [each.scalar(sa.text("SELECT pg_backend_pid()")) for each in (connection, other)]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as operator:
        for pid in lost:
            # With a timeout it returns when the backend has gone.
            assert operator.execute("SELECT pg_terminate_backend(%s, 60000)", [pid]).fetchone() == (True,)
    for open_one in (database.read, database.write):
        with open_one() as connection:
            assert connection.scalar(sa.text("SELECT pg_backend_pid()")) not in lost
    database.close()
    give_back(url)


def test_readers_leave_no_transaction_open_and_statements_are_planned_for_their_values(
    postgres: PostgresServer,
) -> None:
    url = postgres.create_database()
    database = Database(url)
    with database.read() as connection:
        assert connection.scalar(sa.text("SHOW plan_cache_mode")) == "force_custom_plan"
        state = sa.text("SELECT xact_start = statement_timestamp() FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        connection.execute(sa.text("SELECT 1"))
        assert connection.scalar(state), "the transaction began with this very statement"
    with database.write() as connection:
        assert connection.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
        connection.execute(sa.text("SELECT 1"))
        assert not connection.scalar(state), "writers keep one transaction"
    database.close()
    give_back(url)
