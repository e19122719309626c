"""Share records: the only authority on who may use whose backup.

A share is live while it is neither cancelled nor, at the ``now`` that callers give, expired. They look at the clock
after they have the locks that they need: what a sweeper has not recorded yet is over all the same.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from openvbs.db import backups as backup_rows
from openvbs.db import store_records
from openvbs.db.backup_lists import has_name_like, ties
from openvbs.db.rows import LISTINGS_KEPT_MAX, Listing, from_value, like_parameter, like_pattern, maker, to_value
from openvbs.db.session import lock
from openvbs.db.tables import backups, shares
from openvbs.domain.backup import BackupStatus
from openvbs.domain.page import Page
from openvbs.domain.share import GrantedBackup, Share, SharedBackup, ShareQuery

_NOT_ENDED = shares.c.cancelled_at.is_(None)
_NOW = sa.bindparam("now", type_=shares.c.expires_at.type)
_LIVE = sa.and_(_NOT_ENDED, sa.or_(shares.c.expires_at.is_(None), shares.c.expires_at > _NOW))
_WITH_BACKUP = sa.and_(backups.c.id == shares.c.backup_id, backups.c.deleted_at.is_(None))
"""What joins a share to its backup, which is not deleted."""
_SHARE_COLUMNS = [column for column in shares.c if column.name not in {"cancelled_at", "suspended_at"}]
_make_share = maker(Share, _SHARE_COLUMNS)
_GRANTED = [{column.key: column for column in backup_rows.COLUMNS}[name] for name in GrantedBackup._fields]


def insert(connection: sa.Connection, share: Share) -> None:
    """Add a live share. One to the same project that waits to be accepted is not needed any more."""
    drop_suspended(connection, share.backup_id, to_project_id=share.to_project_id, now=share.created_at)
    connection.execute(shares.insert().values(from_value(share)))
    store_records.note_change(connection, share.backup_id, now=share.created_at)


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
        .join(backups, _WITH_BACKUP)
        .where(shares.c.backup_id == backup_id, shares.c.to_project_id == to_project_id, _LIVE),
        {"now": now},
    ).first()
    return None if row is None else to_value(Share, row)


def lock_for_party(connection: sa.Connection, backup_id: str, *, party_project_id: str, now: datetime) -> bool:
    """Lock the backup's row as lock_row does, if the project owns the backup or has a live share of it; else False.

    Who had to wait for the lock looks again: the share may have been cancelled meanwhile.
    """
    to_it = sa.and_(shares.c.backup_id == backups.c.id, shares.c.to_project_id == party_project_id)
    is_party = sa.or_(backups.c.project_id == party_project_id, sa.exists().where(to_it, _LIVE))
    query = sa.select(backups.c.id).where(backups.c.id == backup_id, is_party)
    return connection.execute(lock(connection, query), {"now": now}).first() is not None


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
        .returning(shares.c.id, shares.c.backup_id),
        {"now": now},
    ).all()
    for backup_id in dict.fromkeys(row.backup_id for row in ended):
        store_records.note_change(connection, backup_id, now=now)
    return [row.id for row in ended]


def suspend(connection: sa.Connection, share: Share, *, now: datetime) -> None:
    """Add a share that grants nothing until it is accepted."""
    connection.execute(shares.insert().values(**from_value(share), cancelled_at=now, suspended_at=now))


def suspended(connection: sa.Connection) -> list[Share]:
    """Every share that waits to be accepted, of backups that are there."""
    rows = connection.execute(
        sa.select(*_SHARE_COLUMNS)
        .join(backups, _WITH_BACKUP)
        .where(shares.c.suspended_at.is_not(None))
        .order_by(shares.c.from_project_id, shares.c.backup_id, shares.c.id)
    )
    return [to_value(Share, row) for row in rows]


def accept(connection: sa.Connection, share: Share, *, now: datetime) -> bool:
    """Let a suspended share be live; False if it does not wait any more. The caller has locked the backup's row."""
    accepted = connection.execute(
        shares.update()
        .where(shares.c.id == share.id, shares.c.suspended_at.is_not(None))
        .values(cancelled_at=None, suspended_at=None, updated_at=now)
    )
    store_records.note_change(connection, share.backup_id, now=now)
    return accepted.rowcount == 1


def drop_suspended(
    connection: sa.Connection, backup_id: str, *, to_project_id: str | None = None, now: datetime
) -> None:
    """Let no share of the backup wait to be accepted, or none to that project: they stay cancelled."""
    waiting = sa.and_(shares.c.backup_id == backup_id, shares.c.suspended_at.is_not(None))
    if to_project_id is not None:
        waiting = sa.and_(waiting, shares.c.to_project_id == to_project_id)
    if connection.execute(shares.update().where(waiting).values(suspended_at=None)).rowcount:
        store_records.note_change(connection, backup_id, now=now)


def set_expiry(connection: sa.Connection, share_id: str, expires_at: datetime, *, now: datetime) -> None:
    """Let a share that is live end at another time."""
    moved = shares.update().where(shares.c.id == share_id).values(expires_at=expires_at, updated_at=now)
    backup_id = connection.execute(moved.returning(shares.c.backup_id)).scalar_one()
    store_records.note_change(connection, backup_id, now=now)


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
    if rows:
        store_records.note_change(connection, backup_id, now=now)
    return [to_value(Share, row) for row in rows]


_SHARED = (
    sa.select(*[column.label(f"share_{column.name}") for column in _SHARE_COLUMNS], *_GRANTED)
    .join(backups, _WITH_BACKUP)
    .where(_LIVE)
)
"""Live shares with their backups."""


