"""Which backups' records have changed since the store was told, so that a worker tells it.

A version is the time of the change in microseconds, or one more than the last where the clock has not moved on. So it
grows with every change, also when an older database was put back meanwhile.
"""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openvbs.db.rows import to_value
from openvbs.db.tables import backups, shares, store_records
from openvbs.domain.backup import Backup, BackupStatus
from openvbs.domain.share import Share

_MICROSECONDS = 1_000_000
_OWED = store_records.c.version != store_records.c.stored_version


def note_change(connection: sa.Connection, backup_id: str, *, now: datetime) -> None:
    """What the store says of the backup is out of date; stands or falls with the transaction."""
    version = int(now.timestamp() * _MICROSECONDS)
    next_one = store_records.c.version + 1
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        dialect.insert(store_records)
        .values(backup_id=backup_id, version=version, stored_version=0)
        .on_conflict_do_update(
            index_elements=[store_records.c.backup_id],
            set_={"version": sa.case((next_one > version, next_one), else_=version)},
        )
    )


def owed(connection: sa.Connection, *, limit: int, without: Collection[str] = ()) -> list[tuple[str, int]]:
    """(backup id, version) of changes that the store was not told, oldest first, without those of some repositories.

    Backups that are still being made wait: their facts are about to be written with them.
    """
    making = sa.and_(backups.c.status == BackupStatus.CREATING, backups.c.deleted_at.is_(None))
    rows = connection.execute(
        sa.select(store_records.c.backup_id, store_records.c.version)
        .join(backups, backups.c.id == store_records.c.backup_id, isouter=True)
        .where(_OWED, sa.or_(backups.c.id.is_(None), ~sa.or_(making, backups.c.repository_id.in_(without))))
        .order_by(store_records.c.version)
        .limit(limit)
    )
    return [(row.backup_id, row.version) for row in rows]


def mark_stored(connection: sa.Connection, backup_id: str, version: int) -> None:
    """The store knows this version; a later one stays owed."""
    mine = store_records.c.backup_id == backup_id
    connection.execute(
        store_records.update().where(mine, store_records.c.version == version).values(stored_version=version)
    )


def forget(connection: sa.Connection, backup_id: str, version: int) -> None:
    """The store holds no record of it any more, and nothing will change again unless after this version."""
    mine = store_records.c.backup_id == backup_id
    connection.execute(store_records.delete().where(mine, store_records.c.version == version))


def put_known(connection: sa.Connection, backup_id: str, version: int) -> None:
    """For a record that was read from the store: it has this version."""
    connection.execute(store_records.insert().values(backup_id=backup_id, version=version, stored_version=version))


def state_of(connection: sa.Connection, backup_id: str) -> tuple[Backup, bool, list[Share]] | None:
    """The record, whether it is deleted, and its shares that are not ended or wait to be accepted.

    None when it is gone for good: unknown, or its data was let go.
    """
    row = connection.execute(
        sa.select(backups, sa.literal(0).label("progress_percent")).where(
            backups.c.id == backup_id, backups.c.purged_at.is_(None)
        )
    ).first()
    if row is None:
        return None
    kept = sa.or_(shares.c.cancelled_at.is_(None), shares.c.suspended_at.is_not(None))
    rows = connection.execute(sa.select(shares).where(shares.c.backup_id == backup_id, kept).order_by(shares.c.id))
    is_deleted = row.deleted_at is not None
    return to_value(Backup, row), is_deleted, [] if is_deleted else [to_value(Share, share) for share in rows]
