"""Give back the space that no backup of a project needs any more.

| step | a crash after it leaves |
|---|---|
| purge | deleted backups whose data is gone and noted so |
| publish | nothing to do |
"""

import sqlalchemy as sa

from openvbs.db import backups, jobs
from openvbs.domain.job import Job
from openvbs.jobs.collecting import AGAIN, request_collection
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.run_delete import remove_data
from openvbs.jobs.runner import Runner


def _work(run: Run) -> None:
    run.step("purge", lambda: _purge(run))
    run.step("publish", lambda: _publish(run))


def _purge(run: Run) -> None:
    """Remove the data of deleted backups that a restore was still reading when they were deleted."""
    parts, repository_id = run.parts, run.job.project_id
    with parts.database.read() as connection:
        backup_ids = backups.purgeable(connection, repository_id)
    for backup_id in backup_ids:
        run.checkpoint()
        remove_data(parts, repository_id, backup_id)
        with parts.database.write() as connection:
            backups.mark_purged(connection, backup_id, now=parts.clock())


def _publish(run: Run) -> None:
    with run.publishing() as connection:
        job = jobs.find(connection, run.job.id, project_id=None)
        if job is not None and job.arguments.get(AGAIN):
            request_collection(connection, run.parts, run.job.project_id)


def _mark_failed(_connection: sa.Connection, _parts: Parts, _job: Job, _failure: Failure) -> None:
    """No record but the job's tells of a collection; the next one tries again."""


RUNNER = Runner(work=_work, mark_failed=_mark_failed)
