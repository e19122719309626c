"""What schedulers do, of whom any number may work at once: make tasks of due times, begin their backups, end them.

| transaction | a crash before its commit leaves |
|---|---|
| make the tasks of a policy's due times, set its next one | the due times, which the next look finds |
| begin the backup of a task: record, job, audit event | the task, which still waits |
| end a task whose job has ended, share its backup, delete what retention does not keep | the task, still to be ended |

Each first locks the policy's or the task's row, and each task is unique by policy, disk and due time.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from openvbs.actions.backups import begin_backup, begin_delete
from openvbs.actions.service import Service
from openvbs.actions.share_ends import unexpired
from openvbs.actions.shares import grant
from openvbs.auth.caller import Caller
from openvbs.db import backups, jobs, policies, policy_tasks
from openvbs.db.session import DatabaseUnavailable
from openvbs.domain.backup import BackupStatus, NewBackup
from openvbs.domain.errors import BackupUnfinished, RuleError, VolumeBusy
from openvbs.domain.job import ENDED, JobStatus
from openvbs.domain.policy import (
    BACKUP_NAME_PREFIX,
    BUSY_FOR_A_WHILE,
    LATE_MAX,
    Missed,
    Policy,
    PolicyTask,
    TaskStatus,
)
from openvbs.domain.retention import GOES, judge
from openvbs.domain.schedule import WAIT_MAX, due_between, next_due

log = logging.getLogger(__name__)

AT_ONCE_MAX = 50
"""Policies and tasks of one look, so that a look never takes so long that its worker seems dead."""
_MOMENT = timedelta(microseconds=1)
_NAME_ID_CHARACTERS = 4


def make_all_due_tasks(service: Service) -> None:
    """Make the tasks of every due time that has come."""
    with service.database.read() as connection:
        policy_ids = policies.due_ids(connection, service.clock(), limit=AT_ONCE_MAX)
    _each(policy_ids, "policy", lambda policy_id: _make_due_tasks_of(service, policy_id))


def _make_due_tasks_of(service: Service, policy_id: str) -> None:
    with service.database.write() as connection:
        policy = policies.find(connection, policy_id, project_id=None, for_update=True)
        if policy is not None:
            make_due_tasks(service, connection, policy, service.clock())


def make_due_tasks(service: Service, connection: sa.Connection, policy: Policy, now: datetime) -> None:
    """Make the tasks of the due times of a locked policy up to now, and note when it is due next.

    Of several due times the newest runs, if it is not missed or missed ones are caught up; the others are skipped.
    """
    if policy.next_due_at is None:
        return
    if policy.next_due_at > now + WAIT_MAX:
        _correct_next_due(connection, policy, now)
        return
    if policy.next_due_at > now:
        return
    oldest_kept = now - timedelta(days=service.run_rules.tasks_kept_days)
    due = due_between(policy.schedule, max(policy.next_due_at - _MOMENT, oldest_kept), now)
    disks = policies.disks(connection, policy.id)
    open_disks = policy_tasks.open_disks(connection, policy.id)
    tasks = []
    for at in due:
        reason = _why_missed(service, at, newest=due[-1], now=now)
        for volume_id, since in disks.items():
            if since <= at:
                still_open = "An earlier run on this disk has not ended." if volume_id in open_disks else None
                tasks.append(new_task(service, policy, volume_id, at, now, skipped_because=reason or still_open))
    policy_tasks.insert(connection, tasks)
    policies.update(connection, policy.id, next_due_at=next_due(policy.schedule, now))


def _correct_next_due(connection: sa.Connection, policy: Policy, now: datetime) -> None:
    """A look while the clock was far ahead must not keep the policy from running until that time has come."""
    log.warning("policy %s was to run at %s, as no schedule says; a clock was wrong", policy.id, policy.next_due_at)
    policy_tasks.forget_skipped(connection, policy.id, due_after=now)
    policies.update(connection, policy.id, next_due_at=next_due(policy.schedule, now))


def _why_missed(service: Service, at: datetime, *, newest: datetime, now: datetime) -> str | None:
    """Why a due time is not run, or None if it is."""
    newest_runs = now - newest <= LATE_MAX or service.run_rules.missed == Missed.RUN
    if newest_runs and at == newest:
        return None
    caught_up = f" The run due at {newest:%Y-%m-%dT%H:%MZ} catches up." if newest_runs else ""
    return f"The time passed while no worker ran.{caught_up}"


def new_task(
    service: Service, policy: Policy, volume_id: str, due_at: datetime, now: datetime, *, skipped_because: str | None
) -> PolicyTask:
    """A run of the policy on a disk: one that waits to begin, or that is skipped."""
    task_id = service.make_id()
    return PolicyTask(
        id=task_id,
        policy_id=policy.id,
        project_id=policy.project_id,
        volume_id=volume_id,
        due_at=due_at,
        status=TaskStatus.WAITING if skipped_because is None else TaskStatus.SKIP,
        backup_name=f"{BACKUP_NAME_PREFIX}{task_id[:_NAME_ID_CHARACTERS]}",
        backup_id=None,
        job_id=None,
        reason=skipped_because,
        created_at=now,
        finished_at=None if skipped_because is None else now,
    )


def begin_waiting_tasks(service: Service) -> None:
    """Begin the backups of tasks that wait, except where the disk is busy with something else for a while."""
    with service.database.read() as connection:
        ready = policy_tasks.ready_to_begin(
            connection, busy=BUSY_FOR_A_WHILE, waits_since=_waits_since(service), limit=AT_ONCE_MAX
        )
    _each(ready, "task", lambda task_id: _begin(service, task_id))


def _waits_since(service: Service) -> datetime:
    """A task that is older has waited for too long."""
    return service.clock() - timedelta(seconds=service.run_rules.wait_seconds_max)


def _begin(service: Service, task_id: str) -> None:
    with service.database.write() as connection:
        task = policy_tasks.lock_open(connection, task_id)
        if task is None or task.job_id is not None:
            return
        policy = policies.find(connection, task.policy_id, project_id=None)
        if policy is None or task.volume_id not in policies.disks(connection, policy.id):
            _end(service, connection, task, TaskStatus.SKIP, "The disk has left the policy.")
            return
        new = NewBackup(
            volume_id=task.volume_id,
            name=task.backup_name,
            tags=policies.tags_of(connection, policy.id),
            force=True,
            policy_id=policy.id,
        )
        try:
            backup, job = begin_backup(service, connection, _acting_for(policy, task), new)
        except BackupUnfinished as error:
            _end(service, connection, task, TaskStatus.SKIP, str(error))
        except VolumeBusy as error:
            if error.status not in BUSY_FOR_A_WHILE:
                _end(service, connection, task, TaskStatus.EXECUTE_FAIL, str(error))
            elif task.created_at < _waits_since(service):
                _end(service, connection, task, TaskStatus.EXECUTE_TIMEOUT, str(error))
        except RuleError as error:
            _end(service, connection, task, TaskStatus.EXECUTE_FAIL, str(error))
        else:
            policy_tasks.update(connection, task_id, backup_id=backup.id, job_id=job.id)


def _acting_for(policy: Policy, task: PolicyTask) -> Caller:
    """A policy acts as the user who made it."""
    return Caller(
        project_id=policy.project_id,
        token_project_id=policy.project_id,
        user_id=policy.user_id,
        roles=frozenset(),
        is_admin=False,
        request_id=f"req-{task.id}",
    )


def end_finished_tasks(service: Service) -> None:
    """End the tasks whose jobs have ended; after a success delete what the policy's retention no longer keeps."""
    with service.database.read() as connection:
        task_ids = policy_tasks.with_ended_job(connection, limit=AT_ONCE_MAX)
    _each(task_ids, "task", lambda task_id: _end_finished(service, task_id))


