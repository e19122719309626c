"""Restore a backup into a volume.

| step | a crash after it leaves |
|---|---|
| prepare | an all-zero file of a volume that was made for the restore |
| restore | the volume's bytes, durable, and a record that says ``restoring-backup``; the next attempt goes on |
| publish | nothing to do |

An attempt that is broken off leaves a partly written volume; the next one skips the blocks that are right already. The
backup is never changed. It may be deleted meanwhile by its owner, or the share cancelled: the data stays for as long
as this job is open, and is purged by the collection that follows.
"""

import sqlalchemy as sa

from openvbs.db import backups, volumes
from openvbs.domain.job import Job
from openvbs.domain.restore import restored_properties
from openvbs.domain.volume import VolumeStatus
from openvbs.engine.progress import Progress
from openvbs.engine.restore import restore
from openvbs.jobs.collecting import request_collection
from openvbs.jobs.devices import find_volume, path_of
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.run_volume import remove_failed_volume, volume_id_of
from openvbs.jobs.runner import Runner
from openvbs.metrics import BYTES_RESTORED
from openvbs.sources.file import FileTarget

_WORKING = (VolumeStatus.RESTORING, VolumeStatus.CREATING)
"""``creating``: a volume that was asked for with a backup_id."""


def backup_id_of(job: Job) -> str:
    """The backup that the job works on."""
    assert job.backup_id is not None
    return job.backup_id


def _repository_id(job: Job) -> str:
    repository_id = job.arguments["repository_id"]
    assert isinstance(repository_id, str)
    return repository_id


def _data_id(job: Job) -> str:
    # A job that an earlier release queued does not say it: then the record was no imported one.
    data_id = job.arguments.get("data_id", job.backup_id)
    assert isinstance(data_id, str)
    return data_id


def _work(run: Run) -> None:
    run.step("prepare", lambda: _prepare(run))
    run.step("restore", lambda: _restore(run))
    run.step("publish", lambda: _publish(run))


def _prepare(run: Run) -> None:
    if run.job.arguments["made_for_restore"]:
        with run.parts.database.read() as connection:
            volume = find_volume(connection, run.job.volume_id)
        run.parts.files.create_volume(volume.id, volume.size_bytes)


def _restore(run: Run) -> None:
    parts, job = run.parts, run.job
    with parts.database.read() as connection:
        volume = find_volume(connection, job.volume_id)
    repository = parts.repositories.get(_repository_id(job))

    def on_progress(progress: Progress) -> None:
        run.on_progress(progress.bytes_done, progress.bytes_total)

    target = FileTarget(path_of(parts.files, volume))
    try:
        # After a database that was set back the file may be there, with bytes of a restore that nobody remembers.
        made = bool(job.arguments["made_for_restore"]) and job.attempt == 1
        target.is_blank = made and parts.files.is_hole(volume.id)
        stats = restore(repository, _data_id(job), target, on_progress=on_progress, checkpoint=run.checkpoint)
        BYTES_RESTORED.inc(stats.bytes_written)
    finally:
        target.close()


def _publish(run: Run) -> None:
    job, parts = run.job, run.parts
    source = job.arguments["volume_values"]
    assert isinstance(source, dict)
    with run.publishing() as connection:
        # Its owner may have changed it since the job was queued.
        volume = volumes.find_volume(connection, volume_id_of(job), project_id=None, for_update=True)
        values = {} if volume is None else restored_properties(source, volume)
        volumes.update_volume(
            connection,
            volume_id_of(job),
            from_status=_WORKING,
            now=parts.clock(),
            **{**values, "status": VolumeStatus.AVAILABLE, "previous_status": None},
        )
        _let_go(connection, parts, job)


def _mark_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    made = job.arguments["made_for_restore"]
    volumes.update_volume(
        connection,
        volume_id_of(job),
        from_status=_WORKING,
        now=parts.clock(),
        status=VolumeStatus.ERROR if made else VolumeStatus.ERROR_RESTORING,
        previous_status=None,
    )
    _let_go(connection, parts, job)


def _let_go(connection: sa.Connection, parts: Parts, job: Job) -> None:
    """Let data go that was only kept for this restore."""
    if backups.awaits_purge(connection, backup_id_of(job)):
        request_collection(connection, parts, _repository_id(job))


def _undo(parts: Parts, job: Job) -> None:
    if job.arguments["made_for_restore"]:
        remove_failed_volume(parts, job)


RUNNER = Runner(work=_work, mark_failed=_mark_failed, undo=_undo)
