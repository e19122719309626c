"""Audit events: who did what to a backup, a share or a policy, when, with what result. Seen by the owner.

An action that a known party was refused is told as that action with the outcome REFUSED.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AuditAction(StrEnum):
    BACKUP_CREATE = "backup.create"
    BACKUP_CREATE_END = "backup.create_end"
    BACKUP_UPDATE = "backup.update"
    BACKUP_COPY = "backup.copy"
    """The backup is a copy of another one, which ``details`` name."""
    BACKUP_COPY_END = "backup.copy_end"
    BACKUP_DELETE = "backup.delete"
    BACKUP_DELETE_END = "backup.delete_end"
    BACKUP_RESTORE = "backup.restore"
    BACKUP_RESTORE_END = "backup.restore_end"
    BACKUP_RESET = "backup.reset_status"
    BACKUP_EXPORT = "backup.export_record"
    BACKUP_IMPORT = "backup.import_record"
    """Seen by the project that has the record now, and by the one whose repository holds the data."""
    SHARE_CREATE = "share.create"
    SHARE_UPDATE = "share.update"
    """It expires at another time than before."""
    SHARE_EXPIRE = "share.expire"
    """It had ended by itself at the time that ``details`` say."""
    SHARE_CANCEL = "share.cancel"
    SHARE_DECLINE = "share.decline"
    """A recipient gave up its own share."""
    SHARE_ABORT = "share.abort"
    """What a recipient was doing under the share is being stopped, with its end or after it."""
    SHARE_LOOK = "share.look"
    """A recipient saw the share or its backup, the first time on a day (UTC)."""
    SHARE_RESTORE = "share.restore"
    """A recipient began to restore the shared backup."""
    SHARE_RESTORE_END = "share.restore_end"
    SHARE_COPY = "share.copy"
    """A recipient began to make a copy of its own of the shared backup."""
    SHARE_COPY_END = "share.copy_end"
    JOB_CANCEL = "job.cancel"
    POLICY_CREATE = "policy.create"
    POLICY_UPDATE = "policy.update"
    POLICY_DELETE = "policy.delete"
    POLICY_ASSOCIATE = "policy.associate"
    POLICY_DISASSOCIATE = "policy.disassociate"
    POLICY_RUN = "policy.run"
    """A run asked for by hand; scheduled ones show as the backups that they make."""
    POLICY_TAG = "policy.tag"


REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRules:
    """What becomes of audit events; the operator may change it."""

    keep_days: int = 365
    """0: they are kept for ever."""
    notifies: bool = False
    """Each event is also owed to the operator's notifications."""


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
    policy_id: str | None = None
    """The policy that a policy event is about, or that made or deleted the backup."""
    once: str | None = None
    """Of several events with the same text only the first is kept."""
    is_owed: bool = False
    """The operator's notifications do not have it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    backup_id: str | None = None
    share_id: str | None = None
    policy_id: str | None = None
    limit: int = 1000
    marker: str | None = None
