"""Policies on a real database with a clock that tests set, and with jobs that end when tests say so."""

from datetime import UTC, datetime, timedelta

from openvbs.actions import backups as backup_actions
from openvbs.actions import policies, policy_tasks
from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import backups, jobs, volumes
from openvbs.domain.backup import Backup, BackupQuery, BackupStatus
from openvbs.domain.job import Job, JobKind
from openvbs.domain.policy import Policy, PolicyFields, PolicyTask, TaskQuery
from openvbs.domain.volume import VolumeStatus
from openvbs.jobs.scheduler import Scheduler
from tests.support.actions import end_job

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class SetClock:
    """Shows what a test sets; a microsecond later at each look, so that no two records tie."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


START = utc("2026-02-10T12:00")
"""Where the clock of a test stands at first."""
DUE = utc("2026-02-10T21:00")
"""When a policy of add_policy is due for the first time after that."""


def add_policy(service: Service, who: Caller, *volume_ids: str, tags: dict[str, str] | None = None, **said) -> Policy:
    """A policy that is on, by default every day at 21:00 with two backups kept, with these disks."""
    fields = {"name": "nightly", "start_time": "21:00", "every_days": 1, "keep_number": 2, "is_on": True, **said}
    policy = policies.create_policy(service, who, PolicyFields(**fields), tags or {})
    if volume_ids:
        answers = policies.associate(service, who, policy.id, volume_ids)
        assert not [answer for answer in answers if answer.refusal]
    return policy


def tasks_of(service: Service, who: Caller, policy_id: str, **query) -> list[PolicyTask]:
    """The policy's tasks, the oldest first."""
    wanted = TaskQuery(**{"sort_dir": "asc", "limit": 100_000, **query})
    return policy_tasks.list_tasks(service, who, policy_id, wanted).items


def statuses(service: Service, who: Caller, policy_id: str) -> list[str]:
    return [str(task.status) for task in tasks_of(service, who, policy_id)]


class Workers:
    """Stand where workers would: a scheduler that looks when told, and jobs that end when told."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.scheduler = Scheduler(service)
        self._taken: set[str] = set()

    def at(self, moment: datetime) -> None:
        """Look at this moment."""
        self.service.clock.now = moment
        self.scheduler.look()

    def take_jobs(self) -> list[Job]:
        """The open jobs that were not taken before."""
        with self.service.database.read() as connection:
            taken = [job for job in jobs.list_open(connection) if job.id not in self._taken]
        self._taken.update(job.id for job in taken)
        return taken

    def end_jobs(self, *, failing: str | None = None) -> list[Job]:
        """Let every queued job end: well, or backups with this reason to fail."""
        taken = self.take_jobs()
        for job in taken:
            self.end(job, failing=failing if job.kind == JobKind.CREATE_BACKUP else None)
        return taken

    def end(self, job: Job, *, failing: str | None = None) -> None:
        assert job.backup_id is not None
        end_job(self.service, job, status="FAIL" if failing else "SUCCESS", fail_reason=failing)
        now = self.service.clock()
        with self.service.database.write() as connection:
            if job.kind == JobKind.DELETE_BACKUP:
                backups.mark_deleted(connection, job.backup_id, now=now)
            if job.kind == JobKind.CREATE_BACKUP:
                status = BackupStatus.ERROR if failing else BackupStatus.AVAILABLE
                backups.update(connection, job.backup_id, now=now, status=status)
                volumes.end_work(connection, str(job.volume_id), from_status=[VolumeStatus.BACKING_UP], now=now)

    def run_at(self, moment: datetime, *, failing: str | None = None) -> list[Job]:
        """Look, let what was begun end, look again so that retention runs, and let the deletes end too."""
        self.at(moment)
        ended = self.end_jobs(failing=failing)
        self.scheduler.look()
        return [*ended, *self.end_jobs()]


def backups_of(service: Service, who: Caller, volume_id: str) -> list[Backup]:
    return backup_actions.list_backups(service, who, BackupQuery(volume_id=volume_id)).items
