"""Give back the space that no backup of a project needs any more.

| step | a crash after it leaves |
|---|---|
| purge | deleted backups whose data is gone and noted so |
| collect | a collection that the next attempt carries on (docs/format.md) |
| measure | nothing |
| publish | nothing to do |
"""

import logging

import sqlalchemy as sa

from openvbs.db import backups, jobs, repositories
from openvbs.domain.job import Job
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.format import PACKS
from openvbs.jobs.collecting import AGAIN, request_collection
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.run_delete import let_go
from openvbs.jobs.runner import Runner

log = logging.getLogger(__name__)

WAITING_RETRY_SECONDS = 600.0
"""When to look again for packs that work under way may still need."""


def _work(run: Run) -> None:
    run.step("purge", lambda: _purge(run))
    packs_waiting = run.step("collect", lambda: _collect(run))
    measured = run.step("measure", lambda: _measure(run))
    run.step("publish", lambda: _publish(run, packs_waiting, measured))


def _purge(run: Run) -> None:
    """Remove the data of deleted backups that a job or another record still needed when they were deleted."""
    parts, repository_id = run.parts, run.job.project_id
    with parts.database.read() as connection:
        purgeable = backups.purgeable(connection, repository_id)
    for backup_id, data in purgeable:
        run.checkpoint()
        if let_go(parts, data, run.job):
            with parts.database.write() as connection:
                backups.mark_purged(connection, backup_id, now=parts.clock())


def _collect(run: Run) -> int:
    """How many packs had to be left for the next collection."""
    repository = run.parts.repositories.find(run.job.project_id)
    if repository is None:
        return 0
    plan = plan_collection(repository, checkpoint=run.checkpoint)
    result = apply_collection(repository, plan, checkpoint=run.checkpoint)
    log.info("collected %d bytes in %d packs", result.bytes_freed, result.packs_deleted)
    return result.packs_waiting + plan.packs_left


def _measure(run: Run) -> dict[str, int]:
    """How many bytes the packs have now. What backups add meanwhile may be counted twice until the next time."""
    repository_id = run.job.project_id
    with run.parts.database.read() as connection:
        added = repositories.added_bytes(connection, repository_id)
    store = run.parts.repositories.store_of(repository_id)
    return {"measured": sum(info.size_bytes for info in store.list(PACKS)), "added_before": added}


def _publish(run: Run, packs_waiting: int, measured: dict[str, int]) -> None:
    with run.publishing() as connection:
        repositories.put_measured(
            connection,
            run.job.project_id,
            measured["measured"],
            added_before=measured["added_before"],
            now=run.parts.clock(),
        )
        job = jobs.find(connection, run.job.id, project_id=None)
        if job is not None and job.arguments.get(AGAIN):
            request_collection(connection, run.parts, run.job.project_id)
        elif packs_waiting:
            request_collection(connection, run.parts, run.job.project_id, delay_seconds=WAITING_RETRY_SECONDS)


def _mark_failed(_connection: sa.Connection, _parts: Parts, _job: Job, _failure: Failure) -> None:
    """No record but the job's tells of a collection; the next one tries again."""


RUNNER = Runner(work=_work, mark_failed=_mark_failed)
