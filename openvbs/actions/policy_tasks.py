"""Run a policy now, see what its runs did, and what its retention will do."""

import sqlalchemy as sa

from openvbs.actions.policies import note, policy_to_change, policy_to_read, require_idle
from openvbs.actions.policy_runs import new_task
from openvbs.actions.quotas import require_room_for_backup
from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import backups, policies, policy_tasks, volumes
from openvbs.domain.audit import AuditAction
from openvbs.domain.errors import NoRoomToRun, NoVolumesToRun, QuotaExceeded
from openvbs.domain.page import Page
from openvbs.domain.policy import PolicyTask, RetentionPreview, TaskQuery
from openvbs.domain.retention import Forecast, explain
from openvbs.domain.schedule import next_due


def run_policy(service: Service, caller: Caller, policy_id: str) -> list[PolicyTask]:
    """Make a task for each disk of the policy, on or off; a worker begins them within a second or two.

    Raises TargetPolicyNotFound, NoVolumesToRun, PolicyRunning, NoRoomToRun.
    """
    service.permissions.require(caller, "policy:run")
    with service.database.write() as connection:
        policy = policy_to_change(connection, caller, policy_id)
        disks = policies.disks(connection, policy_id)
        if not disks:
            raise NoVolumesToRun(policy_id)
        require_idle(connection, policy_id)
        _require_room_for_one(service, connection, caller, list(disks))
        now = service.clock()
        tasks = [new_task(service, policy, volume_id, now, now, skipped_because=None) for volume_id in disks]
        policy_tasks.insert(connection, tasks)
        note(service, connection, caller, AuditAction.POLICY_RUN, policy_id, details={"tasks": len(tasks)})
    return tasks


def _require_room_for_one(service: Service, connection: sa.Connection, caller: Caller, volume_ids: list[str]) -> None:
    found = volumes.find_many(connection, volume_ids, project_id=caller.project_id).values()
    smallest = min(found, key=lambda volume: volume.size_gib, default=None)
    if smallest is not None:
        try:
            require_room_for_backup(service, connection, caller.project_id, smallest.size_gib)
        except QuotaExceeded as error:
            raise NoRoomToRun(str(error)) from error


def list_tasks(service: Service, caller: Caller, policy_id: str, query: TaskQuery) -> Page[PolicyTask]:
    """The policy's tasks with the count of all that match. Raises PolicyNotFound, MarkerNotFound."""
    service.permissions.require(caller, "policy:show")
    with service.database.read() as connection:
        policy_to_read(connection, caller, policy_id)
        return policy_tasks.list_page(connection, query, policy_id=policy_id)


def preview_retention(service: Service, caller: Caller, policy_id: str) -> RetentionPreview:
    """For each disk of the policy and each that it has backups of: what will become of every backup.

    Raises PolicyNotFound.
    """
    service.permissions.require(caller, "policy:show")
    with service.database.read() as connection:
        policy = policy_to_read(connection, caller, policy_id)
        associated = policies.disks(connection, policy_id)
        stored = backups.stored_of_disks(
            connection, list(associated), project_id=caller.project_id, policy_id=policy_id
        )
    now = service.clock()
    schedule = policy.schedule if policy.is_on else None
    forecasts: dict[str, list[Forecast]] = {}
    for volume_id in sorted({*associated, *(backup.volume_id for backup in stored)}):
        of_disk = [backup for backup in stored if backup.volume_id == volume_id]
        runs = schedule if volume_id in associated else None
        forecasts[volume_id] = explain(policy.rule, policy.id, of_disk, now, runs)
    next_run_at = None if schedule is None else next_due(schedule, now)
    return RetentionPreview(policy, now, next_run_at, forecasts, frozenset(associated))
