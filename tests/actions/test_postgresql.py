"""What only PostgreSQL needs of us."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa

from openvbs.actions import backups, copies, restores, shares, volumes
from openvbs.actions.backup_records import force_delete_backup
from openvbs.actions.service import Service
from openvbs.actions.share_ends import end_shares
from openvbs.db import backups as backup_rows
from openvbs.db import jobs, session
from openvbs.db.session import Database
from openvbs.domain import errors
from openvbs.domain.backup import NewRestore
from openvbs.domain.job import MAKE_BACKUP, JobKind
from openvbs.domain.volume import NewVolume
from tests.support.actions import add_backup, caller, made_service
from tests.support.postgres import PostgresServer, give_back
from tests.support.waiting import until

pytestmark = pytest.mark.heavy

ALPHA, GAMMA = caller("alpha"), caller("gamma")
WRITES: dict[str, Callable[[Service, str], object]] = {
    "restore": lambda service, backup: restores.restore_backup(service, GAMMA, backup, NewRestore()),
    "make a volume": lambda service, backup: volumes.create_volume(
        service, GAMMA, NewVolume(size_gib=None, backup_id=backup)
    ),
    "copy": lambda service, backup: copies.copy_backup(service, GAMMA, backup),
    "share": lambda service, backup: shares.share_backup(service, GAMMA, backup, ["delta"]),
    "cancel": lambda service, backup: shares.cancel_shares_of_backup(service, GAMMA, backup),
    "update": lambda service, backup: backups.update_backup(service, GAMMA, backup, name="mine"),
    "delete": lambda service, backup: backups.delete_backup(service, GAMMA, backup),
}


@pytest.fixture
def service(postgres: PostgresServer) -> Iterator[Service]:
    with made_service(postgres.create_database()) as made:
        yield made


@pytest.mark.parametrize("write", WRITES)
def test_a_stranger_does_not_wait_for_who_works_on_a_backup(service: Service, write: str) -> None:
    """An answer that takes longer would tell that there is such a backup."""
    backup_id = add_backup(service, "alpha")
    with ThreadPoolExecutor(1) as pool, service.database.write() as connection:
        assert backup_rows.lock_row(connection, backup_id)
        refused = pool.submit(WRITES[write], service, backup_id)
        assert isinstance(refused.exception(timeout=20), errors.BackupNotFound)


def test_a_recipient_waits_for_the_cancel_of_its_share_and_is_then_refused(service: Service) -> None:
    backup_id = add_backup(service, "alpha")
    shares.share_backup(service, ALPHA, backup_id, ["gamma"])
    with ThreadPoolExecutor(1) as pool:
        with service.database.write() as connection:
            assert backup_rows.lock_row(connection, backup_id)
            restoring = pool.submit(WRITES["restore"], service, backup_id)
            until(lambda: waiters(service), what="the recipient waits for the lock")
            end_shares(service, connection, ALPHA, backup_id)
        assert isinstance(restoring.exception(), errors.RestoreBackupNotFound)


def test_deleting_by_force_what_is_just_done_locks_nobody_out(service: Service) -> None:
    """The job locks its own row and then its backup's, as when it publishes."""
    backup_id = add_backup(service, "alpha", status="creating")
    with ThreadPoolExecutor(1) as pool:
        with service.database.write() as connection:
            job = jobs.open_of_backup(connection, backup_id, MAKE_BACKUP, for_update=True)
            assert job is not None
            deleting = pool.submit(force_delete_backup, service, caller("alpha", role="admin"), backup_id)
            until(lambda: waiters(service), what="the delete waits for the job")
            assert jobs.update_open(connection, job.id, attempt=None, status="SUCCESS", end_time=service.clock())
            assert backup_rows.update(connection, backup_id, now=service.clock(), status="available")
        assert deleting.result().kind == JobKind.DELETE_BACKUP
    with service.database.read() as connection:
        assert backup_rows.stored_status(connection, backup_id) == "deleting"
        done = jobs.find(connection, job.id, project_id=None)
    assert done is not None
    assert done.cancel_requested_by is None, "there was nothing left to cancel"


def waiters(service: Service) -> int:
    """How many wait for a lock in the database."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with service.database.read() as connection:
        return int(connection.scalar(sa.text(waiting)) or 0)


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
