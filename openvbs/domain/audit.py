"""Audit events: who did what to a backup or a share, when, with what result. Seen by the backup's owner."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AuditAction(StrEnum):
    BACKUP_CREATE = "backup.create"
    BACKUP_DELETE = "backup.delete"
    BACKUP_RESTORE = "backup.restore"
    SHARE_CREATE = "share.create"
    SHARE_CANCEL = "share.cancel"
    SHARE_DECLINE = "share.decline"
    """A recipient gave up its own share."""
    SHARE_RESTORE = "share.restore"
    """A recipient began to restore the shared backup."""
    SHARE_RESTORE_END = "share.restore_end"
    JOB_CANCEL = "job.cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One event. ``project_id`` is the owner, who may read it; the actor may be another project."""

    id: str
    at: datetime
    project_id: str
    action: str
    actor_project_id: str
    actor_user_id: str
    as_admin: bool
    """True when an admin of another project acted as the path project."""
    backup_id: str | None
    share_id: str | None
    job_id: str | None
    to_project_id: str | None
    """The recipient that a share event is about."""
    outcome: str
    request_id: str
    source_address: str | None
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    backup_id: str | None = None
    share_id: str | None = None
    limit: int = 1000
    marker: str | None = None
