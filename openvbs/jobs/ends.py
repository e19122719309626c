"""Tell the owners of backups how the work on them ended, in the transaction that ends the job."""

import sqlalchemy as sa

from openvbs.db import audit, backups
from openvbs.domain.audit import AuditAction, AuditEvent
from openvbs.domain.job import Job, JobKind
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts

_ENDS = {
    JobKind.CREATE_BACKUP: (AuditAction.BACKUP_CREATE_END, "created"),
    JobKind.COPY_BACKUP: (AuditAction.BACKUP_COPY_END, "copied"),
    JobKind.DELETE_BACKUP: (AuditAction.BACKUP_DELETE_END, "deleted"),
    JobKind.RESTORE_BACKUP: (AuditAction.BACKUP_RESTORE_END, "restored"),
}
_ENDS_UNDER_SHARES = {
    JobKind.COPY_BACKUP: AuditAction.SHARE_COPY_END,
    JobKind.RESTORE_BACKUP: AuditAction.SHARE_RESTORE_END,
}


def record_end(connection: sa.Connection, parts: Parts, job: Job, failure: Failure | None) -> None:
    """Write the event; kinds that are not about a backup have none. failure None: the job succeeded.

    What a recipient did is told to the owner, and a copy, which is the recipient's own, to the recipient as well. Why a
    recipient's job failed is the recipient's business: it may name volumes and stores of its own.
    """
    if job.kind not in _ENDS:
        return
    kind = JobKind(job.kind)
    action, success = _ENDS[kind]
    outcome = success if failure is None else "cancelled" if failure.cancelled else "failed"
    why: dict[str, object] = {} if failure is None else {"why": failure.reason}
    if job.share_id is None or kind == JobKind.COPY_BACKUP:
        owner = _owner_of(connection, job.backup_id) or job.project_id
        told = why if owner == job.project_id else {}
        _write(
            connection, parts, job, action=action, owner=owner, backup_id=job.backup_id, outcome=outcome, details=told
        )
    if job.share_id is not None:
        used = job.source_backup_id or job.backup_id
        sharer = _owner_of(connection, used)
        assert sharer is not None, "the record stays while the job needs its data"
        action = _ENDS_UNDER_SHARES[kind]
        _write(
            connection, parts, job, action=action, owner=sharer, backup_id=used, outcome=outcome, share_id=job.share_id
        )


def _write(
    connection: sa.Connection,
    parts: Parts,
    job: Job,
    *,
    action: AuditAction,
    owner: str,
    backup_id: str | None,
    outcome: str,
    share_id: str | None = None,
    details: dict[str, object] | None = None,
) -> None:
    event = AuditEvent(
        id=parts.make_id(),
        at=parts.clock(),
        project_id=owner,
        action=action,
        actor_project_id=job.project_id,
        actor_user_id=job.user_id,
        as_admin=False,
        backup_id=backup_id,
        share_id=share_id,
        job_id=job.id,
        to_project_id=None if share_id is None else job.project_id,
        outcome=outcome,
        request_id=job.request_id,
        source_address=None,
        details=details or {},
        is_owed=parts.notifies,
    )
    audit.insert(connection, event)


def _owner_of(connection: sa.Connection, backup_id: str | None) -> str | None:
    """Whose the backup is, also one that is deleted by now."""
    assert backup_id is not None
    return backups.owner_of(connection, backup_id)
