"""Backup records."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openvbs.db import store_records
from openvbs.db.jobs import IS_OPEN
from openvbs.db.rows import constant, from_value, maker, to_value
from openvbs.db.session import lock, lock_name
from openvbs.db.tables import PROJECT, backups, jobs
from openvbs.domain.backup import RESTORING, Backup, BackupStatus, StoredData
from openvbs.domain.job import MAKE_BACKUP, NEED_DATA, JobKind, JobStatus
from openvbs.domain.retention import StoredBackup

_DATA = (backups.c.repository_id, backups.c.data_id, backups.c.reference_id)
_TOLD = frozenset({"name", "description", "metadata", "tags"})
"""What the facts in the store say of a backup, and may be changed afterwards."""
_AVAILABLE = backups.c.status == constant(BackupStatus.AVAILABLE)

VIEWER = sa.bindparam("viewer", type_=PROJECT)
"""The project that looks; a parameter of every statement that has COLUMNS or a condition on the seen status."""


def restore_runs(*, project_id: str | sa.BindParameter[str]) -> sa.Exists:
    """True for a backup that a restore of this project is reading; nobody sees those of others."""
    running = sa.and_(
        jobs.c.backup_id == backups.c.id,
        jobs.c.kind == constant(JobKind.RESTORE_BACKUP),
        IS_OPEN,
        jobs.c.project_id == project_id,
    )
    return sa.exists().where(running).correlate_except(jobs)


_OWN_RESTORE = sa.and_(_AVAILABLE, restore_runs(project_id=VIEWER))
SEEN_STATUS = sa.case((_OWN_RESTORE, constant(RESTORING)), else_=backups.c.status)
"""The status as the viewer sees it: ``restoring`` while its own restore of an available backup runs."""


def is_seen_as(status: str) -> sa.ColumnElement[bool]:
    """The condition "the viewer sees this status", in a form that an index of what is stored helps with."""
    if status == RESTORING:
        return _OWN_RESTORE
    if status == BackupStatus.AVAILABLE:
        return sa.and_(_AVAILABLE, ~restore_runs(project_id=VIEWER))
    return backups.c.status == sa.bindparam("status")


def status_shape(status: str) -> str:
    """One text for all statuses of which is_seen_as makes the same statement."""
    return status if status in {RESTORING, BackupStatus.AVAILABLE} else ""


def _progress_percent() -> sa.ColumnElement[int]:
    """0 to 100: of the job that makes the backup while it is made, else 100."""
    done = sa.case((jobs.c.bytes_total > 0, jobs.c.bytes_done * 100 / jobs.c.bytes_total), else_=0)
    running = (
        sa.select(done)
        .where(
            jobs.c.backup_id == backups.c.id,
            jobs.c.kind.in_([constant(kind) for kind in sorted(MAKE_BACKUP)]),
            IS_OPEN,
        )
        .correlate_except(jobs)
        .limit(1)
        .scalar_subquery()
    )
    creating = backups.c.status == constant(BackupStatus.CREATING)
    return sa.cast(sa.case((creating, sa.func.coalesce(running, 0)), else_=100), sa.Integer)


COLUMNS: list[sa.ColumnElement[Any]] = [
    *(column for column in backups.c if column.name not in {"status", "deleted_at", "purged_at", "folded_name"}),
    SEEN_STATUS.label("status"),
    _progress_percent().label("progress_percent"),
]
"""Every column of a Backup as the viewer sees it."""
make = maker(Backup, COLUMNS)
_LIVE = backups.c.deleted_at.is_(None)


def insert(connection: sa.Connection, backup: Backup) -> None:
    """Add a record. sqlalchemy.exc.IntegrityError when another backup of the volume is still being made."""
    values = from_value(backup)
    del values["progress_percent"]
    connection.execute(backups.insert().values(values))


_FIND = sa.select(*COLUMNS).where(backups.c.id == sa.bindparam("id"), _LIVE)
_FIND_OF_OWNER = _FIND.where(backups.c.project_id == sa.bindparam("owner"))


def find(
    connection: sa.Connection,
    backup_id: str,
    *,
    viewer_project_id: str,
    owner_project_id: str | None,
    for_update: bool = False,
) -> Backup | None:
    """The backup if it is not deleted and, unless owner_project_id is None, belongs to that project."""
    if for_update:
        lock_row(connection, backup_id)
    values = {"id": backup_id, "viewer": viewer_project_id, "owner": owner_project_id}
    row = connection.execute(_FIND if owner_project_id is None else _FIND_OF_OWNER, values).first()
    return None if row is None else make(row)


def lock_row(connection: sa.Connection, backup_id: str) -> bool:
    """Make every other writer of this backup, its shares and its restores wait until our commit; False without one."""
    query = sa.select(backups.c.id).where(backups.c.id == backup_id)
    return connection.execute(lock(connection, query)).first() is not None


def update(
    connection: sa.Connection,
    backup_id: str,
    *,
    from_status: Sequence[str] | None = None,
    now: datetime,
    **values: Any,
) -> bool:
    """Change columns of a record that is not deleted; with from_status only if its stored status is one of those."""
    query = backups.update().where(backups.c.id == backup_id, backups.c.deleted_at.is_(None))
    if from_status is not None:
        query = query.where(backups.c.status.in_(from_status))
    is_changed = connection.execute(query.values(updated_at=now, **values)).rowcount == 1
    if is_changed and not _TOLD.isdisjoint(values):
        store_records.note_change(connection, backup_id, now=now)
    return is_changed


def stored_status(connection: sa.Connection, backup_id: str) -> str | None:
    """What the table says, or None for an unknown or deleted backup."""
    return connection.scalar(
        sa.select(backups.c.status).where(backups.c.id == backup_id, backups.c.deleted_at.is_(None))
    )


def mark_deleted(connection: sa.Connection, backup_id: str, *, now: datetime) -> None:
    """Take the record out of the API's view; its data is purged separately."""
    connection.execute(backups.update().where(backups.c.id == backup_id).values(deleted_at=now, updated_at=now))
    store_records.note_change(connection, backup_id, now=now)


