"""What views.py and policy_views.py give, as types for the OpenAPI document. Tests hold every answer to them."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from openvbs.api.shapes import T3, T3Z, T6, BackupFacts, BackupState, Count, Id, ProjectId, Shown
from openvbs.domain.job import JobKind, JobStatus
from openvbs.domain.policy import TaskStatus
from openvbs.domain.retention import Why

_Code = Annotated[str, Meta(pattern=r"^AutoBackup\.[0-9]{4}\Z")]


class SharedBackup(BackupFacts):
    """A backup within a share. ``service_metadata`` is JSON in a string."""

    service_metadata: str


class Share(Shown):
    """A live share; the only ones that are shown."""

    id: Id
    backup_id: Id
    from_project_id: ProjectId
    to_project_id: ProjectId
    created_at: T6
    updated_at: T6 | None
    deleted: None
    deleted_at: None
    expires_at: T6 | UnsetType = UNSET


class ShareWithBackup(Share, kw_only=True):
    """A share and its backup."""

    backup: SharedBackup


class Progress(Shown):
    bytes_done: Count
    bytes_total: Count


class Job(Shown):
    """A job. Its entities are ids, empty texts or null."""

    status: JobStatus
    entities: dict[str, str | None]
    job_id: Id
    job_type: JobKind
    begin_time: T3Z | None
    end_time: T3Z | None
    error_code: str | None
    fail_reason: str | None
    sub_jobs: Annotated[list[Any], Meta(max_length=0)]
    progress: Progress


class JobAccepted(Shown):
    """The job that does what was asked for."""

    job_id: Id


class CopyAccepted(Shown):
    """The job that makes the copy, and the copy."""

    job_id: Id
    backup_id: Id


class AuditEvent(Shown):
    """Who did what, when, with what result."""

    id: Id
    at: T6
    action: Annotated[str, Meta(pattern=r"^[a-z]+\.[a-z_]+\Z")]
    outcome: str
    actor_project_id: ProjectId
    actor_user_id: str | None
    as_admin: bool
    backup_id: Id | None
    share_id: Id | None
    job_id: Id | None
    policy_id: Id | None
    to_project_id: ProjectId | None
    request_id: str | None
    source_address: str | None
    details: dict[str, Any]


class QuotaResource(Shown):
    """One quota; -1 is no limit."""

    type: Literal["backups", "backup_gigabytes"]
    used: Count
    reserved: Count
    quota: Annotated[int, Meta(ge=-1)]


class Quotas(Shown):
    resources: list[QuotaResource]


class Usage(Shown):
    """What the project's backups take up."""

    backups: Count
    backup_gigabytes: Count
    data_bytes: Count
    stored_bytes: Count


class CountOnly(Shown):
    count: Count


class PolicyAccepted(Shown):
    backup_policy_id: Id


class ScheduleShown(Shown, kw_only=True):
    """Of the alternatives only those that are set."""

    start_time: str
    frequency: Annotated[int, Meta(ge=1, le=30)] | UnsetType = UNSET
    week_frequency: list[Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]] | UnsetType = UNSET
    rentention_num: Annotated[int, Meta(ge=2, le=99)] | UnsetType = UNSET
    rentention_day: Annotated[int, Meta(ge=2, le=99999)] | UnsetType = UNSET
    first_of_month: Literal["Y", "N"] = field(name="remain_first_backup_of_curMonth")
    status: Literal["ON", "OFF"]


class Policy(Shown):
    """A backup policy."""

    backup_policy_id: Id
    backup_policy_name: str
    scheduled_policy: ScheduleShown
    policy_resource_count: Count
    time_zone: str
    share_with: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET


class Policies(Shown):
    """All of the project, the newest first."""

    backup_policies: list[Policy]


class ResourceAssociated(Shown):
    """A disk and, when it was refused, why."""

    resource_id: str
    resource_type: Literal["volume"]
    availability_zone: str | None
    os_vol_host_attr: str | None
    code: _Code | UnsetType = UNSET
    message: str | UnsetType = UNSET


class ResourceDisassociated(Shown):
    """A disk and, when it was refused, why."""

    resource_id: str
    code: _Code | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Associations(Shown):
    success_resources: list[ResourceAssociated]
    fail_resources: list[ResourceAssociated]


class Disassociations(Shown):
    success_resources: list[ResourceDisassociated]
    fail_resources: list[ResourceDisassociated]


class Task(Shown):
    """One disk of one run of a policy."""

    job_id: Id
    status: TaskStatus
    created_at: T3
    finished_at: T3 | None
    backup_name: str
    resource_id: Id
    resource_type: Literal["volume"]
    vbs_job_id: Id | None
    fail_reason: str | None


class Tasks(Shown):
    """A page of tasks; the count is that of all that match."""

    count: Count
    tasks: list[Task]


class Forecast(Shown):
    """What will become of a backup."""

    backup_id: Id
    name: str | None
    status: BackupState
    created_at: T6
    action: Literal["keep", "delete"]
    delete_at: T6 | None
    why: Why
    explanation: str


class RetentionOfDisk(Shown):
    resource_id: Id
    resource_type: Literal["volume"]
    associated: bool
    backups: list[Forecast]


class RetentionPreview(Shown):
    """What the policy will delete and why each other backup is kept."""

    backup_policy_id: Id
    as_of: T6
    next_run_at: T6 | None
    resources: list[RetentionOfDisk]


class Tag(Shown):
    key: str
    value: str


class Tags(Shown):
    tags: list[Tag]


class TagValues(Shown):
    """All values that a key has in the project."""

    key: str
    values: list[str]


class AllTags(Shown):
    tags: list[TagValues]


class FoundPolicy(Shown):
    resource_id: Id
    resource_name: str
    resource_detail: None
    tags: list[Tag]


class FoundPolicies(Shown):
    """How many match in all, and unless only that was asked for, a page of them."""

    total_count: Count
    resources: list[FoundPolicy] | UnsetType = UNSET
