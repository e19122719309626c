"""Make, delete and extend volumes.

Each kind has one step that works on files and one that publishes. A crash between the two leaves a file that the next
attempt finds as it wants it.
"""

from pathlib import Path

import sqlalchemy as sa

from openvbs.db import volumes
from openvbs.domain.job import Job
from openvbs.domain.volume import SnapshotStatus, VolumeStatus
from openvbs.jobs.devices import find_volume, path_of, standing_still, thaw_after_lost_attempts
from openvbs.jobs.failures import SOURCE_GONE, Failure, JobFailed
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.runner import Runner
from openvbs.units import GIB
from openvbs.volumes.copy import Watch


def volume_id_of(job: Job) -> str:
    """The volume that the job works on."""
    assert job.volume_id is not None
    return job.volume_id


def watch(run: Run) -> Watch:
    """Lets a copy report its progress and stop when the job must."""
    return Watch(checkpoint=run.checkpoint, on_progress=run.on_progress)


def _create(run: Run) -> None:
    run.step("make", lambda: _make(run))
    run.step("publish", lambda: _publish_created(run))


def _make(run: Run) -> None:
    """A new file, whole or not at all: one that is there was made by an earlier attempt."""
    parts, volume_id = run.parts, volume_id_of(run.job)
    _thaw(parts, run.job)
    with parts.database.read() as connection:
        size_bytes = find_volume(connection, volume_id).size_bytes
    if parts.files.volume(volume_id).exists():
        return
    snapshot_id, source_volid = _sources(run.job)
    if snapshot_id is not None:
        _copy(run, parts.files.snapshot(snapshot_id), size_bytes)
    elif source_volid is not None:
        with parts.database.read() as connection:
            source = find_volume(connection, source_volid)
        with standing_still(source):
            _copy(run, path_of(parts.files, source), size_bytes)
    else:
        parts.files.create_volume(volume_id, size_bytes)


def _copy(run: Run, source: Path, size_bytes: int) -> None:
    if not source.exists():
        raise JobFailed(f"The source {source.name} is no longer there.", error_code=SOURCE_GONE)
    run.parts.files.copy_to_volume(source, volume_id_of(run.job), size_bytes=size_bytes, watch=watch(run))


def _publish_created(run: Run) -> None:
    with run.publishing() as connection:
        now = run.parts.clock()
        volumes.update_volume(
            connection,
            volume_id_of(run.job),
            from_status=[VolumeStatus.CREATING],
            status=VolumeStatus.AVAILABLE,
            now=now,
        )
        _release_source(connection, run.parts, run.job)


def _creation_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    volumes.update_volume(
        connection,
        volume_id_of(job),
        from_status=[VolumeStatus.CREATING],
        status=VolumeStatus.ERROR,
        now=parts.clock(),
    )
    _release_source(connection, parts, job)


def _release_source(connection: sa.Connection, parts: Parts, job: Job) -> None:
    """Give back the lock on what the volume was copied from."""
    snapshot_id, source_volid = _sources(job)
    now = parts.clock()
    if snapshot_id is not None:
        release_snapshot(connection, snapshot_id, parts)
    if source_volid is not None:
        volumes.end_work(connection, source_volid, from_status=[VolumeStatus.BACKING_UP], now=now)


def release_snapshot(connection: sa.Connection, snapshot_id: str, parts: Parts) -> None:
    """A snapshot that was being read is available again."""
    volumes.update_snapshot(
        connection,
        snapshot_id,
        from_status=[SnapshotStatus.BACKING_UP],
        status=SnapshotStatus.AVAILABLE,
        now=parts.clock(),
    )


def _sources(job: Job) -> tuple[str | None, str | None]:
    snapshot_id, source_volid = job.arguments.get("snapshot_id"), job.arguments.get("source_volid")
    assert snapshot_id is None or isinstance(snapshot_id, str)
    assert source_volid is None or isinstance(source_volid, str)
    return snapshot_id, source_volid


def _thaw(parts: Parts, job: Job) -> None:
    thaw_after_lost_attempts(parts.database, job, _sources(job)[1])


def remove_failed_volume(parts: Parts, job: Job) -> None:
    """Give back the space of a volume that a failed job was to make: from ``error`` it can only be deleted."""
    parts.files.delete_volume(volume_id_of(job))


def _delete(run: Run) -> None:
    run.step("remove", lambda: _remove(run))
    run.step("publish", lambda: _publish_deleted(run))


def _snapshot_ids(job: Job) -> list[str]:
    ids = job.arguments.get("snapshot_ids", [])
    assert isinstance(ids, list)
    return ids


def _remove(run: Run) -> None:
    """Snapshots first: a volume whose file is gone is never left with snapshots that are not."""
    for snapshot_id in _snapshot_ids(run.job):
        run.parts.files.delete_snapshot(snapshot_id)
    run.parts.files.delete_volume(volume_id_of(run.job))  # a registered one has no file of this name


def _publish_deleted(run: Run) -> None:
    with run.publishing() as connection:
        now = run.parts.clock()
        for snapshot_id in _snapshot_ids(run.job):
            volumes.update_snapshot(connection, snapshot_id, deleted_at=now, now=now)
        volumes.update_volume(connection, volume_id_of(run.job), deleted_at=now, now=now)


def _deletion_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    now = parts.clock()
    for snapshot_id in _snapshot_ids(job):
        volumes.update_snapshot(
            connection,
            snapshot_id,
            from_status=[SnapshotStatus.DELETING],
            status=SnapshotStatus.ERROR_DELETING,
            now=now,
        )
    volumes.update_volume(
        connection,
        volume_id_of(job),
        from_status=[VolumeStatus.DELETING],
        status=VolumeStatus.ERROR_DELETING,
        now=now,
    )


def _extend(run: Run) -> None:
    new_size_gib = run.job.arguments["new_size_gib"]
    assert isinstance(new_size_gib, int)
    run.step("extend", lambda: run.parts.files.extend_volume(volume_id_of(run.job), new_size_gib * GIB))
    run.step("publish", lambda: _publish_extended(run, new_size_gib))


def _publish_extended(run: Run, new_size_gib: int) -> None:
    with run.publishing() as connection:
        volumes.update_volume(
            connection,
            volume_id_of(run.job),
            size_gib=new_size_gib,
            size_bytes=new_size_gib * GIB,
            status=VolumeStatus.AVAILABLE,
            previous_status=None,
            now=run.parts.clock(),
        )


def _extension_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    """A volume that is as it was can be used as before; one that is longer than its record says must be extended."""
    volume = volumes.find_volume(connection, volume_id_of(job), project_id=None)
    is_as_before = volume is not None and parts.files.is_of_size(volume.id, volume.size_bytes)
    volumes.update_volume(
        connection,
        volume_id_of(job),
        from_status=[VolumeStatus.EXTENDING],
        status=VolumeStatus.AVAILABLE if is_as_before else VolumeStatus.ERROR_EXTENDING,
        previous_status=None,
        now=parts.clock(),
    )


CREATE = Runner(work=_create, mark_failed=_creation_failed, thaw=_thaw, undo=remove_failed_volume)
DELETE = Runner(work=_delete, mark_failed=_deletion_failed)
EXTEND = Runner(work=_extend, mark_failed=_extension_failed)
