"""Job records. The workflow that does the work has the same id."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openvbs.db.rows import constant, from_value, page, to_value
from openvbs.db.session import lock
from openvbs.db.tables import jobs
from openvbs.domain.job import Job, JobKind, JobQuery, JobStatus
from openvbs.domain.page import Page

IS_OPEN = jobs.c.status.in_([constant(JobStatus.INIT), constant(JobStatus.RUNNING)])
"""The condition that a job has not ended."""


def insert(connection: sa.Connection, job: Job) -> None:
    """Add a job. sqlalchemy.exc.IntegrityError for a second collecting job of one project."""
    connection.execute(jobs.insert().values(from_value(job)))


def find(connection: sa.Connection, job_id: str, *, project_id: str | None, for_update: bool = False) -> Job | None:
    """The job, if project_id is None or owns it."""
    query = sa.select(jobs).where(jobs.c.id == job_id)
    if project_id is not None:
        query = query.where(jobs.c.project_id == project_id)
    row = connection.execute(lock(connection, query) if for_update else query).first()
    return None if row is None else to_value(Job, row)


def list_page(connection: sa.Connection, query: JobQuery, *, project_id: str) -> Page[Job]:
    exact = {
        jobs.c.status: query.status,
        jobs.c.kind: query.kind,
        jobs.c.backup_id: query.backup_id,
        jobs.c.volume_id: query.volume_id,
    }
    conditions = [
        jobs.c.project_id == project_id,
        *[column == value for column, value in exact.items() if value is not None],
    ]
    return page(
        connection,
        sa.select(jobs).where(*conditions),
        order=[(jobs.c.created_at, "desc")],
        id_column=jobs.c.id,
        make=lambda row: to_value(Job, row),
        limit=query.limit,
        marker=query.marker,
    )


def list_open(connection: sa.Connection) -> list[Job]:
    """Every job that has not ended, oldest first."""
    rows = connection.execute(sa.select(jobs).where(IS_OPEN).order_by(jobs.c.created_at))
    return [to_value(Job, row) for row in rows]


def cancelled_while_waiting(connection: sa.Connection) -> list[Job]:
    """Every job that was asked to stop and has not begun, oldest first."""
    # IS_OPEN adds nothing, but without its very words SQLite reads the jobs of all times.
    query = sa.select(jobs).where(IS_OPEN, jobs.c.status == JobStatus.INIT, jobs.c.cancel_requested_by.is_not(None))
    return [to_value(Job, row) for row in connection.execute(query.order_by(jobs.c.created_at))]


def count_open(connection: sa.Connection) -> dict[str, int]:
    """How many jobs wait (INIT) and run (RUNNING)."""
    rows = connection.execute(sa.select(jobs.c.status, sa.func.count()).where(IS_OPEN).group_by(jobs.c.status))
    return dict(rows.all())


def begin(connection: sa.Connection, job_id: str, *, now: datetime) -> Job | None:
    """Start or resume an open job as a new attempt; None when it has ended already."""
    changed = connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, IS_OPEN)
        .values(
            status=JobStatus.RUNNING,
            attempt=jobs.c.attempt + 1,
            begin_time=sa.func.coalesce(jobs.c.begin_time, _moment(now)),
        )
    ).rowcount
    return find(connection, job_id, project_id=None) if changed else None


def _moment(now: datetime) -> sa.ColumnElement[Any]:
    return sa.literal(now, jobs.c.begin_time.type)


def update_open(connection: sa.Connection, job_id: str, *, attempt: int | None, **values: Any) -> bool:
    """Change an open job, with attempt only if that is still the newest one. After False nothing may be published."""
    query = jobs.update().where(jobs.c.id == job_id, IS_OPEN)
    if attempt is not None:
        query = query.where(jobs.c.attempt == attempt)
    return connection.execute(query.values(**values)).rowcount == 1


def open_of_backup(
    connection: sa.Connection, backup_id: str, kinds: Collection[str], *, for_update: bool = False
) -> Job | None:
    """An open job of one of these kinds on the backup, the oldest; with for_update it stays open until our commit."""
    query = sa.select(jobs).where(jobs.c.backup_id == backup_id, jobs.c.kind.in_(kinds), IS_OPEN)
    query = query.order_by(jobs.c.created_at).limit(1)
    row = connection.execute(lock(connection, query) if for_update else query).first()
    return None if row is None else to_value(Job, row)


def open_under_shares(connection: sa.Connection, backup_id: str) -> list[Job]:
    """What recipients are doing with the backup under shares, live or ended, and nobody asked to cancel."""
    query = sa.select(jobs).where(
        sa.or_(jobs.c.backup_id == backup_id, jobs.c.source_backup_id == backup_id),
        jobs.c.share_id.is_not(None),
        jobs.c.cancel_requested_by.is_(None),
        IS_OPEN,
    )
    return [to_value(Job, row) for row in connection.execute(query.order_by(jobs.c.id))]


def open_care(connection: sa.Connection, project_id: str, kind: JobKind) -> Job | None:
    """The job of this kind on the project's repository that waits or runs, locked until the commit."""
    query = sa.select(jobs).where(jobs.c.project_id == project_id, jobs.c.kind == kind, IS_OPEN)
    row = connection.execute(lock(connection, query)).first()
    return None if row is None else to_value(Job, row)


def last_asked(connection: sa.Connection, kind: JobKind, *, until: datetime) -> dict[str, datetime]:
    """When each project's last job of this kind was asked for, of those until then."""
    rows = connection.execute(
        sa.select(jobs.c.project_id, sa.func.max(jobs.c.created_at))
        .where(jobs.c.kind == kind, jobs.c.created_at <= until)
        .group_by(jobs.c.project_id)
    )
    return dict(rows.all())


def failed_checks(connection: sa.Connection) -> dict[str, str]:
    """Of every project whose last ended check of its repository failed, why."""
    ended = sa.select(jobs.c.project_id, jobs.c.status, jobs.c.fail_reason).where(
        jobs.c.kind == JobKind.CHECK, jobs.c.end_time.is_not(None)
    )
    last = {row.project_id: row for row in connection.execute(ended.order_by(jobs.c.end_time))}
    return {project: row.fail_reason or "" for project, row in last.items() if row.status == JobStatus.FAIL}
