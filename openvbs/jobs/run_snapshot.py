"""Set a snapshot's bytes aside, and delete them. A crash between the two steps leaves what the next attempt wants."""

import sqlalchemy as sa

from openvbs.db import volumes
from openvbs.domain.job import Job
from openvbs.domain.volume import SnapshotStatus, VolumeStatus
from openvbs.jobs.devices import find_volume, path_of, standing_still, thaw_after_lost_attempts
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.run_volume import volume_id_of, watch
from openvbs.jobs.runner import Runner


def _snapshot_id(job: Job) -> str:
    assert job.snapshot_id is not None
    return job.snapshot_id


def _create(run: Run) -> None:
    run.step("copy", lambda: _copy(run))
    run.step("publish", lambda: _publish_created(run))


def _copy(run: Run) -> None:
    """A new file, whole or not at all: one that is there was made by an earlier attempt."""
    files = run.parts.files
    _thaw(run.parts, run.job)
    if files.snapshot(_snapshot_id(run.job)).exists():
        return
    with run.parts.database.read() as connection:
        volume = find_volume(connection, run.job.volume_id)
    with standing_still(volume):
        files.copy_to_snapshot(path_of(files, volume), _snapshot_id(run.job), watch(run))


def _publish_created(run: Run) -> None:
    with run.publishing() as connection:
        _settle(connection, run.parts, run.job, SnapshotStatus.AVAILABLE)


def _creation_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    _settle(connection, parts, job, SnapshotStatus.ERROR)


def _settle(connection: sa.Connection, parts: Parts, job: Job, status: SnapshotStatus) -> None:
    """The snapshot's last word, and the volume's lock given back."""
    now = parts.clock()
    volumes.update_snapshot(
        connection, _snapshot_id(job), from_status=[SnapshotStatus.CREATING], status=status, now=now
    )
    volumes.end_work(connection, volume_id_of(job), from_status=[VolumeStatus.BACKING_UP], now=now)


def _thaw(parts: Parts, job: Job) -> None:
    thaw_after_lost_attempts(parts.database, job, job.volume_id)


def _remove_made(parts: Parts, job: Job) -> None:
    """A snapshot in ``error`` never becomes anything else."""
    parts.files.delete_snapshot(_snapshot_id(job))


def _delete(run: Run) -> None:
    run.step("remove", lambda: run.parts.files.delete_snapshot(_snapshot_id(run.job)))
    run.step("publish", lambda: _publish_deleted(run))


def _publish_deleted(run: Run) -> None:
    with run.publishing() as connection:
        now = run.parts.clock()
        volumes.update_snapshot(connection, _snapshot_id(run.job), deleted_at=now, now=now)


def _deletion_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    volumes.update_snapshot(
        connection,
        _snapshot_id(job),
        from_status=[SnapshotStatus.DELETING],
        status=SnapshotStatus.ERROR_DELETING,
        now=parts.clock(),
    )


CREATE = Runner(work=_create, mark_failed=_creation_failed, thaw=_thaw, undo=_remove_made)
DELETE = Runner(work=_delete, mark_failed=_deletion_failed)