def _end_finished(service: Service, task_id: str) -> None:
    with service.database.write() as connection:
        task = policy_tasks.lock_open(connection, task_id)
        job = None if task is None or task.job_id is None else jobs.find(connection, task.job_id, project_id=None)
        if task is None or job is None or job.status not in ENDED:
            return
        if job.status == JobStatus.FAIL:
            _end(service, connection, task, TaskStatus.EXECUTE_FAIL, job.fail_reason, at=job.end_time)
            return
        _end(service, connection, task, TaskStatus.EXECUTE_SUCCESS, None, at=job.end_time)
        policy = policies.find(connection, task.policy_id, project_id=None)
        if policy is not None:
            _share(service, connection, policy, task)
            if task.volume_id in policies.disks(connection, policy.id):
                _retain(service, connection, policy, task)


def _end(
    service: Service,
    connection: sa.Connection,
    task: PolicyTask,
    status: TaskStatus,
    reason: str | None,
    *,
    at: datetime | None = None,
) -> None:
    policy_tasks.update(connection, task.id, status=status, reason=reason, finished_at=at or service.clock())


def _share(service: Service, connection: sa.Connection, policy: Policy, task: PolicyTask) -> None:
    """Share the new backup with the projects of the policy's standing share. These shares end as any others do."""
    assert task.backup_id is not None
    if not policy.share_with:
        return
    backups.lock_row(connection, task.backup_id)
    if backups.stored_status(connection, task.backup_id) != BackupStatus.AVAILABLE:
        return  # deleted, or found damaged, since the job ended
    live = unexpired(service, connection, task.backup_id, now=service.clock())
    caller = _acting_for(policy, task)
    wanted = sorted(set(policy.share_with) - {share.to_project_id for share in live})
    limit = service.limits.shares_per_backup_max
    room = len(wanted) if limit < 0 else max(0, limit - len(live))
    if wanted[room:]:
        left_out = ", ".join(wanted[room:])
        log.warning(
            "backup %s of policy %s has all its %d shares: none to %s", task.backup_id, policy.id, limit, left_out
        )
    for project_id in wanted[:room]:
        grant(service, connection, caller, task.backup_id, project_id, policy_id=policy.id)


