"""Projects' own quotas, and what projects have."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from openvbs.db.backups import usage as backup_usage
from openvbs.db.jobs import IS_OPEN
from openvbs.db.json_text import json_text
from openvbs.db.rows import constant
from openvbs.db.session import lock_name
from openvbs.db.tables import backups, jobs, quotas, repositories, snapshots, volumes
from openvbs.domain.job import JobKind
from openvbs.domain.quota import Resource, StoredUsage, Usage
from openvbs.domain.volume import SnapshotStatus, VolumeStatus

_EXTENDING = sa.and_(jobs.c.volume_id == volumes.c.id, jobs.c.kind == constant(JobKind.EXTEND_VOLUME), IS_OPEN)
_NEW_SIZE_GIB = sa.cast(json_text(jobs.c.arguments, "new_size_gib"), sa.Integer)
_GROWTH_GIB = sa.func.coalesce(_NEW_SIZE_GIB - volumes.c.size_gib, 0)
_NO_GROWTH = sa.literal(0)


def lock(connection: sa.Connection, project_id: str) -> None:
    """Make everybody else who wants something of the project's quota wait until our commit.

    Taken after all locks of records: who waits for it holds what it works on, and nobody waits the other way round.
    """
    lock_name(connection, f"quota {project_id}")


def of_project(connection: sa.Connection, project_id: str) -> dict[Resource, int]:
    """The limits that the project has of its own."""
    rows = connection.execute(sa.select(quotas.c.resource, quotas.c.limit).where(quotas.c.project_id == project_id))
    return {Resource(resource): limit for resource, limit in rows}


def put(connection: sa.Connection, project_id: str, limits: Mapping[Resource, int], *, now: datetime) -> None:
    """Give the project these limits of its own; others stay."""
    lock(connection, project_id)
    mine = quotas.c.project_id == project_id
    connection.execute(quotas.delete().where(mine, quotas.c.resource.in_(limits)))
    if limits:
        rows = [
            {"project_id": project_id, "resource": resource, "limit": limit, "updated_at": now}
            for resource, limit in limits.items()
        ]
        connection.execute(quotas.insert(), rows)


def remove(connection: sa.Connection, project_id: str) -> None:
    """Let the project have the defaults again."""
    lock(connection, project_id)
    connection.execute(quotas.delete().where(quotas.c.project_id == project_id))


def volume_usage(connection: sa.Connection, project_id: str) -> dict[Resource, Usage]:
    """Volumes, snapshots, and the GiB of both; those that a volume is being extended by are reserved."""
    found = {}
    gigabytes = Usage()
    for resource, table, creating, rows_of, growth in (
        # Sizes and growths by one statement: the end of an extension moves the one to the other.
        (Resource.VOLUMES, volumes, VolumeStatus.CREATING, volumes.outerjoin(jobs, _EXTENDING), _GROWTH_GIB),
        (Resource.SNAPSHOTS, snapshots, SnapshotStatus.CREATING, snapshots, _NO_GROWTH),
    ):
        is_creating = sa.case((table.c.status == creating, 1), else_=0).label("is_creating")
        total_gib, growth_gib = (sa.func.coalesce(sa.func.sum(gib), 0) for gib in (table.c.size_gib, growth))
        rows = connection.execute(
            sa.select(is_creating, sa.func.count(), total_gib, growth_gib)
            .select_from(rows_of)
            .where(table.c.project_id == project_id, table.c.deleted_at.is_(None))
            .group_by(is_creating)
        )
        sums = {bool(state): (int(count), int(gib), int(more)) for state, count, gib, more in rows}
        (settled, settled_gib, grows_gib), (made, made_gib, _) = (sums.get(state, (0, 0, 0)) for state in (False, True))
        found[resource] = Usage(settled, made)
        gigabytes = Usage(gigabytes.in_use + settled_gib, gigabytes.reserved + made_gib + grows_gib)
    return {**found, Resource.GIGABYTES: gigabytes}


def backups_usage(connection: sa.Connection, project_id: str) -> dict[Resource, Usage]:
    """Backups and the GiB of their volumes."""
    sums = backup_usage(connection, project_id)
    (settled, settled_gib), (made, made_gib) = sums["settled"], sums["creating"]
    return {Resource.BACKUPS: Usage(settled, made), Resource.BACKUP_GIGABYTES: Usage(settled_gib, made_gib)}


def stored_usage(connection: sa.Connection, project_id: str) -> StoredUsage:
    """What the project's backups take up. The packs are those of its own repository, as last measured and added to."""
    count, gigabytes, data_bytes = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(backups.c.size_gib), 0),
            sa.func.coalesce(sa.func.sum(backups.c.bytes_total), 0),
        ).where(backups.c.project_id == project_id, backups.c.deleted_at.is_(None))
    ).one()
    stored = connection.scalar(
        sa.select(repositories.c.measured_bytes + repositories.c.added_bytes).where(repositories.c.id == project_id)
    )
    return StoredUsage(
        backups=int(count), backup_gigabytes=int(gigabytes), data_bytes=int(data_bytes), stored_bytes=int(stored or 0)
    )