def mark_purged(connection: sa.Connection, backup_id: str, *, now: datetime) -> None:
    """Note that the store no longer holds the backup's manifest."""
    connection.execute(backups.update().where(backups.c.id == backup_id).values(purged_at=now))
    store_records.note_change(connection, backup_id, now=now)


def restoring_now(connection: sa.Connection, backup_id: str, *, project_id: str) -> bool:
    """Does a restore of this backup by this project run?"""
    return bool(
        connection.scalar(
            sa.select(sa.literal(1))
            .where(
                jobs.c.backup_id == backup_id,
                jobs.c.kind == JobKind.RESTORE_BACKUP,
                IS_OPEN,
                jobs.c.project_id == project_id,
            )
            .limit(1)
        )
    )


def data_needed(connection: sa.Connection, backup_id: str) -> bool:
    """Is a job under way that writes or reads the backup's data?"""
    needing = sa.select(sa.literal(1)).where(_works_on(backup_id), jobs.c.kind.in_(NEED_DATA), IS_OPEN)
    return bool(connection.scalar(needing.limit(1)))


def _works_on(backup_id: sa.ColumnElement[str] | str) -> sa.ColumnElement[bool]:
    return sa.or_(jobs.c.backup_id == backup_id, jobs.c.source_backup_id == backup_id)


def purgeable(connection: sa.Connection, repository_id: str) -> list[tuple[str, StoredData]]:
    """(id, data) of deleted backups of one repository whose data no job needs any more; references come first."""
    needing = sa.exists().where(_works_on(backups.c.id), jobs.c.kind.in_(NEED_DATA), IS_OPEN)
    rows = connection.execute(
        sa.select(backups.c.id, *_DATA)
        .where(
            backups.c.repository_id == repository_id,
            backups.c.deleted_at.is_not(None),
            backups.c.purged_at.is_(None),
            ~needing.correlate_except(jobs),
        )
        .order_by(backups.c.reference_id.is_(None), backups.c.id)
    )
    return [(backup_id, StoredData(*data)) for backup_id, *data in rows]


