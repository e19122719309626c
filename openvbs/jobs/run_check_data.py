"""Check a sample of a repository's data; what is found stands on the backups concerned.

| step | a crash after it leaves |
|---|---|
| check | nothing |
| mark | backups that say what is wrong with them; the next attempt finds the outcome of the step before |

The records tell which backups must be there, the store what there is: one whose object is gone is damaged too.

Each day reads another part, so that all data has been read once in a month. A backup that is damaged gets the status
``error`` and says which bytes cannot be restored. The sample of another day says nothing of that data, so only an
administrator, who resets the status, makes it available again.
"""

import logging
from typing import Any

import sqlalchemy as sa

from openvbs.db import backups
from openvbs.domain.job import Job
from openvbs.engine.check import CheckReport, begin_check, check_data
from openvbs.engine.check_report import ByteRange
from openvbs.engine.errors import BackupMissing
from openvbs.engine.repository import Repository
from openvbs.jobs.failures import Failure, JobFailed
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.runner import Runner
from openvbs.metrics import DAMAGED, STORE_PROBLEMS

log = logging.getLogger(__name__)

RANGES_MAX = 5
"""Byte ranges that a backup's reason names; of more it says how many there are."""
PROBLEMS_LOGGED_MAX = 100
MARKED_AT_ONCE = 100
_GONE = "A check found damage in the store: the object of the backup is gone, so nothing of it can be restored."
_DAY_SECONDS = 24 * 3600


def _work(run: Run) -> None:
    found = run.step("check", lambda: _check(run))
    if found["problems"] or found["damaged"]:
        run.step("mark", lambda: _mark(run, found))
    with run.publishing():
        """Nothing but the end of the job."""


def _check(run: Run) -> dict[str, Any]:
    parts = run.parts
    repository = parts.repositories.find(run.job.project_id)
    if repository is None:
        return {"damaged": {}, "problems": 0, "first": ""}
    with parts.database.read() as connection:
        # Before the walk, which then meets the objects of all of them but those that are deleted meanwhile.
        expected = backups.available_data(connection, run.job.project_id)
    days = parts.check_whole_days
    today = int(parts.clock().timestamp() // _DAY_SECONDS) % days
    # A little more than its share, so that no pack falls between two days.
    state = begin_check(repository, sample=1.001 / days, start=today / days)
    report = check_data(repository, state=state, checkpoint=run.checkpoint)
    gone = _gone(run, repository, expected.difference(report.whole, report.damaged))
    for backup_id in gone:
        report.note(f"the object of backup {backup_id} is gone")
    _log(run.job.project_id, report)
    return {
        "damaged": {
            **{backup_id: _reason(ranges) for backup_id, ranges in report.damaged.items()},
            **dict.fromkeys(gone, _GONE),
        },
        "problems": len(report.problems) + report.problems_more,
        "first": next(iter(report.problems), ""),
    }


def _gone(run: Run, repository: Repository, unmet: set[str]) -> list[str]:
    """Those that have no object in the store while their records say that they are available."""
    parts, repository_id = run.parts, run.job.project_id
    missing = {backup_id for backup_id in unmet if _is_missing(run, repository, backup_id)}
    # A store that was unmounted meanwhile has none of them.
    if not missing or not parts.repositories.is_there(repository_id):
        return []
    with parts.database.read() as connection:
        # After the look at the store: a record says that it is deleted before its object goes.
        return sorted(missing & backups.available_data(connection, repository_id))


def _is_missing(run: Run, repository: Repository, backup_id: str) -> bool:
    run.checkpoint()
    try:
        repository.load_backup(backup_id)
    except BackupMissing:
        return True
    return False


def _log(repository_id: str, report: CheckReport) -> None:
    for problem in report.problems[:PROBLEMS_LOGGED_MAX]:
        log.error("repository %s: %s", repository_id, problem)
    for backup_id, ranges in report.damaged.items():
        log.error("repository %s: backup %s is damaged: %s", repository_id, backup_id, _reason(ranges))
    log.info("checked %d bytes in %d packs", report.bytes_checked, report.packs_checked)
    STORE_PROBLEMS.inc(len(report.problems) + report.problems_more)


def _reason(ranges: list[ByteRange]) -> str:
    if not ranges:
        return "A check found damage in the store: the record of the backup cannot be read."
    named = [f"{part.offset_bytes}-{part.offset_bytes + part.length_bytes - 1}" for part in ranges[:RANGES_MAX]]
    if more := len(ranges) - len(named):
        named.append(f"and {more} more ranges")
    size = sum(part.length_bytes for part in ranges)
    return f"A check found damage in the store: {size} bytes of the volume cannot be restored ({', '.join(named)})."


def _mark(run: Run, found: dict[str, Any]) -> None:
    """Let the backups say it, and the job too."""
    damaged = list(found["damaged"].items())
    for start in range(0, len(damaged), MARKED_AT_ONCE):
        # A few at a time, so that others can write too; those that are marked already are no longer available.
        with run.parts.database.write() as connection:
            marked = sum(
                backups.mark_damaged(connection, run.job.project_id, data_id, reason, now=run.parts.clock())
                for data_id, reason in damaged[start : start + MARKED_AT_ONCE]
            )
        DAMAGED.inc(marked)
    raise JobFailed(
        f"{len(found['damaged'])} backups are damaged and {found['problems']} problems were found in the store; "
        f"the first: {found['first']}"
    )


def _mark_failed(_connection: sa.Connection, _parts: Parts, _job: Job, _failure: Failure) -> None:
    """What was found was marked by a step of its own; of a check that could not be made no backup tells."""


RUNNER = Runner(work=_work, mark_failed=_mark_failed)
