"""Tasks of policies. Stored WAITING means not ended: what is shown then is what the job of the task's backup says."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openvbs.db.rows import from_value, page, to_value
from openvbs.db.session import lock
from openvbs.db.tables import backups, jobs, policy_tasks, volumes
from openvbs.domain.backup import BackupStatus
from openvbs.domain.job import JobStatus
from openvbs.domain.page import Page
from openvbs.domain.policy import PolicyTask, TaskQuery, TaskStatus

_OPEN = policy_tasks.c.status == TaskStatus.WAITING
_SEEN = {
    JobStatus.INIT: TaskStatus.WAITING,
    JobStatus.RUNNING: TaskStatus.RUNNING,
    JobStatus.SUCCESS: TaskStatus.EXECUTE_SUCCESS,
    JobStatus.FAIL: TaskStatus.EXECUTE_FAIL,
}


def insert(connection: sa.Connection, tasks: Sequence[PolicyTask]) -> None:
    """Add tasks; one whose (policy, disk, due time) is there already is left out."""
    if not tasks:
        return
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(make(policy_tasks).on_conflict_do_nothing(), [from_value(task) for task in tasks])


def list_page(connection: sa.Connection, query: TaskQuery, *, policy_id: str) -> Page[PolicyTask]:
    """The policy's tasks by the time they were made, with the count of all that match. Raises MarkerNotFound."""
    follows = sa.and_(_OPEN, jobs.c.id.is_not(None))
    status = sa.case((follows, sa.case(_SEEN, value=jobs.c.status)), else_=policy_tasks.c.status)
    plain = [column for column in policy_tasks.c if column.name not in {"status", "finished_at", "reason"}]
    conditions = [policy_tasks.c.policy_id == policy_id]
    if query.task_id is not None:
        conditions.append(policy_tasks.c.id == query.task_id)
    if query.status is not None:
        conditions.append(status == query.status)
    return page(
        connection,
        sa.select(
            *plain,
            status.label("status"),
            sa.func.coalesce(policy_tasks.c.finished_at, jobs.c.end_time).label("finished_at"),
            sa.func.coalesce(policy_tasks.c.reason, jobs.c.fail_reason).label("reason"),
        )
        .outerjoin(jobs, jobs.c.id == policy_tasks.c.job_id)
        .where(*conditions),
        order=[(policy_tasks.c.created_at, query.sort_dir)],
        id_column=policy_tasks.c.id,
        make=lambda row: to_value(PolicyTask, row),
        limit=query.limit,
        offset=query.offset,
        marker=query.marker,
        with_count=True,
    )


def open_disks(connection: sa.Connection, policy_id: str) -> set[str]:
    """The volumes with a task of the policy that has not ended, as far as its job tells."""
    running = sa.or_(jobs.c.id.is_(None), jobs.c.status.in_([JobStatus.INIT, JobStatus.RUNNING]))
    return set(
        connection.scalars(
            sa.select(policy_tasks.c.volume_id)
            .outerjoin(jobs, jobs.c.id == policy_tasks.c.job_id)
            .where(policy_tasks.c.policy_id == policy_id, _OPEN, running)
        )
    )


def ready_to_begin(connection: sa.Connection, *, busy: Collection[str], waits_since: datetime, limit: int) -> list[str]:
    """Ids of tasks whose backup is worth a try, the earliest due first.

    Those of a disk that is busy with something else than a backup are left out until they wait for too long: since
    before waits_since.
    """
    backup_runs = (
        sa.exists()
        .where(
            backups.c.volume_id == policy_tasks.c.volume_id,
            backups.c.status == BackupStatus.CREATING,
            backups.c.deleted_at.is_(None),
        )
        .correlate(policy_tasks)
    )
    waits = sa.and_(volumes.c.status.in_(busy), ~backup_runs, policy_tasks.c.created_at >= waits_since)
    return list(
        connection.scalars(
            sa.select(policy_tasks.c.id)
            .outerjoin(volumes, sa.and_(volumes.c.id == policy_tasks.c.volume_id, volumes.c.deleted_at.is_(None)))
            .where(_OPEN, policy_tasks.c.job_id.is_(None), sa.or_(volumes.c.id.is_(None), ~waits))
            .order_by(policy_tasks.c.due_at, policy_tasks.c.id)
            .limit(limit)
        )
    )


def with_ended_job(connection: sa.Connection, *, limit: int) -> list[str]:
    """Ids of tasks that have not been ended though their job has, the earliest first."""
    return list(
        connection.scalars(
            sa.select(policy_tasks.c.id)
            .join(jobs, jobs.c.id == policy_tasks.c.job_id)
            .where(_OPEN, jobs.c.status.in_([JobStatus.SUCCESS, JobStatus.FAIL]))
            .order_by(jobs.c.end_time, policy_tasks.c.id)
            .limit(limit)
        )
    )


def lock_open(connection: sa.Connection, task_id: str) -> PolicyTask | None:
    """The task if it has not ended, locked until the commit: of two schedulers one goes on with it."""
    query = sa.select(policy_tasks).where(policy_tasks.c.id == task_id, _OPEN)
    row = connection.execute(lock(connection, query)).first()
    return None if row is None else to_value(PolicyTask, row)


def update(connection: sa.Connection, task_id: str, **values: Any) -> None:
    connection.execute(policy_tasks.update().where(policy_tasks.c.id == task_id).values(**values))


def forget_skipped(connection: sa.Connection, policy_id: str, *, due_after: datetime) -> None:
    """Remove the policy's tasks of later due times that were skipped, so that these can still run."""
    skipped = sa.and_(policy_tasks.c.policy_id == policy_id, policy_tasks.c.status == TaskStatus.SKIP)
    connection.execute(policy_tasks.delete().where(skipped, policy_tasks.c.due_at > due_after))


def forget(connection: sa.Connection, *, ended_before: datetime) -> int:
    """Remove tasks that ended before then; gives how many."""
    return connection.execute(policy_tasks.delete().where(policy_tasks.c.finished_at < ended_before)).rowcount
