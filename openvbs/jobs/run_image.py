"""Import an image file into a volume, and export a volume to one. For the operator, on this machine.

A crash between the two steps leaves a file that is whole; the next attempt writes it again or publishes. An exported
file is not written again, since what has its name may be anybody's: until the job is published a draft stays beside it,
a second name of the same file, by which an attempt knows what an earlier one has named. On a filesystem without hard
links nothing tells: the attempt after a kill in just that moment fails. It leaves the file, which is whole, or empty.
"""

import os
from pathlib import Path

import sqlalchemy as sa

from openvbs.db import volumes
from openvbs.domain.job import Job
from openvbs.domain.volume import VolumeStatus
from openvbs.files import is_named, sweep_drafts, sync_folder
from openvbs.jobs.devices import find_volume, path_of, standing_still, thaw_after_lost_attempts
from openvbs.jobs.failures import Failure, JobFailed
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.run_volume import remove_failed_volume, volume_id_of, watch
from openvbs.jobs.runner import Runner
from openvbs.units import GIB
from openvbs.volumes.copy import TEMPORARY_PREFIX, copy_to_new_file
from openvbs.volumes.images import ImageFormat, image_at


def _path(job: Job) -> Path:
    path = job.arguments["path"]
    assert isinstance(path, str)
    return Path(path)


def _import(run: Run) -> None:
    run.step("copy", lambda: _copy_in(run))
    run.step("publish", lambda: _publish(run, VolumeStatus.DOWNLOADING))


def _copy_in(run: Run) -> None:
    """The volume's bytes become the image's, then zeros; at once, or not at all."""
    files = run.parts.files
    with run.parts.database.read() as connection:
        volume = find_volume(connection, run.job.volume_id)
    image = image_at(_path(run.job))
    if image.size_bytes > volume.size_bytes:
        raise JobFailed(
            f"{image.path} holds {image.size_bytes} bytes, more than the {volume.size_bytes} of volume {volume.id}"
        )
    free = files.free_bytes()
    if image.stored_bytes > free:
        raise JobFailed(
            f"{image.path} takes {image.stored_bytes / GIB:.2f} GiB; {files.directory} has {free / GIB:.2f} GiB free"
        )
    put = files.copy_to_volume if image.format is ImageFormat.RAW else files.convert_to_volume
    put(image.path, volume.id, size_bytes=volume.size_bytes, watch=watch(run))


def _publish(run: Run, working_status: VolumeStatus) -> None:
    with run.publishing() as connection:
        volumes.end_work(connection, volume_id_of(run.job), from_status=[working_status], now=run.parts.clock())


def _import_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    """A volume that was there before keeps the bytes it had."""
    if job.arguments["made_for_import"]:
        volumes.update_volume(
            connection,
            volume_id_of(job),
            from_status=[VolumeStatus.DOWNLOADING],
            status=VolumeStatus.ERROR,
            now=parts.clock(),
        )
    else:
        volumes.end_work(connection, volume_id_of(job), from_status=[VolumeStatus.DOWNLOADING], now=parts.clock())


def _undo_import(parts: Parts, job: Job) -> None:
    if job.arguments["made_for_import"]:
        remove_failed_volume(parts, job)


def _export(run: Run) -> None:
    run.step("copy", lambda: _copy_out(run))
    run.step("publish", lambda: _publish_export(run))


def _draft_prefix(job: Job) -> str:
    """Of this job alone: another one's draft may be its proof that the file is its own."""
    return f"{TEMPORARY_PREFIX}{job.id}-"


def _copy_out(run: Run) -> None:
    target, prefix = _path(run.job), _draft_prefix(run.job)
    with run.parts.database.read() as connection:
        volume = find_volume(connection, run.job.volume_id)
    if not os.access(target.parent, os.W_OK):
        raise JobFailed(f"{target.parent} is not a directory that the service's user may write to")
    _thaw(run.parts, run.job)
    if _was_named(target, prefix):
        return
    sweep_drafts(target.parent, prefix)
    if os.path.lexists(target):  # later would do, but copying may take hours
        raise _taken(target)
    try:
        with standing_still(volume):
            copy_to_new_file(path_of(run.parts.files, volume), target, draft_prefix=prefix, watch=watch(run))
    except FileExistsError as error:
        if not _was_named(target, prefix):
            raise _taken(target) from error


def _was_named(target: Path, prefix: str) -> bool:
    """By another attempt, which was killed or is thought dead; durable then, which it may not have come to."""
    if not is_named(target, prefix):
        return False
    sync_folder(target.parent)
    return True


def _taken(target: Path) -> JobFailed:
    return JobFailed(f"{target} exists already and is left as it is; export to another name")


def _publish_export(run: Run) -> None:
    _sweep(run.job)  # first: nobody would come back for the second name, which holds the space of a file removed later
    _publish(run, VolumeStatus.UPLOADING)


def _sweep(job: Job) -> None:
    folder = _path(job).parent
    if sweep_drafts(folder, _draft_prefix(job)):
        sync_folder(folder)


def _export_failed(connection: sa.Connection, parts: Parts, job: Job, _failure: Failure) -> None:
    volumes.end_work(connection, volume_id_of(job), from_status=[VolumeStatus.UPLOADING], now=parts.clock())


def _thaw(parts: Parts, job: Job) -> None:
    thaw_after_lost_attempts(parts.database, job, job.volume_id)


def _undo_export(_parts: Parts, job: Job) -> None:
    _sweep(job)


IMPORT = Runner(work=_import, mark_failed=_import_failed, undo=_undo_import)
EXPORT = Runner(work=_export, mark_failed=_export_failed, thaw=_thaw, undo=_undo_export)