def _retain(service: Service, connection: sa.Connection, policy: Policy, task: PolicyTask) -> None:
    """Delete what the policy no longer keeps of the task's disk, as any delete: shares end, a job does the work."""
    stored = backups.stored_of_disks(connection, [task.volume_id], project_id=policy.project_id, policy_id=policy.id)
    of_disk = [backup for backup in stored if backup.volume_id == task.volume_id]
    verdicts = judge(policy.rule, policy.id, of_disk, service.clock())
    caller = _acting_for(policy, task)
    for backup_id, why in sorted((backup.id, why) for backup, why in verdicts if why in GOES):
        # The lock makes a restore that begins now wait, and shows one that has begun.
        backup = backups.find(
            connection,
            backup_id,
            viewer_project_id=policy.project_id,
            owner_project_id=policy.project_id,
            for_update=True,
        )
        deletable = backup is not None and backup.status in {BackupStatus.AVAILABLE, BackupStatus.ERROR}
        if backup is None or not deletable:
            continue
        if not backups.restoring_now(connection, backup_id, project_id=policy.project_id):
            details: dict[str, object] = {"because": "retention", "why": why}
            begin_delete(service, connection, caller, backup, policy_id=policy.id, details=details)


def forget_old_tasks(service: Service) -> None:
    """Remove tasks that ended longer ago than they are kept."""
    before = service.clock() - timedelta(days=service.run_rules.tasks_kept_days)
    with service.database.write() as connection:
        policy_tasks.forget(connection, ended_before=before)


def _each(ids: Iterable[str], kind: str, work: Callable[[str], None]) -> None:
    """Do the work for each; what is wrong with one must not keep the others from running."""
    for wanted_id in ids:
        try:
            work(wanted_id)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("%s %s could not go on; the next look tries again", kind, wanted_id)
