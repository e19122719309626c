"""Actions on a real database without a server: callers, volumes and backups made by hand."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from openvbs.actions.backups import create_backup
from openvbs.actions.service import Service, new_id
from openvbs.auth.caller import Caller
from openvbs.auth.permissions import Permissions
from openvbs.clock import Clock
from openvbs.db import backups, jobs, migrate, volumes
from openvbs.db.session import Database
from openvbs.domain.backup import BackupStatus, NewBackup
from openvbs.domain.job import Job
from openvbs.domain.limits import Limits
from openvbs.domain.volume import Volume, VolumeKind, VolumeStatus
from openvbs.units import GIB
from tests.support.postgres import give_back


class NotedQueue:
    """Stands where the durable queue would: notes what was enqueued and does nothing with it."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def enqueue(self, connection: sa.Connection, job: Job) -> None:
        assert connection.in_transaction()
        self.jobs.append(job)


class TickingClock:
    """Each look at it is a second later, so that no two records tie."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@cache
def _migrated_sqlite() -> bytes:
    """A database file with every table and no row. Copying it costs a hundredth of migrating."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "openvbs.db"
        migrate.upgrade(f"sqlite:///{path}")
        return path.read_bytes()


@cache
def _migrated_postgresql(url: str) -> None:
    """Databases that are given back keep their tables."""
    migrate.upgrade(url)


def migrate_once(url: str) -> None:
    """Give the empty database at url its tables."""
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).write_bytes(_migrated_sqlite())
    else:
        _migrated_postgresql(url)


@contextmanager
def made_service(url: str, *, clock: Clock | None = None, **limits: int) -> Iterator[Service]:
    """A Service on the database at url, which is without rows; one of a PostgreSQL server is given back at the end."""
    migrate_once(url)
    database = Database(url)
    try:
        yield Service(
            database=database,
            queue=NotedQueue(),
            permissions=Permissions(),
            limits=Limits(**limits),
            clock=clock or TickingClock(),
        )
    finally:
        database.close()
        if not database.is_sqlite:
            give_back(url)


def caller(project_id: str, *, role: str = "member", sees_all: bool = False) -> Caller:
    roles = {"reader": {"reader"}, "member": {"member", "reader"}, "admin": {"admin", "member", "reader"}}[role]
    return Caller(
        project_id=project_id,
        token_project_id=project_id,
        user_id=f"user-of-{project_id}",
        roles=frozenset(roles),
        is_admin=role == "admin",
        request_id="req-test",
        sees_all=sees_all,
    )


def add_volume(service: Service, project_id: str, *, status: str = VolumeStatus.AVAILABLE, size_gib: int = 1) -> str:
    """A local volume's record in the given state."""
    now = service.clock()
    volume = Volume(
        id=new_id(),
        project_id=project_id,
        user_id="someone",
        name="disk",
        description="secret words",
        size_gib=size_gib,
        size_bytes=size_gib * GIB,
        status=status,
        kind=VolumeKind.LOCAL,
        path=None,
        freeze_command=None,
        thaw_command=None,
        bootable=True,
        volume_type=None,
        availability_zone="nova",
        snapshot_id=None,
        source_volid=None,
        metadata={"owner": "keeps this"},
        image_metadata={"os": "debian"},
        created_at=now,
        updated_at=now,
    )
    with service.database.write() as connection:
        volumes.insert_volume(connection, volume)
    return volume.id


def add_backup(service: Service, project_id: str, *, status: str = BackupStatus.AVAILABLE, **wanted: object) -> str:
    """A backup of a new volume, brought to the given state as its job would."""
    volume_id = add_volume(service, project_id)
    backup, job = create_backup(service, caller(project_id), NewBackup(volume_id=volume_id, name="b", **wanted))
    if status != BackupStatus.CREATING:
        end_job(service, job)
        with service.database.write() as connection:
            backups.update(connection, backup.id, now=service.clock(), status=status)
            volumes.end_work(connection, volume_id, from_status=[VolumeStatus.BACKING_UP], now=service.clock())
    return backup.id


def end_job(service: Service, job: Job, *, status: str = "SUCCESS", **values: object) -> None:
    """Let a job end as the worker would."""
    with service.database.write() as connection:
        assert jobs.update_open(connection, job.id, attempt=None, status=status, end_time=service.clock(), **values)