def newest_available(
    connection: sa.Connection, volume_id: str, *, project_id: str, not_after: datetime | None = None
) -> str | None:
    """The id of the newest available backup of the volume in the project, made of a moment up to not_after if given."""
    query = sa.select(backups.c.id).where(
        backups.c.volume_id == volume_id,
        backups.c.project_id == project_id,
        backups.c.status == BackupStatus.AVAILABLE,
        backups.c.deleted_at.is_(None),
    )
    if not_after is not None:
        query = query.where(backups.c.data_timestamp <= not_after)
    return connection.scalar(query.order_by(backups.c.data_timestamp.desc(), backups.c.id.desc()).limit(1))


def creating_id(connection: sa.Connection, volume_id: str) -> str | None:
    """The backup of this volume that is still being made, if any."""
    return connection.scalar(
        sa.select(backups.c.id).where(
            backups.c.volume_id == volume_id,
            backups.c.status == BackupStatus.CREATING,
            backups.c.deleted_at.is_(None),
        )
    )


def count_by_hand(connection: sa.Connection, volume_id: str, *, project_id: str) -> int:
    """How many backups of the volume were made by hand; those of policies are bounded by their retention."""
    return (
        connection.scalar(
            sa.select(sa.func.count()).where(
                backups.c.volume_id == volume_id,
                backups.c.project_id == project_id,
                backups.c.policy_id.is_(None),
                backups.c.deleted_at.is_(None),
            )
        )
        or 0
    )


def usage(connection: sa.Connection, project_id: str) -> dict[str, tuple[int, int]]:
    """What a project has, as {"settled" | "creating": (backups, GiB)}."""
    creating = sa.case((backups.c.status == BackupStatus.CREATING, "creating"), else_="settled").label("state")
    rows = connection.execute(
        sa.select(creating, sa.func.count(), sa.func.coalesce(sa.func.sum(backups.c.size_gib), 0))
        .where(backups.c.project_id == project_id, backups.c.deleted_at.is_(None))
        .group_by(creating)
    )
    found = {state: (int(count), int(gib)) for state, count, gib in rows}
    return {"settled": found.get("settled", (0, 0)), "creating": found.get("creating", (0, 0))}


def data_of(connection: sa.Connection, backup_id: str) -> StoredData | None:
    """Where the backup's data lies, also that of a deleted one; None for an id that never was."""
    row = connection.execute(sa.select(*_DATA).where(backups.c.id == backup_id)).first()
    return None if row is None else StoredData(*row)


def owner_of(connection: sa.Connection, backup_id: str) -> str | None:
    """Whose the backup is, also a deleted one; None for an id that never was."""
    return connection.scalar(sa.select(backups.c.project_id).where(backups.c.id == backup_id))


def free_id(connection: sa.Connection, backup_id: str) -> bool:
    """Can a record of this id be inserted? One that is deleted and whose data has been let go makes room for it.

    Whoever else asks for the same id waits until our commit.
    """
    lock_name(connection, f"backup {backup_id}")
    connection.execute(
        backups.delete().where(
            backups.c.id == backup_id, backups.c.deleted_at.is_not(None), backups.c.purged_at.is_not(None)
        )
    )
    return connection.scalar(sa.select(backups.c.id).where(backups.c.id == backup_id)) is None


def purge_again(connection: sa.Connection, backup_id: str) -> None:
    """If the record has gone, let its data go once more: some may have been stored since."""
    has_gone = sa.and_(backups.c.id == backup_id, backups.c.deleted_at.is_not(None))
    connection.execute(backups.update().where(has_gone).values(purged_at=None))


