"""Delete a backup.

| step | a crash after it leaves |
|---|---|
| remove | a record that says ``deleting`` and no data; the next attempt goes on |
| publish | nothing to do |

A recipient's restore that began before keeps the data: then only the record goes, and the collection that follows the
restore purges the data.
"""

import sqlalchemy as sa

from openvbs.db import backups
from openvbs.domain.backup import BackupStatus
from openvbs.domain.job import Job
from openvbs.engine.errors import RepositoryMissing
from openvbs.jobs.collecting import request_collection
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.runner import Runner


def _work(run: Run) -> None:
    removed = run.step("remove", lambda: _remove(run))
    run.step("publish", lambda: _publish(run, removed=removed))


def _remove(run: Run) -> bool:
    """Remove the manifest unless a restore needs it. Nothing new can need it: the record says deleting."""
    parts, backup_id = run.parts, run.job.backup_id
    assert backup_id is not None
    with parts.database.read() as connection:
        if backups.restoring_now(connection, backup_id, project_id=None):
            return False
        repository_id = backups.repository_of(connection, backup_id)
    if repository_id is not None:
        remove_data(parts, repository_id, backup_id)
    return True


def remove_data(parts: Parts, repository_id: str, backup_id: str) -> None:
    """Remove a backup's manifest from its store, if it is there. Its blocks go with the next collection."""
    try:
        parts.repositories.get(repository_id).delete_backup(backup_id)
    except RepositoryMissing:
        return  # made by the first backup that gets as far, so there is nothing of this one


def _publish(run: Run, *, removed: bool) -> None:
    parts, backup_id = run.parts, run.job.backup_id
    assert backup_id is not None
    with run.publishing() as connection:
        repository_id = backups.repository_of(connection, backup_id)
        backups.mark_deleted(connection, backup_id, now=parts.clock())
        if removed:
            backups.mark_purged(connection, backup_id, now=parts.clock())
        if repository_id is not None:
            request_collection(connection, parts, repository_id)


def _mark_failed(connection: sa.Connection, parts: Parts, job: Job, failure: Failure) -> None:
    assert job.backup_id is not None
    backups.update(
        connection,
        job.backup_id,
        from_status=[BackupStatus.DELETING],
        now=parts.clock(),
        status=BackupStatus.ERROR,
        fail_reason=failure.reason,
    )


RUNNER = Runner(work=_work, mark_failed=_mark_failed)
