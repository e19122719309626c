"""Take everything out of the records' view that lies in one repository."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from openvbs.db.tables import backups, jobs, repositories, shares
from openvbs.domain.job import NEED_DATA, JobStatus


@dataclass(frozen=True, slots=True)
class Gone:
    """A record that left the view: a backup's, or with a share id a share's."""

    backup_id: str
    project_id: str
    share_id: str | None = None
    to_project_id: str | None = None


def all_ids(connection: sa.Connection, repository_id: str) -> set[str]:
    """Of every backup in the repository that there is a record of, also of those that are deleted."""
    return set(connection.scalars(sa.select(backups.c.id).where(backups.c.repository_id == repository_id)))


def count_records(connection: sa.Connection, repository_id: str) -> dict[str, int]:
    """How many backups each project has in the repository; others than its own have imported records."""
    rows = connection.execute(
        sa.select(backups.c.project_id, sa.func.count())
        .where(backups.c.repository_id == repository_id, backups.c.deleted_at.is_(None))
        .group_by(backups.c.project_id)
    )
    return {project_id: int(count) for project_id, count in rows}


def count_shares(connection: sa.Connection, repository_id: str) -> int:
    """How many live shares there are of backups in the repository."""
    query = sa.select(sa.func.count()).select_from(shares.join(backups, backups.c.id == shares.c.backup_id))
    return (
        connection.scalar(query.where(backups.c.repository_id == repository_id, shares.c.cancelled_at.is_(None))) or 0
    )


def is_data_needed(connection: sa.Connection, repository_id: str) -> bool:
    """Is any job under way that writes or reads backups of the repository?"""
    needing = (
        sa.select(sa.literal(1))
        .join(backups, sa.or_(backups.c.id == jobs.c.backup_id, backups.c.id == jobs.c.source_backup_id))
        .where(
            backups.c.repository_id == repository_id,
            jobs.c.kind.in_(NEED_DATA),
            jobs.c.status.in_([JobStatus.INIT, JobStatus.RUNNING]),
        )
    )
    return bool(connection.scalar(needing.limit(1)))


def end_shares(connection: sa.Connection, repository_id: str, *, now: datetime) -> list[Gone]:
    """Cancel every live share of backups in the repository."""
    inside = sa.select(backups.c.id).where(backups.c.repository_id == repository_id)
    ended = connection.execute(
        shares.update()
        .where(shares.c.backup_id.in_(inside), shares.c.cancelled_at.is_(None))
        .values(cancelled_at=now, updated_at=now)
        .returning(shares.c.backup_id, shares.c.from_project_id, shares.c.id, shares.c.to_project_id)
    )
    return [Gone(*row) for row in ended]


def end_backups(connection: sa.Connection, repository_id: str, *, now: datetime) -> list[Gone]:
    """Delete the record of every backup in the repository; there is nothing left to purge."""
    connection.execute(repositories.delete().where(repositories.c.id == repository_id))
    mine = backups.c.repository_id == repository_id
    connection.execute(
        backups.update()
        .where(mine, backups.c.deleted_at.is_not(None), backups.c.purged_at.is_(None))
        .values(purged_at=now)
    )
    ended = connection.execute(
        backups.update()
        .where(mine, backups.c.deleted_at.is_(None))
        .values(deleted_at=now, updated_at=now, purged_at=now)
        .returning(backups.c.id, backups.c.project_id)
    )
    return [Gone(*row) for row in ended]
