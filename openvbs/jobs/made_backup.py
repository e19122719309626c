"""The backup that a job makes, whatever its bytes come from: how its record becomes available, or ends in error.

Each function is one part of the transaction or undoing of the caller, which keeps the order in which rows are locked.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openvbs.db import backups, jobs, repositories
from openvbs.domain.backup import Backup, BackupStatus
from openvbs.domain.job import Job, JobKind
from openvbs.jobs.collecting import request_collection
from openvbs.jobs.failures import Failure, JobFailed
from openvbs.jobs.parts import Parts
from openvbs.jobs.run_delete import forget_unpublished
from openvbs.jobs.run_restore import backup_id_of
from openvbs.recovery.facts import DATA_TIMESTAMP


def find_backup(connection: sa.Connection, job: Job) -> Backup:
    """The backup that the job makes. Raises JobFailed."""
    backup = backups.find(connection, backup_id_of(job), viewer_project_id=job.project_id, owner_project_id=None)
    if backup is None:
        raise JobFailed(f"Backup {job.backup_id} is no longer there.")
    return backup


def make_available(connection: sa.Connection, parts: Parts, job: Job, made: dict[str, Any], **more: Any) -> None:
    """Publish what was committed; ``made`` has the columns that the store's facts fill, ``more`` those of the job."""
    backups.update(
        connection,
        backup_id_of(job),
        from_status=[BackupStatus.CREATING],
        now=parts.clock(),
        **{
            **made,
            DATA_TIMESTAMP: datetime.fromisoformat(made[DATA_TIMESTAMP]),
            **more,
            "status": BackupStatus.AVAILABLE,
        },
    )


def count_stored(connection: sa.Connection, parts: Parts, job: Job, made: dict[str, Any]) -> None:
    """Add the bytes that it stored to what its repository takes up."""
    data = backups.data_of(connection, backup_id_of(job))
    if data is not None:
        repositories.add_bytes(connection, data.repository_id, made["bytes_stored"], now=parts.clock())


def make_failed(connection: sa.Connection, parts: Parts, job: Job, failure: Failure) -> None:
    """Nothing of it is to be seen but the record. Of one that was deleted meanwhile, a collection lets the data go."""
    backups.purge_again(connection, backup_id_of(job))
    backups.update(
        connection,
        backup_id_of(job),
        from_status=[BackupStatus.CREATING],
        now=parts.clock(),
        status=BackupStatus.ERROR,
        fail_reason=failure.reason,
    )


def collect_leftovers(connection: sa.Connection, parts: Parts, job: Job, failure: Failure) -> None:
    """What was stored is collected, unless the next backup uses it; at once where there is no room."""
    data = backups.data_of(connection, backup_id_of(job))
    if data is not None:
        request_collection(connection, parts, data.repository_id, delay_seconds=0 if failure.is_full else None)


def forget_committed(parts: Parts, job: Job) -> None:
    """Remove what was committed and never published, unless an administrator looks whether it is whole."""
    backup_id = backup_id_of(job)
    with parts.database.read() as connection:
        data = backups.data_of(connection, backup_id)
        is_wanted = (
            jobs.open_of_backup(connection, backup_id, {JobKind.CHECK_BACKUP}) is not None
            or backups.stored_status(connection, backup_id) == BackupStatus.AVAILABLE
        )
    if data is not None and not is_wanted:
        forget_unpublished(parts, data)
