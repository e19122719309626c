"""Keep a copy of a backup, one's own or one that was shared, in the own project's repository.

| step | a crash after it leaves |
|---|---|
| copy, until its commit | packs and index segments in the own repository, which the next attempt finds and uses |
| copy, after its commit | a whole backup whose record still says ``creating``; the next attempt finds it |
| publish | nothing to do |

The data of the backup that is copied stays for as long as this job is open, whatever becomes of it and of its share.
"""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from openvbs.db import backups
from openvbs.domain.job import Job
from openvbs.engine.backup import earlier_commit
from openvbs.engine.copy import copy_backup
from openvbs.engine.progress import Progress
from openvbs.jobs.collecting import request_collection
from openvbs.jobs.failures import Failure
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
from openvbs.jobs.runner import Runner
from openvbs.recovery.facts import columns_of, facts_of


def _work(run: Run) -> None:
    made = run.step("copy", lambda: _copy(run))
    run.step("publish", lambda: _publish(run, made))


def _copy(run: Run) -> dict[str, Any]:
    """The backup, committed in the own repository. What an earlier attempt committed is taken once it is proven."""
    parts, job = run.parts, run.job
    with parts.database.read() as connection:
        backup = find_backup(connection, job)
    target = parts.repositories.get_or_begin(backup.repository_id)
    record = earlier_commit(target, backup.id)
    if record is None:
        facts = facts_of(
            replace(backup, volume_id=_argument(job, "volume_id")),
            at=backup.data_timestamp,
            is_frozen=backup.is_frozen,
            full=False,
        )

        def on_progress(progress: Progress) -> None:
            run.on_progress(progress.bytes_done, progress.bytes_total)

        record = copy_backup(
            parts.repositories.get(_argument(job, "repository_id")),
            _argument(job, "data_id"),
            target,
            facts,
            on_progress=on_progress,
            checkpoint=run.checkpoint,
        )
    return columns_of(record)


def _publish(run: Run, made: dict[str, Any]) -> None:
    parts, job = run.parts, run.job
    run.on_progress(made["bytes_total"], made["bytes_total"])
    with run.publishing() as connection:
        make_available(connection, parts, job, made, volume_id=_argument(job, "volume_id"))
        count_stored(connection, parts, job, made)
        _let_go(connection, parts, job)


def _mark_failed(connection: sa.Connection, parts: Parts, job: Job, failure: Failure) -> None:
    """Nothing of it is to be seen but the record; what was stored is collected, unless the next backup uses it."""
    make_failed(connection, parts, job, failure)
    collect_leftovers(connection, parts, job, failure)
    _let_go(connection, parts, job)


def _let_go(connection: sa.Connection, parts: Parts, job: Job) -> None:
    """Let data go that was only kept for this copy."""
    assert job.source_backup_id is not None
    if backups.awaits_purge(connection, job.source_backup_id):
        request_collection(connection, parts, _argument(job, "repository_id"))


def _argument(job: Job, name: str) -> str:
    value = job.arguments[name]
    assert isinstance(value, str)
    return value


RUNNER = Runner(work=_work, mark_failed=_mark_failed, undo=forget_committed)
