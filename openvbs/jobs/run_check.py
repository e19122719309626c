"""See that the data of a backup is there, and only then let its record say ``available``.

For an imported record, whose data another project or installation made, and for one that an administrator resets.

| step | a crash after it leaves |
|---|---|
| look | the reference of an imported record, which the next attempt finds; the record says what it said before |
| publish | nothing to do |

A look that fails leaves the reference too: it goes with the record, and until then an administrator may look again.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openvbs.db import backups
from openvbs.domain.backup import BackupStatus, StoredData
from openvbs.domain.job import Job
from openvbs.engine.errors import BackupMissing, EngineError, RepositoryMissing
from openvbs.engine.facts import BackupRecord
from openvbs.engine.references import add_reference
from openvbs.engine.repository import Repository
from openvbs.jobs.collecting import request_collection
from openvbs.jobs.failures import Failure, JobFailed
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run
from openvbs.jobs.run_restore import backup_id_of
from openvbs.jobs.runner import Runner
from openvbs.recovery.facts import DATA_TIMESTAMP, columns_of, source_of

_CHECKED = (BackupStatus.CREATING, BackupStatus.ERROR)


def _work(run: Run) -> None:
    found = run.step("look", lambda: _look(run))
    run.step("publish", lambda: _publish(run, found))


def _look(run: Run) -> dict[str, Any]:
    """The columns that the data decides on. An imported record gets its reference."""
    data = _data(run.parts, run.job)
    try:
        record = _open(run.parts.repositories.get(data.repository_id), data)
    except RepositoryMissing as error:
        raise JobFailed(f"This store holds no repository of project {data.repository_id}.") from error
    except BackupMissing as error:
        raise JobFailed(f"This store no longer holds the data of the backup ({data.data_id}).") from error
    except EngineError as error:
        raise JobFailed(f"The data of the backup cannot be opened: {error}") from error
    found = columns_of(record)
    return found if data.reference_id is None else {**found, **source_of(record)}


def _open(repository: Repository, data: StoredData) -> BackupRecord:
    if data.reference_id is None:
        return repository.load_backup(data.data_id)
    return add_reference(repository, data.data_id, data.reference_id)


def _publish(run: Run, found: dict[str, Any]) -> None:
    parts, job = run.parts, run.job
    with run.publishing() as connection:
        values = {**found, DATA_TIMESTAMP: datetime.fromisoformat(found[DATA_TIMESTAMP])}
        backups.update(
            connection,
            backup_id_of(job),
            from_status=_CHECKED,
            now=parts.clock(),
            **{**values, "status": BackupStatus.AVAILABLE, "fail_reason": None},
        )
        _release(connection, parts, job)


def _mark_failed(connection: sa.Connection, parts: Parts, job: Job, failure: Failure) -> None:
    backups.update(
        connection,
        backup_id_of(job),
        from_status=_CHECKED,
        now=parts.clock(),
        status=BackupStatus.ERROR,
        fail_reason=failure.reason,
    )
    _release(connection, parts, job)


def _release(connection: sa.Connection, parts: Parts, job: Job) -> None:
    """Let data go that was only kept for this look: the record was deleted meanwhile."""
    if backups.awaits_purge(connection, backup_id_of(job)):
        request_collection(connection, parts, _data_in(connection, job).repository_id)


def _data(parts: Parts, job: Job) -> StoredData:
    with parts.database.read() as connection:
        return _data_in(connection, job)


def _data_in(connection: sa.Connection, job: Job) -> StoredData:
    data = backups.data_of(connection, backup_id_of(job))
    assert data is not None, "an id is given to another record only once no job is open on it"
    return data


RUNNER = Runner(work=_work, mark_failed=_mark_failed)
