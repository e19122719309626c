"""Make, change and remove backup policies, and put disks on them. What their runs do is in actions/policy_runs.py.

Whoever changes a policy, its tags or its disks first locks the policy's row, as does who makes its tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openvbs.actions.policy_runs import make_due_tasks
from openvbs.actions.service import Service, record
from openvbs.auth.caller import Caller
from openvbs.db import policies, policy_tasks, volumes
from openvbs.db.session import lock_name
from openvbs.domain.audit import AuditAction
from openvbs.domain.errors import (
    PoliciesExceeded,
    PolicyNotFound,
    PolicyRunning,
    PolicyTagsExceeded,
    SharedWithItself,
    SharesPerBackupExceeded,
    StartTimesDisordered,
    TargetPolicyNotFound,
    VolumesPerPolicyExceeded,
)
from openvbs.domain.policy import (
    NOT_ASSOCIABLE,
    TAGS_MAX,
    Associated,
    ListedPolicy,
    Policy,
    PolicyFields,
    Refusal,
)
from openvbs.domain.schedule import BadSchedule, next_due, require_ascending
from openvbs.domain.volume import Volume


def create_policy(service: Service, caller: Caller, wanted: PolicyFields, tags: Mapping[str, str]) -> Policy:
    """Make a policy; on from now if ``is_on``. wanted has all that a policy needs.

    Raises SharedWithItself, StartTimesDisordered, PolicyTagsExceeded, PoliciesExceeded.
    """
    service.permissions.require(caller, "policy:create")
    _require_may_share(service, caller, wanted)
    now = service.clock()
    policy = _checked(_new_policy(service, caller, wanted, now), now)
    if len(tags) > TAGS_MAX:
        raise PolicyTagsExceeded(TAGS_MAX, len(tags))
    with service.database.write() as connection:
        lock_name(connection, f"policies of {caller.project_id}")
        limit = service.limits.policies_max
        if 0 <= limit <= policies.count(connection, project_id=caller.project_id):
            raise PoliciesExceeded(limit)
        policies.insert(connection, policy, tags)
        note(service, connection, caller, AuditAction.POLICY_CREATE, policy.id, details={"name": policy.name})
    return policy


def _new_policy(service: Service, caller: Caller, wanted: PolicyFields, now: datetime) -> Policy:
    assert wanted.name is not None
    assert wanted.start_time is not None
    return Policy(
        id=service.make_id(),
        project_id=caller.project_id,
        user_id=caller.user_id,
        name=wanted.name,
        start_time=wanted.start_time,
        every_days=wanted.every_days,
        weekdays=wanted.weekdays,
        keep_number=wanted.keep_number,
        keep_days=wanted.keep_days,
        keep_first_of_month=bool(wanted.keep_first_of_month),
        is_on=bool(wanted.is_on),
        time_zone=wanted.time_zone,
        next_due_at=None,
        created_at=now,
        updated_at=None,
        share_with=wanted.share_with or [],
    )


def _require_may_share(service: Service, caller: Caller, wanted: PolicyFields) -> None:
    """A standing share is no way around the rules of sharing."""
    if wanted.share_with:
        service.permissions.require(caller, "share:create")
        if caller.project_id in wanted.share_with:
            raise SharedWithItself("share_with")
        if 0 <= service.limits.shares_per_backup_max < len(wanted.share_with):
            raise SharesPerBackupExceeded(service.limits.shares_per_backup_max, len(wanted.share_with))


def _checked(policy: Policy, now: datetime) -> Policy:
    """The policy, whole and consistent, with its first due time from now on."""
    try:
        require_ascending(policy.start_time, policy.time_zone)
    except BadSchedule as error:
        raise StartTimesDisordered("start_time", str(error)) from error
    return replace(policy, next_due_at=next_due(policy.schedule, now) if policy.is_on else None)


def list_policies(service: Service, caller: Caller) -> list[ListedPolicy]:
    """All policies of the project, newest first."""
    service.permissions.require(caller, "policy:list")
    with service.database.read() as connection:
        return policies.list_all(connection, project_id=caller.project_id)


def update_policy(service: Service, caller: Caller, policy_id: str, wanted: PolicyFields) -> Policy:
    """Change what is said; the rest stays. Times that were due before this still run.

    Raises SharedWithItself, TargetPolicyNotFound, StartTimesDisordered.
    """
    service.permissions.require(caller, "policy:update")
    _require_may_share(service, caller, wanted)
    with service.database.write() as connection:
        policy = policy_to_change(connection, caller, policy_id)
        now = service.clock()
        changed = _merged(policy, wanted)
        if _timing(changed) != _timing(policy):
            changed = _checked(changed, now)
            make_due_tasks(service, connection, policy, now)
        values = {key: value for key, value in asdict(changed).items() if value != getattr(policy, key)}
        if values:
            policies.update(connection, policy_id, **values, updated_at=now)
            details: dict[str, object] = {"changed": sorted(values.keys() - {"next_due_at"})}
            note(service, connection, caller, AuditAction.POLICY_UPDATE, policy_id, details=details)
    return changed


def _merged(policy: Policy, wanted: PolicyFields) -> Policy:
    said: dict[str, Any] = {key: value for key, value in asdict(wanted).items() if value is not None}
    for one, other in (("every_days", "weekdays"), ("keep_number", "keep_days")):
        if one in said or other in said:
            said = {one: None, other: None, **said}
    return replace(policy, **said)


def _timing(policy: Policy) -> tuple[object, ...]:
    return (policy.start_time, policy.every_days, policy.weekdays, policy.time_zone, policy.is_on)


def delete_policy(service: Service, caller: Caller, policy_id: str) -> None:
    """Remove the policy with its tags and associations. Its backups stay, and no retention touches them again.

    Raises TargetPolicyNotFound, PolicyRunning.
    """
    service.permissions.require(caller, "policy:delete")
    with service.database.write() as connection:
        policy = policy_to_change(connection, caller, policy_id)
        require_idle(connection, policy_id)
        policies.delete(connection, policy_id)
        note(service, connection, caller, AuditAction.POLICY_DELETE, policy_id, details={"name": policy.name})


def associate(service: Service, caller: Caller, policy_id: str, volume_ids: Sequence[str]) -> list[Associated]:
    """Put disks on the policy, away from the ones that they were on; what became of each, in the given order.

    Raises TargetPolicyNotFound, VolumesPerPolicyExceeded, and then none is associated.
    """
    service.permissions.require(caller, "policy:associate")
    with service.database.write() as connection:
        policy_to_change(connection, caller, policy_id)
        found = volumes.find_many(connection, volume_ids, project_id=caller.project_id, for_update=True)
        answers = [_associable(volume_id, found.get(volume_id)) for volume_id in volume_ids]
        there = policies.disks(connection, policy_id).keys()
        new = {answer.volume_id for answer in answers if answer.refusal is None} - there
        limit = service.limits.volumes_per_policy_max
        if new and 0 <= limit < len(there) + len(new):
            raise VolumesPerPolicyExceeded(limit, len(there) + len(new))
        policies.associate(connection, policy_id, new, now=service.clock())
        if new:
            details: dict[str, object] = {"volume_ids": sorted(new)}
            note(service, connection, caller, AuditAction.POLICY_ASSOCIATE, policy_id, details=details)
    return answers


def _associable(volume_id: str, volume: Volume | None) -> Associated:
    if volume is None:
        return Associated(volume_id, None, Refusal.UNKNOWN)
    return Associated(volume_id, volume, Refusal.BAD_STATE if volume.status in NOT_ASSOCIABLE else None)


def disassociate(service: Service, caller: Caller, policy_id: str, volume_ids: Sequence[str]) -> list[Associated]:
    """Take disks off the policy; what became of each, in the given order. A run of theirs ends normally.

    Raises TargetPolicyNotFound.
    """
    service.permissions.require(caller, "policy:disassociate")
    with service.database.write() as connection:
        policy_to_change(connection, caller, policy_id)
        removed = policies.disassociate(connection, policy_id, volume_ids)
        if removed:
            details: dict[str, object] = {"volume_ids": sorted(removed)}
            note(service, connection, caller, AuditAction.POLICY_DISASSOCIATE, policy_id, details=details)
    return [Associated(i, None, None if i in removed else Refusal.UNKNOWN) for i in volume_ids]


def policy_to_change(connection: sa.Connection, caller: Caller, policy_id: str) -> Policy:
    """The caller's policy, locked until the commit. Raises TargetPolicyNotFound."""
    policy = policies.find(connection, policy_id, project_id=caller.project_id, for_update=True)
    if policy is None:
        raise TargetPolicyNotFound(policy_id)
    return policy


def policy_to_read(connection: sa.Connection, caller: Caller, policy_id: str) -> Policy:
    """The caller's policy. Raises PolicyNotFound."""
    policy = policies.find(connection, policy_id, project_id=caller.project_id)
    if policy is None:
        raise PolicyNotFound(policy_id)
    return policy


def require_idle(connection: sa.Connection, policy_id: str) -> None:
    """No run of the policy is under way. Raises PolicyRunning."""
    if policy_tasks.open_disks(connection, policy_id):
        raise PolicyRunning(policy_id)


def note(
    service: Service,
    connection: sa.Connection,
    caller: Caller,
    action: AuditAction,
    policy_id: str,
    *,
    details: dict[str, object],
) -> None:
    """Write down who did what to the policy."""
    record(
        service,
        connection,
        caller,
        action,
        owner=caller.project_id,
        policy_id=policy_id,
        outcome="done",
        details=details,
    )
