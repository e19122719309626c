"""Make a backup.

| step | a crash after it leaves |
|---|---|
| freeze | a clone named by the job, or nothing; the next attempt reads the same moment |
| upload, until its commit | packs and index segments, which the next attempt finds and uses |
| upload, after its commit | a whole backup whose record still says ``creating``; the next attempt finds it |
| thaw | the same, without the clone; a base of the volume is kept beside or instead of an earlier one |
| publish | nothing to do |

A local volume stays ``backing-up`` all the while, which is what keeps its bytes still where there is no clone. A
registered device is frozen and thawed inside the upload: an attempt that is broken off reads another moment anew.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from openvbs.db import volumes
from openvbs.domain.backup import Backup
from openvbs.domain.job import Job
from openvbs.domain.volume import VolumeKind, VolumeStatus
from openvbs.engine.backup import back_up, earlier_commit
from openvbs.engine.facts import BackupRecord
from openvbs.engine.progress import Progress
from openvbs.engine.repository import Repository
from openvbs.jobs.devices import find_volume, path_of, standing_still, thaw_after_lost_attempts
from openvbs.jobs.failures import SNAPSHOT_GONE, SOURCE_GONE, Failure, JobFailed
from openvbs.jobs.made_backup import (
    collect_leftovers,
    count_stored,
    find_backup,
    forget_committed,
    make_available,
    make_failed,
)
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.run_restore import backup_id_of
from openvbs.jobs.run_volume import release_snapshot, volume_id_of
from openvbs.jobs.runner import Runner
from openvbs.metrics import BYTES_DEDUPLICATED, BYTES_READ, BYTES_STORED
from openvbs.recovery.facts import columns_of, facts_of
from openvbs.sources.base import Source, SourceError
from openvbs.sources.file import FileSource
from openvbs.sources.hinted import HintedSource
from openvbs.sources.physical import PhysicalChanges
from openvbs.volumes.files import Base

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Still:
    """A moment of the volume, standing still."""

    path: Path
    at: datetime
    is_frozen: bool
    base: Base | None = None
    """What an earlier backup of this volume was made of."""


def _work(run: Run) -> None:
    has_clone = run.step("freeze", lambda: _freeze(run))
    made = run.step("upload", lambda: _upload(run, has_clone=has_clone))
    run.step("thaw", lambda: _thaw(run, has_clone=has_clone))
    run.step("publish", lambda: _publish(run, made))


def _freeze(run: Run) -> bool:
    """Clone a local volume where the filesystem can. Snapshots stand still anyhow; devices are frozen later."""
    parts, job = run.parts, run.job
    if job.snapshot_id is not None:
        return False
    with parts.database.read() as connection:
        volume = find_volume(connection, job.volume_id)
    return volume.kind == VolumeKind.LOCAL and parts.files.freeze_volume(volume.id, job.id)


def _upload(run: Run, *, has_clone: bool) -> dict[str, Any]:
    """The backup, committed in the store. What an earlier attempt committed is taken once it is proven."""
    parts, job = run.parts, run.job
    _thaw_device(parts, job)
    with parts.database.read() as connection:
        backup = find_backup(connection, job)
    repository = parts.repositories.get_or_begin(backup.repository_id)
    record = earlier_commit(repository, backup.id)
    if record is None:
        with _standing_still(run, backup, has_clone=has_clone) as still:
            record = _back_up(run, repository, backup, still)
        BYTES_READ.inc(record.stats.bytes_read)
        BYTES_STORED.inc(record.stats.bytes_stored)
        BYTES_DEDUPLICATED.inc(record.stats.bytes_deduplicated)
    return columns_of(record)


@contextmanager
def _standing_still(run: Run, backup: Backup, *, has_clone: bool) -> Iterator[_Still]:
    files, job = run.parts.files, run.job
    if job.snapshot_id is not None:
        base = files.base(volume_id_of(job))
        yield _Still(files.snapshot(job.snapshot_id), backup.data_timestamp, is_frozen=True, base=base)
        return
    with run.parts.database.read() as connection:
        volume = find_volume(connection, job.volume_id)
    if volume.kind == VolumeKind.LOCAL:
        path = files.frozen(job.id) if has_clone else path_of(files, volume)
        yield _Still(path, backup.data_timestamp, is_frozen=True, base=files.base(volume.id) if has_clone else None)
        return
    with standing_still(volume) as is_frozen:
        yield _Still(path_of(files, volume), run.parts.clock(), is_frozen)


def _back_up(run: Run, repository: Repository, backup: Backup, still: _Still) -> BackupRecord:
    if not still.path.exists():
        code = SOURCE_GONE if run.job.snapshot_id is None else SNAPSHOT_GONE
        raise JobFailed(f"The source {still.path.name} is no longer there.", error_code=code)

    def on_progress(progress: Progress) -> None:
        run.on_progress(progress.bytes_done, progress.bytes_total)

    with ExitStack() as stack:
        source: Source = stack.enter_context(closing(FileSource(still.path)))
        base = None if still.base is None else _changes_since(still.base, still.path)
        if base is not None:
            source = HintedSource(source, stack.enter_context(closing(base)))
        return back_up(
            repository,
            source,
            facts_of(backup, at=still.at, is_frozen=still.is_frozen, full=bool(run.job.arguments.get("full"))),
            parent=None if base is None or still.base is None else still.base.backup_id,
            on_progress=on_progress,
            checkpoint=run.checkpoint,
        )


def _changes_since(base: Base, path: Path) -> PhysicalChanges | None:
    try:
        return PhysicalChanges(base.path, path)
    except SourceError as error:
        log.info("the whole volume is read: %s", error)
        return None


def _thaw(run: Run, *, has_clone: bool) -> None:
    """Remove the clone; what the backup was made of stays as a base, so that the next one reads only what changed.

    The backup is committed by now, so nothing about the base makes it fail.
    """
    files, job = run.parts.files, run.job
    source = files.frozen(job.id) if has_clone else None if job.snapshot_id is None else files.snapshot(job.snapshot_id)
    if source is not None and source.exists():
        try:
            files.keep_base(source, volume_id_of(job), backup_id_of(job))
        except (OSError, SourceError) as error:
            log.warning("no base is kept of volume %s, so its next backup reads all of it: %s", job.volume_id, error)
    files.thaw(job.id)


def _publish(run: Run, made: dict[str, Any]) -> None:
    parts, job = run.parts, run.job
    run.on_progress(made["bytes_total"], made["bytes_total"])
    with run.publishing() as connection:
        make_available(connection, parts, job, made)
        _release(connection, parts, job)
        count_stored(connection, parts, job, made)


def _mark_failed(connection: sa.Connection, parts: Parts, job: Job, failure: Failure) -> None:
    """Nothing of it is to be seen but the record; what was uploaded is collected, unless the next backup uses it."""
    make_failed(connection, parts, job, failure)
    _release(connection, parts, job)
    if failure.is_full:
        parts.files.drop_bases()
    collect_leftovers(connection, parts, job, failure)


def _let_go_on(parts: Parts, job: Job) -> None:
    parts.files.thaw(job.id)
    _thaw_device(parts, job)


def _thaw_device(parts: Parts, job: Job) -> None:
    if job.snapshot_id is None:
        thaw_after_lost_attempts(parts.database, job, job.volume_id)


def _release(connection: sa.Connection, parts: Parts, job: Job) -> None:
    """Give back the lock on what was read."""
    if job.snapshot_id is not None:
        release_snapshot(connection, job.snapshot_id, parts)
    else:
        volumes.end_work(connection, volume_id_of(job), from_status=[VolumeStatus.BACKING_UP], now=parts.clock())


RUNNER = Runner(work=_work, mark_failed=_mark_failed, thaw=_let_go_on, undo=forget_committed)
