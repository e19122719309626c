"""Tell the owner of a backup how the work on it ended, in the transaction that ends the job."""

import sqlalchemy as sa

from openvbs.db import audit, backups
from openvbs.domain.audit import AuditAction, AuditEvent
from openvbs.domain.job import Job, JobKind
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts

_ACTIONS = {
    JobKind.CREATE_BACKUP: AuditAction.BACKUP_CREATE_END,
    JobKind.DELETE_BACKUP: AuditAction.BACKUP_DELETE_END,
    JobKind.RESTORE_BACKUP: AuditAction.BACKUP_RESTORE_END,
}
_SUCCESSES = {JobKind.CREATE_BACKUP: "created", JobKind.DELETE_BACKUP: "deleted", JobKind.RESTORE_BACKUP: "restored"}


def record_end(connection: sa.Connection, parts: Parts, job: Job, failure: Failure | None) -> None:
    """Write the event; kinds that are not about a backup have none. failure None: the job succeeded.

    Why a recipient's job failed is the recipient's business: it may name volumes and stores of its own.
    """
    if job.kind not in _ACTIONS or job.backup_id is None:
        return
    kind = JobKind(job.kind)
    owner = _owner_of(connection, job)
    details: dict[str, object] = {}
    if failure is not None and owner == job.project_id:
        details["why"] = failure.reason
    audit.insert(
        connection,
        AuditEvent(
            id=parts.make_id(),
            at=parts.clock(),
            project_id=owner,
            action=_ACTIONS[kind] if job.share_id is None else AuditAction.SHARE_RESTORE_END,
            actor_project_id=job.project_id,
            actor_user_id=job.user_id,
            as_admin=False,
            backup_id=job.backup_id,
            share_id=job.share_id,
            job_id=job.id,
            to_project_id=None if job.share_id is None else job.project_id,
            outcome=_SUCCESSES[kind] if failure is None else "cancelled" if failure.cancelled else "failed",
            request_id=job.request_id,
            source_address=None,
            details=details,
            is_owed=parts.notifies,
        ),
    )


def _owner_of(connection: sa.Connection, job: Job) -> str:
    """Of the backup, also of one that is deleted by now."""
    assert job.backup_id is not None
    said = job.arguments.get("owner_project_id")
    return str(said or backups.owner_of(connection, job.backup_id) or job.project_id)
