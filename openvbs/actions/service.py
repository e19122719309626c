"""What every action works with."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from openvbs.actions.noted import Noted
from openvbs.auth.caller import Caller
from openvbs.clock import Clock, utc_now
from openvbs.db import audit, jobs
from openvbs.db.session import Database
from openvbs.domain.audit import AuditEvent, AuditRules
from openvbs.domain.job import Job, JobKind, JobStatus
from openvbs.domain.limits import Limits
from openvbs.domain.policy import RunRules


class JobQueue(Protocol):
    """Starts durable work."""

    def enqueue(self, connection: sa.Connection, job: Job) -> None:
        """Start the job's workflow when, and only when, the connection's transaction commits."""


class Permissions(Protocol):
    """What a role may do."""

    def require(self, caller: Caller, action: str) -> None:
        """Return, or raise Forbidden."""


Work = Callable[[], None]


def do_now(work: Work) -> None:
    """The plainest ``Service.later``."""
    work()


def new_id() -> str:
    """A random id in the form that clients expect."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The parts that actions need, put together once by the composition root."""

    database: Database
    queue: JobQueue
    permissions: Permissions
    limits: Limits = field(default_factory=Limits)
    run_rules: RunRules = field(default_factory=RunRules)
    audit_rules: AuditRules = field(default_factory=AuditRules)
    noted: Noted = field(default_factory=Noted)
    clock: Clock = utc_now
    make_id: Callable[[], str] = new_id
    later: Callable[[Work], object] = do_now
    """Does what no caller waits for, in order. The work raises nothing but bugs, which it must not hide."""


class Unset:
    """The type of UNSET."""


UNSET = Unset()
"""An argument that was not given, where None means "empty it"."""


def given(**values: Any) -> dict[str, Any]:
    """Only the arguments that were given."""
    return {key: value for key, value in values.items() if value is not UNSET}


def enqueue(service: Service, connection: sa.Connection, caller: Caller, kind: JobKind, **values: Any) -> Job:
    """Write a job's row and start its workflow, both with the transaction."""
    job = Job(
        id=service.make_id(),
        project_id=caller.project_id,
        user_id=caller.user_id,
        kind=kind,
        status=JobStatus.INIT,
        backup_id=values.get("backup_id"),
        volume_id=values.get("volume_id"),
        snapshot_id=values.get("snapshot_id"),
        share_id=values.get("share_id"),
        bytes_done=0,
        bytes_total=values.get("bytes_total", 0),
        error_code=None,
        fail_reason=None,
        attempt=0,
        cancel_requested_by=None,
        request_id=caller.request_id,
        arguments=values.get("arguments", {}),
        created_at=service.clock(),
        begin_time=None,
        end_time=None,
        source_backup_id=values.get("source_backup_id"),
    )
    jobs.insert(connection, job)
    service.queue.enqueue(connection, job)
    return job


def record(
    service: Service, connection: sa.Connection, caller: Caller, action: str, *, owner: str, **values: Any
) -> None:
    """Write an audit event that the owner may read; it stands or falls with the transaction."""
    audit.insert(connection, make_event(service, caller, action, owner=owner, **values))


def make_event(service: Service, caller: Caller, action: str, *, owner: str, **values: Any) -> AuditEvent:
    """The event that the caller did this just now."""
    return AuditEvent(
        id=service.make_id(),
        at=service.clock(),
        project_id=owner,
        action=action,
        actor_project_id=caller.project_id,
        actor_user_id=caller.user_id,
        as_admin=caller.as_admin or (caller.sees_all and caller.project_id != owner),
        backup_id=values.get("backup_id"),
        share_id=values.get("share_id"),
        job_id=values.get("job_id"),
        to_project_id=values.get("to_project_id"),
        outcome=values.get("outcome", "accepted"),
        request_id=caller.request_id,
        source_address=caller.source_address,
        details=values.get("details", {}),
        policy_id=values.get("policy_id"),
        once=values.get("once"),
        is_owed=service.audit_rules.notifies,
    )
