"""Share records: the only authority on who may use whose backup.

A share is live while it is neither cancelled nor, at the ``now`` that callers give, expired. They look at the clock
after they have the locks that they need: what a sweeper has not recorded yet is over all the same.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openvbs.db import backups as backup_rows
from openvbs.db.rows import from_value, like, page, to_value
from openvbs.db.tables import backups, shares
from openvbs.domain.page import Page
from openvbs.domain.share import Share, SharedBackup, ShareQuery

_NOT_ENDED = shares.c.cancelled_at.is_(None)
_NOW = sa.bindparam("now", type_=shares.c.expires_at.type)
_LIVE = sa.and_(_NOT_ENDED, sa.or_(shares.c.expires_at.is_(None), shares.c.expires_at > _NOW))
_SHARE_COLUMNS = [column for column in shares.c if column.name != "cancelled_at"]


def insert(connection: sa.Connection, share: Share) -> None:
    connection.execute(shares.insert().values(from_value(share)))


def live_of_backup(connection: sa.Connection, backup_id: str, *, now: datetime) -> list[Share]:
    """Every live share of a backup, in the order of their ids (the lock order)."""
    rows = connection.execute(
        sa.select(*_SHARE_COLUMNS).where(shares.c.backup_id == backup_id, _LIVE).order_by(shares.c.id), {"now": now}
    )
    return [to_value(Share, row) for row in rows]


def live_to(connection: sa.Connection, backup_id: str, *, to_project_id: str, now: datetime) -> Share | None:
    """The live share under which a project may use a backup that is not deleted."""
    row = connection.execute(
        sa.select(*_SHARE_COLUMNS)
        .join(backups, backups.c.id == shares.c.backup_id)
        .where(
            shares.c.backup_id == backup_id,
            shares.c.to_project_id == to_project_id,
            _LIVE,
            backups.c.deleted_at.is_(None),
        ),
        {"now": now},
    ).first()
    return None if row is None else to_value(Share, row)


def find_live(connection: sa.Connection, share_id: str, *, party_project_id: str, now: datetime) -> Share | None:
    """The live share if the project is its owner or its recipient."""
    row = connection.execute(
        sa.select(*_SHARE_COLUMNS).where(
            shares.c.id == share_id,
            _LIVE,
            sa.or_(shares.c.from_project_id == party_project_id, shares.c.to_project_id == party_project_id),
        ),
        {"now": now},
    ).first()
    return None if row is None else to_value(Share, row)


def cancel(connection: sa.Connection, share_ids: Sequence[str], *, now: datetime) -> list[str]:
    """End live shares; gives the ids of those that this call ended, so of two at once one gets none."""
    ended = connection.execute(
        shares.update()
        .where(shares.c.id.in_(share_ids), _LIVE)
        .values(cancelled_at=now, updated_at=now)
        .returning(shares.c.id),
        {"now": now},
    )
    return list(ended.scalars())


def set_expiry(connection: sa.Connection, share_id: str, expires_at: datetime, *, now: datetime) -> None:
    """Let a share that is live end at another time."""
    connection.execute(shares.update().where(shares.c.id == share_id).values(expires_at=expires_at, updated_at=now))


def with_expired(connection: sa.Connection, *, now: datetime, limit: int) -> list[str]:
    """Backups with shares that expired and are not recorded as ended, the earliest first."""
    expired = sa.select(shares.c.backup_id).where(_NOT_ENDED, shares.c.expires_at <= now)
    return list(dict.fromkeys(connection.scalars(expired.order_by(shares.c.expires_at).limit(limit))))


def end_expired(connection: sa.Connection, backup_id: str, *, now: datetime) -> list[Share]:
    """Record the end of the backup's shares that have expired; gives those that this call ended."""
    rows = connection.execute(
        shares.update()
        .where(shares.c.backup_id == backup_id, _NOT_ENDED, shares.c.expires_at <= now)
        .values(cancelled_at=shares.c.expires_at, updated_at=now)
        .returning(*_SHARE_COLUMNS)
    ).all()
    return [to_value(Share, row) for row in rows]


def _joined(viewer_project_id: str) -> sa.Select[Any]:
    """Live shares with their backups. Column names of the share are prefixed."""
    return (
        sa.select(
            *[column.label(f"share_{column.name}") for column in _SHARE_COLUMNS],
            *backup_rows.columns(viewer_project_id),
        )
        .join(backups, backups.c.id == shares.c.backup_id)
        .where(_LIVE, backups.c.deleted_at.is_(None))
    )


def _make(row: sa.Row[Any]) -> SharedBackup:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public way to read by name
    share = Share(**{column.name: values[f"share_{column.name}"] for column in _SHARE_COLUMNS})
    return SharedBackup(share, backup_rows.make(row))


def find_shared(
    connection: sa.Connection, share_id: str, *, party_project_id: str, now: datetime
) -> SharedBackup | None:
    """A live share with its backup, for its owner or its recipient."""
    party = sa.or_(shares.c.from_project_id == party_project_id, shares.c.to_project_id == party_project_id)
    row = connection.execute(_joined(party_project_id).where(shares.c.id == share_id, party), {"now": now}).first()
    return None if row is None else _make(row)


def _filtered(query: ShareQuery, viewer_project_id: str) -> sa.Select[Any]:
    mine = shares.c.to_project_id if query.share_to_me else shares.c.from_project_id
    conditions: list[sa.ColumnElement[bool]] = [mine == viewer_project_id]
    exact = {
        backup_rows.seen_status(viewer_project_id): query.status,
        backups.c.volume_id: query.volume_id,
        shares.c.backup_id: query.backup_id,
        shares.c.from_project_id: query.from_project_id,
        shares.c.to_project_id: query.to_project_id,
        backups.c.availability_zone: query.availability_zone,
    }
    conditions += [column == value for column, value in exact.items() if value is not None]
    if query.name_like is not None:
        conditions.append(like(backups.c.name, query.name_like))
    return _joined(viewer_project_id).where(*conditions)


def list_page(
    connection: sa.Connection, query: ShareQuery, *, viewer_project_id: str, now: datetime
) -> Page[SharedBackup]:
    """Live shares from the viewer, or with share_to_me to it. MarkerNotFound for a marker that is not among them."""
    keys: dict[str, list[sa.ColumnElement[Any]]] = {
        "name": [backups.c.name],
        "status": [backup_rows.seen_status(viewer_project_id)],
        "size": [backups.c.size_gib],
        "id": [shares.c.id],
        "created_at": [shares.c.created_at],
        "updated_at": [shares.c.updated_at],
        "container_format": [],
        "disk_format": [],
    }
    order = [(column, query.sort_dir) for column in keys[query.sort_key]]
    return page(
        connection,
        _filtered(query, viewer_project_id).params(now=now),
        order=[*order, (shares.c.created_at, "desc")],
        id_column=shares.c.id,
        make=_make,
        limit=query.limit,
        offset=query.offset,
        marker=query.marker,
    )


def count(connection: sa.Connection, query: ShareQuery, *, viewer_project_id: str, now: datetime) -> int:
    matching = _filtered(query, viewer_project_id).with_only_columns(shares.c.id).subquery()
    return connection.scalar(sa.select(sa.func.count()).select_from(matching), {"now": now}) or 0
