"""A job: a long task whose request was accepted. Its id is the workflow's id and the API's job_id."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

WORKER_SILENT_MAX = timedelta(seconds=60)
"""A worker that was silent for longer is taken for dead, and others take over its jobs."""
CLOCK_AHEAD_MAX = timedelta(hours=1)
"""What is noted as later than this from now was noted with a wrong clock, and says nothing."""


class JobStatus(StrEnum):
    """INIT -> RUNNING -> SUCCESS | FAIL, never back. INIT may end as FAIL when it is cancelled before it began."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


ENDED = frozenset({JobStatus.SUCCESS, JobStatus.FAIL})


class JobKind(StrEnum):
    """The value is the API's job_type; those of the contract come first, the rest are ours."""

    CREATE_BACKUP = "bksCreateBackup"
    DELETE_BACKUP = "bksDeleteBackup"
    RESTORE_BACKUP = "bksRestoreBackup"
    COPY_BACKUP = "bksCopyBackup"
    """Ours, named like its kin: keeps a copy of a backup in the own project."""
    CREATE_VOLUME = "createVolume"
    DELETE_VOLUME = "deleteVolume"
    EXTEND_VOLUME = "extendVolume"
    IMPORT_VOLUME = "importVolume"
    EXPORT_VOLUME = "exportVolume"
    CREATE_SNAPSHOT = "createSnapshot"
    DELETE_SNAPSHOT = "deleteSnapshot"
    CHECK_BACKUP = "checkBackup"
    """Sees that the data of a backup is there before its record says so: an imported one, or one that was reset."""
    COLLECT = "collectRepository"
    CHECK = "checkRepository"
    """Reads a sample of a repository's data; what it finds stands on the backups concerned."""


MAKE_BACKUP = frozenset({JobKind.CREATE_BACKUP, JobKind.COPY_BACKUP})
"""What a backup that is ``creating`` waits for."""
CANCELLABLE = MAKE_BACKUP | {JobKind.RESTORE_BACKUP, JobKind.IMPORT_VOLUME, JobKind.EXPORT_VOLUME}
NEED_DATA = MAKE_BACKUP | {JobKind.RESTORE_BACKUP, JobKind.CHECK_BACKUP}
"""While one of these is open, the data of its backup is not removed, nor that of the one that it copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job's record."""

    id: str
    project_id: str
    """The project that asked; a recipient's restore belongs to the recipient."""
    user_id: str
    kind: str
    status: str
    backup_id: str | None
    volume_id: str | None
    snapshot_id: str | None
    share_id: str | None
    """The share under which a recipient's restore or copy runs."""
    bytes_done: int
    bytes_total: int
    error_code: str | None
    fail_reason: str | None
    attempt: int
    """Raised each time a worker begins or resumes the job; only the newest attempt may publish."""
    cancel_requested_by: str | None
    """Who asked to cancel, in words for the fail reason; None while nobody did."""
    request_id: str
    arguments: dict[str, object] = field(default_factory=dict)
    """What the runner needs and no other column says."""
    created_at: datetime
    begin_time: datetime | None
    end_time: datetime | None
    source_backup_id: str | None = None
    """The backup that a copy is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Filters and page of a project's jobs, newest first."""

    status: str | None = None
    kind: str | None = None
    backup_id: str | None = None
    volume_id: str | None = None
    limit: int = 1000
    marker: str | None = None


def is_alive(beat_at: datetime, now: datetime) -> bool:
    """Is a worker that was last heard of then taken for alive?"""
    return -CLOCK_AHEAD_MAX <= now - beat_at <= WORKER_SILENT_MAX
