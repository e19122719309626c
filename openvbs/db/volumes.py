"""Volume and snapshot records. A volume's status is its lock: it changes only from the statuses that a caller names."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from openvbs.db.rows import from_value, metadata_holds, page, to_value
from openvbs.db.session import lock
from openvbs.db.tables import snapshots, volumes
from openvbs.domain.page import Page
from openvbs.domain.volume import Snapshot, Volume, VolumeQuery

T = TypeVar("T")


def insert_volume(connection: sa.Connection, volume: Volume) -> None:
    connection.execute(volumes.insert().values(from_value(volume)))


def insert_snapshot(connection: sa.Connection, snapshot: Snapshot) -> None:
    connection.execute(snapshots.insert().values(from_value(snapshot)))


def _find(
    connection: sa.Connection,
    table: sa.Table,
    cls: type[T],
    wanted_id: str,
    project_id: str | None,
    *,
    for_update: bool,
) -> T | None:
    query = sa.select(table).where(table.c.id == wanted_id, table.c.deleted_at.is_(None))
    if project_id is not None:
        query = query.where(table.c.project_id == project_id)
    row = connection.execute(lock(connection, query) if for_update else query).first()
    return None if row is None else to_value(cls, row)


def find_volume(
    connection: sa.Connection, volume_id: str, *, project_id: str | None, for_update: bool = False
) -> Volume | None:
    """The volume, if project_id is None or owns it and it is not deleted."""
    return _find(connection, volumes, Volume, volume_id, project_id, for_update=for_update)


def find_many(
    connection: sa.Connection, volume_ids: Collection[str], *, project_id: str, for_update: bool = False
) -> dict[str, Volume]:
    """Those of the volumes that the project owns, by id; locked in the order of their ids."""
    query = sa.select(volumes).where(
        volumes.c.id.in_(volume_ids), volumes.c.project_id == project_id, volumes.c.deleted_at.is_(None)
    )
    query = query.order_by(volumes.c.id)
    rows = connection.execute(lock(connection, query) if for_update else query)
    return {row.id: to_value(Volume, row) for row in rows}


def find_snapshot(
    connection: sa.Connection, snapshot_id: str, *, project_id: str | None, for_update: bool = False
) -> Snapshot | None:
    """The snapshot, if project_id is None or owns it and it is not deleted."""
    return _find(connection, snapshots, Snapshot, snapshot_id, project_id, for_update=for_update)


def _list_page(
    connection: sa.Connection, table: sa.Table, cls: type[T], query: VolumeQuery, project_id: str
) -> Page[T]:
    conditions: list[sa.ColumnElement[bool]] = [table.c.deleted_at.is_(None)]
    if not query.all_projects:
        conditions.append(table.c.project_id == project_id)
    filters = ("name", "status", "project_id", "user_id", "volume_id", "availability_zone", "bootable", "size_gib")
    wanted = {name: getattr(query, name) for name in filters}
    conditions += [table.c[name] == value for name, value in wanted.items() if value is not None]
    conditions += metadata_holds(table.c.metadata, query.metadata)
    return page(
        connection,
        sa.select(table).where(*conditions),
        order=[(table.c["size_gib" if key == "size" else key], way) for key, way in query.sort],
        id_column=table.c.id,
        make=lambda row: to_value(cls, row),
        limit=query.limit,
        offset=query.offset,
        marker=query.marker,
        with_count=query.with_count,
    )


def list_volumes(connection: sa.Connection, query: VolumeQuery, *, project_id: str) -> Page[Volume]:
    return _list_page(connection, volumes, Volume, query, project_id)


def list_snapshots(connection: sa.Connection, query: VolumeQuery, *, project_id: str) -> Page[Snapshot]:
    return _list_page(connection, snapshots, Snapshot, query, project_id)


def snapshots_of(connection: sa.Connection, volume_id: str, *, for_update: bool = False) -> list[Snapshot]:
    """Every snapshot of a volume that is not deleted."""
    query = (
        sa.select(snapshots)
        .where(snapshots.c.volume_id == volume_id, snapshots.c.deleted_at.is_(None))
        .order_by(snapshots.c.id)
    )
    rows = connection.execute(lock(connection, query) if for_update else query)
    return [to_value(Snapshot, row) for row in rows]


def _update(
    connection: sa.Connection,
    table: sa.Table,
    wanted_id: str,
    from_status: Sequence[str] | None,
    values: dict[str, Any],
) -> bool:
    query = table.update().where(table.c.id == wanted_id, table.c.deleted_at.is_(None))
    if from_status is not None:
        query = query.where(table.c.status.in_(from_status))
    return connection.execute(query.values(**values)).rowcount == 1


def update_volume(
    connection: sa.Connection,
    volume_id: str,
    *,
    now: datetime,
    from_status: Sequence[str] | None = None,
    **values: Any,
) -> bool:
    """Change columns; with from_status only if the present status is one of those. False when nothing matched."""
    return _update(connection, volumes, volume_id, from_status, {"updated_at": now, **values})


def update_snapshot(
    connection: sa.Connection,
    snapshot_id: str,
    *,
    now: datetime,
    from_status: Sequence[str] | None = None,
    **values: Any,
) -> bool:
    """Change columns; with from_status only if the present status is one of those. False when nothing matched."""
    return _update(connection, snapshots, snapshot_id, from_status, {"updated_at": now, **values})


def begin_work(
    connection: sa.Connection, volume_id: str, *, status: str, from_status: Sequence[str], now: datetime
) -> bool:
    """Take the volume's lock: set a working status and remember the one before."""
    return update_volume(
        connection,
        volume_id,
        now=now,
        from_status=from_status,
        status=status,
        previous_status=volumes.c.status,
    )


def end_work(connection: sa.Connection, volume_id: str, *, from_status: Sequence[str], now: datetime) -> bool:
    """Give the volume's lock back: the status from before the work, ``available`` if none was kept."""
    return update_volume(
        connection,
        volume_id,
        now=now,
        from_status=from_status,
        status=sa.func.coalesce(volumes.c.previous_status, "available"),
        previous_status=None,
    )


def registered_paths(connection: sa.Connection) -> list[str]:
    """Where the bytes of all registered volumes lie, by the names that the operator gave."""
    query = sa.select(volumes.c.path).where(volumes.c.path.is_not(None), volumes.c.deleted_at.is_(None))
    return [path for path in connection.scalars(query) if path is not None]
