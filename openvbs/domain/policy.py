"""Backup policies: back up these disks at these times and keep so many. And the tasks that their runs are."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from openvbs.domain.retention import Forecast, Rule
from openvbs.domain.schedule import DEFAULT_TIME_ZONE, Schedule, schedule_of, zone_of
from openvbs.domain.volume import IN_ERROR, Volume, VolumeStatus

TAGS_MAX = 10
BACKUP_NAME_PREFIX = "autobk_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy's record. Either every_days or weekdays, either keep_number or keep_days."""

    id: str
    project_id: str
    user_id: str
    """Who made it: its runs act as this user."""
    name: str
    start_time: str
    """As the caller wrote it: clients compare."""
    every_days: int | None
    weekdays: list[str] | None
    """In the caller's order."""
    keep_number: int | None
    keep_days: int | None
    keep_first_of_month: bool
    is_on: bool
    time_zone: str | None
    next_due_at: datetime | None
    """The first due time that no task was made for yet; None while it is off."""
    created_at: datetime
    updated_at: datetime | None
    share_with: list[str] = field(default_factory=list)
    """Projects that each backup it makes is shared with, as its owner shares it."""

    @property
    def schedule(self) -> Schedule:
        return schedule_of(
            start_time=self.start_time,
            every_days=self.every_days,
            weekdays=self.weekdays or (),
            time_zone=self.time_zone,
        )

    @property
    def rule(self) -> Rule:
        return Rule(
            number=self.keep_number,
            days=self.keep_days,
            keep_first_of_month=self.keep_first_of_month,
            zone=zone_of(self.time_zone or DEFAULT_TIME_ZONE),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFields:
    """What a caller says of a policy, each field checked by itself; None is not said.

    Of every_days and weekdays, and of keep_number and keep_days, at most one is said; it replaces the other.
    """

    name: str | None = None
    start_time: str | None = None
    every_days: int | None = None
    weekdays: list[str] | None = None
    keep_number: int | None = None
    keep_days: int | None = None
    keep_first_of_month: bool | None = None
    is_on: bool | None = None
    time_zone: str | None = None
    share_with: list[str] | None = None
    """An empty list ends the standing share; the shares that it made stay."""


@dataclass(frozen=True, slots=True)
class ListedPolicy:
    """A policy and how many disks it has."""

    policy: Policy
    volumes_count: int


class Refusal(StrEnum):
    """Why one disk cannot be associated or disassociated."""

    UNKNOWN = "unknown"
    """Not there, not the project's, or not on this policy."""
    BAD_STATE = "bad_state"


NOT_ASSOCIABLE = IN_ERROR | {VolumeStatus.ERROR_RESTORING, VolumeStatus.DELETING}
"""A volume in one of these does not get a policy."""


BUSY_FOR_A_WHILE = frozenset(
    {
        VolumeStatus.CREATING,
        VolumeStatus.BACKING_UP,
        VolumeStatus.RESTORING,
        VolumeStatus.EXTENDING,
        VolumeStatus.DOWNLOADING,
        VolumeStatus.UPLOADING,
    }
)
"""A run waits for a volume in one of these."""


@dataclass(frozen=True, slots=True)
class Associated:
    """What became of one disk of a request."""

    volume_id: str
    volume: Volume | None
    """None for one that the caller may not know."""
    refusal: Refusal | None


class TaskStatus(StrEnum):
    """WAITING -> RUNNING -> one of the others. RUNNING is never stored: it is what the job of the backup says."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    EXECUTE_SUCCESS = "EXECUTE_SUCCESS"
    EXECUTE_FAIL = "EXECUTE_FAIL"
    EXECUTE_TIMEOUT = "EXECUTE_TIMEOUT"
    """The disk was busy with something else for longer than runs wait."""
    SKIP = "SKIP"
    """The previous backup of the disk still ran, or the time was missed and is not caught up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTask:
    """One run of a policy on one disk. There is one for each (policy, disk, due time), whatever happens."""

    id: str
    policy_id: str
    project_id: str
    volume_id: str
    due_at: datetime
    """For a run asked for by hand the moment of asking."""
    status: str
    backup_name: str
    backup_id: str | None
    job_id: str | None
    """The job that makes the backup; None until it is queued, and if it never was."""
    reason: str | None
    """Why it was skipped or failed."""
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """Filters, order and page of a policy's tasks."""

    task_id: str | None = None
    status: str | None = None
    sort_dir: str = "desc"
    limit: int = 20
    offset: int = 0
    marker: str | None = None


class Missed(StrEnum):
    """What to do about times that passed while no worker ran."""

    RUN = "run"
    """Catch up once, for the newest of them; the others are recorded as SKIP."""
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRules:
    """How policies run; the operator may change it."""

    missed: Missed = Missed.RUN
    wait_seconds_max: int = 7200
    """How long a run waits for a disk that is busy with something else than a backup."""
    tasks_kept_days: int = 30


LATE_MAX = timedelta(minutes=5)
"""A due time that is seen within this is not missed, only late."""


@dataclass(frozen=True, slots=True)
class RetentionPreview:
    """What a policy would delete, disk by disk."""

    policy: Policy
    as_of: datetime
    next_run_at: datetime | None
    disks: dict[str, list[Forecast]] = field(default_factory=dict)
    """Newest backup first."""
    associated: frozenset[str] = frozenset()
