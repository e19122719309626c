"""Delete a backup.

| step | a crash after it leaves |
|---|---|
| remove | a record that says ``deleting`` and no data; the next attempt goes on |
| publish | nothing to do |

A recipient's restore that began before keeps the data, and so does an imported record of the same backup: then only the
record goes, and the collection that follows the restore, or the deletion of the other record, purges the data.
"""

from contextlib import suppress
from uuid import UUID

import sqlalchemy as sa

from openvbs.db import backups
from openvbs.domain.backup import BackupStatus, StoredData
from openvbs.domain.job import Job
from openvbs.engine.errors import RepositoryMissing
from openvbs.engine.references import drop_reference, remove_unreferenced
from openvbs.jobs.collecting import request_collection
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.runner import Runner


def _work(run: Run) -> None:
    removed = run.step("remove", lambda: _remove(run))
    run.step("publish", lambda: _publish(run, removed=removed))


def _remove(run: Run) -> bool:
    """Remove the data unless a job or another record needs it. No new job can: the record says deleting."""
    parts, backup_id = run.parts, run.job.backup_id
    assert backup_id is not None
    parts.files.drop_bases_of({backup_id})
    with parts.database.read() as connection:
        if backups.data_needed(connection, backup_id):
            return False
        data = backups.data_of(connection, backup_id)
    return data is None or let_go(parts, data, run.job)


def let_go(parts: Parts, data: StoredData, job: Job) -> bool:
    """Take away what one record keeps in the store: for an imported one its reference, else the backup itself.

    False when others still refer to the backup, which then stays for them. What is not there counts as taken away, but
    only from a repository that is: RepositoryAway. The blocks go with the next collection.
    """
    if not parts.repositories.is_there(data.repository_id):
        return True  # made by the first backup that gets as far, so there is nothing of this one
    if data.reference_id is not None:
        drop_reference(parts.repositories.store_of(data.repository_id), data.data_id, data.reference_id)
        return True
    return remove_unreferenced(parts.repositories.get(data.repository_id), data.data_id, UUID(job.id))


def forget_unpublished(parts: Parts, data: StoredData) -> None:
    """Remove a backup that no record ever showed as available, if it is there; nobody can have referred to it."""
    with suppress(RepositoryMissing):
        parts.repositories.get(data.repository_id).delete_backup(data.data_id)


def _publish(run: Run, *, removed: bool) -> None:
    parts, backup_id = run.parts, run.job.backup_id
    assert backup_id is not None
    with run.publishing() as connection:
        data = backups.data_of(connection, backup_id)
        backups.mark_deleted(connection, backup_id, now=parts.clock())
        if removed:
            backups.mark_purged(connection, backup_id, now=parts.clock())
        if data is not None:
            request_collection(connection, parts, data.repository_id)


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