def awaits_purge(connection: sa.Connection, backup_id: str) -> bool:
    """Has the record gone while the data stayed, for a restore that was still reading it?"""
    return bool(
        connection.scalar(
            sa.select(sa.literal(1)).where(
                backups.c.id == backup_id, backups.c.deleted_at.is_not(None), backups.c.purged_at.is_(None)
            )
        )
    )


def repositories(connection: sa.Connection) -> list[str]:
    """Every repository that a backup was ever begun in."""
    return list(connection.scalars(sa.select(backups.c.repository_id).distinct()))


def repositories_begun(connection: sa.Connection) -> dict[str, datetime]:
    """Every repository that a backup was ever begun in, and when the first one was."""
    begun = sa.select(backups.c.repository_id, sa.func.min(backups.c.created_at)).group_by(backups.c.repository_id)
    return dict(connection.execute(begun).all())


def must_be_stored(connection: sa.Connection, repository_id: str) -> bool:
    """Was a backup in the repository ever available that was not purged? Then the store has to hold the repository."""
    of_it = jobs.c.backup_id == backups.c.id
    not_made = sa.exists().where(of_it, jobs.c.kind.in_(sorted(MAKE_BACKUP)), jobs.c.status != JobStatus.SUCCESS)
    was_seen = sa.exists().where(of_it, jobs.c.kind == JobKind.CHECK_BACKUP, jobs.c.status == JobStatus.SUCCESS)
    # An imported record, or one that a rescue made anew, has no job that made it. Imported ones learn their size from
    # the data; all that a rescue makes anew lay in the store.
    was_made = sa.case(
        (backups.c.reference_id.is_(None), ~not_made.correlate_except(jobs)), else_=backups.c.bytes_total > 0
    )
    query = sa.select(sa.literal(1)).where(
        backups.c.repository_id == repository_id,
        backups.c.purged_at.is_(None),
        sa.or_(was_made, was_seen.correlate_except(jobs)),
    )
    return bool(connection.scalar(query.limit(1)))


def available_data(connection: sa.Connection, repository_id: str) -> set[str]:
    """The ids, in this repository, of the data of every available backup, whoever's it is."""
    query = sa.select(backups.c.data_id).where(
        backups.c.repository_id == repository_id,
        backups.c.status == BackupStatus.AVAILABLE,
        backups.c.deleted_at.is_(None),
    )
    return set(connection.scalars(query))


def mark_damaged(connection: sa.Connection, repository_id: str, data_id: str, reason: str, *, now: datetime) -> int:
    """Let every available backup with this data, whoever's it is, say that it cannot be restored; how many they are."""
    query = backups.update().where(
        backups.c.repository_id == repository_id,
        backups.c.data_id == data_id,
        backups.c.status == BackupStatus.AVAILABLE,
        backups.c.deleted_at.is_(None),
    )
    return connection.execute(query.values(status=BackupStatus.ERROR, fail_reason=reason, updated_at=now)).rowcount


def stored_of_disks(
    connection: sa.Connection, volume_ids: Collection[str], *, project_id: str, policy_id: str
) -> list[StoredBackup]:
    """All backups of the volumes, and all that the policy made of others, by volume and the newest first.

    Restores of recipients do not show, as they hinder no delete either: the data stays for them.
    """
    making_failed = sa.exists().where(
        jobs.c.backup_id == backups.c.id,
        jobs.c.kind.in_(sorted(MAKE_BACKUP)),
        jobs.c.status == JobStatus.FAIL,
    )
    rows = connection.execute(
        sa.select(
            backups,
            restore_runs(project_id=project_id).label("is_restoring"),
            sa.not_(making_failed.correlate_except(jobs)).label("was_whole"),
        )
        .where(
            backups.c.project_id == project_id,
            backups.c.deleted_at.is_(None),
            sa.or_(backups.c.volume_id.in_(volume_ids), backups.c.policy_id == policy_id),
        )
        .order_by(backups.c.volume_id, backups.c.created_at.desc(), backups.c.id.desc())
    )
    return [to_value(StoredBackup, row) for row in rows]