def _make(row: Sequence[Any]) -> SharedBackup:
    own = len(_SHARE_COLUMNS)
    return SharedBackup(_make_share(row[:own]), GrantedBackup._make(row[own:]))


_FIND_SHARED = _SHARED.where(
    shares.c.id == sa.bindparam("id"),
    sa.or_(shares.c.from_project_id == backup_rows.VIEWER, shares.c.to_project_id == backup_rows.VIEWER),
)


def find_shared(
    connection: sa.Connection, share_id: str, *, party_project_id: str, now: datetime
) -> SharedBackup | None:
    """A live share with its backup, for its owner or its recipient."""
    row = connection.execute(_FIND_SHARED, {"id": share_id, "viewer": party_project_id, "now": now}).first()
    return None if row is None else _make(row)


_OF_SHARE = {name: shares.c[name] for name in ("backup_id", "from_project_id", "to_project_id")}
_OF_BACKUP = {name: backups.c[name] for name in ("volume_id", "availability_zone")}
_ABOUT_BACKUPS = {*_OF_BACKUP, "name_like", "status"}
_IN_INDEXES_OF_BACKUPS = {"name", "size"}
_SORT_COLUMNS: dict[str, list[sa.ColumnElement[Any]]] = {
    "name": [backups.c.name],
    "status": [backup_rows.SEEN_STATUS],
    "size": [backups.c.size_gib],
    "id": [shares.c.id],
    "created_at": [shares.c.created_at],
    "updated_at": [shares.c.updated_at],
    "container_format": [],
    "disk_format": [],
}


def _given(query: ShareQuery, viewer_project_id: str, now: datetime) -> dict[str, Any]:
    """The filters that the query has, by their parameters' names."""
    values = {name: getattr(query, name) for name in (*_OF_SHARE, *_OF_BACKUP, "status")}
    name_like = None if query.name_like is None else like_pattern(query.name_like)
    values |= {"name_like": name_like, "viewer": viewer_project_id, "now": now}
    return {name: value for name, value in values.items() if value is not None}


def _conditions(
    given: frozenset[str], status: str | None, *, share_to_me: bool, sort_key: str | None = None
) -> list[sa.ColumnElement[bool]]:
    """The filters, in terms that tell PostgreSQL where to begin: owners share only their own, so either would do."""
    exact = _OF_SHARE | _OF_BACKUP
    conditions = [column == sa.bindparam(name) for name, column in exact.items() if name in given]
    if status is not None:
        conditions.append(backup_rows.is_seen_as(status))
    if share_to_me:
        conditions.append(shares.c.to_project_id == backup_rows.VIEWER)
        return conditions + ([like_parameter(backups.c.folded_name, "name_like")] if "name_like" in given else [])
    if "name_like" in given:
        conditions.append(has_name_like(backup_rows.VIEWER))
    in_order_of_backups = sort_key in _IN_INDEXES_OF_BACKUPS
    if not in_order_of_backups:
        conditions.append(shares.c.from_project_id == backup_rows.VIEWER)
    # Naming the owner twice makes PostgreSQL expect next to nothing, and gather all before it sorts: right for a
    # rare status, and for an order that no index has.
    if in_order_of_backups or sort_key == "status" or status not in {None, BackupStatus.AVAILABLE}:
        conditions.append(backups.c.project_id == backup_rows.VIEWER)
    return conditions


def list_page(
    connection: sa.Connection, query: ShareQuery, *, viewer_project_id: str, now: datetime
) -> Page[SharedBackup]:
    """Live shares from the viewer, or with share_to_me to it. MarkerNotFound for a marker that is not among them."""
    given = _given(query, viewer_project_id, now)
    status = None if query.status is None else backup_rows.status_shape(query.status)
    listing = _listing(
        frozenset(given), status, share_to_me=query.share_to_me, sort_key=query.sort_key, sort_dir=query.sort_dir
    )
    return listing.page(connection, given, limit=query.limit, offset=query.offset, marker=query.marker)


@lru_cache(LISTINGS_KEPT_MAX)
def _listing(
    given: frozenset[str], status: str | None, *, share_to_me: bool, sort_key: str, sort_dir: str
) -> Listing[SharedBackup]:
    """The list with these filters and this order."""
    conditions = _conditions(given, status, share_to_me=share_to_me, sort_key=sort_key)
    follow = [] if sort_key == "created_at" else [*ties(sort_key, sort_dir), (shares.c.created_at, "desc")]
    return Listing(
        _SHARED.where(*conditions),
        order=[*[(column, sort_dir) for column in _SORT_COLUMNS[sort_key]], *follow],
        id_column=shares.c.id,
        make=_make,
    )


def count(connection: sa.Connection, query: ShareQuery, *, viewer_project_id: str, now: datetime) -> int:
    """How many shares list_page would show without paging."""
    given = _given(query, viewer_project_id, now)
    status = None if query.status is None else backup_rows.status_shape(query.status)
    return connection.scalar(_counting(frozenset(given), status, share_to_me=query.share_to_me), given) or 0


@lru_cache(LISTINGS_KEPT_MAX)
def _counting(given: frozenset[str], status: str | None, *, share_to_me: bool) -> sa.Select[Any]:
    """Counts the shares that the list with these filters has.

    The backup is looked at only where a filter is about it: the deletion of a backup ends its shares when it is
    accepted, so a live share always has one.
    """
    counted = sa.select(sa.func.count()).select_from(shares).where(_LIVE)
    if given & _ABOUT_BACKUPS:
        counted = counted.join(backups, _WITH_BACKUP)
    return counted.where(*_conditions(given, status, share_to_me=share_to_me))
