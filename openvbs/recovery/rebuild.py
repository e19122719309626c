"""Make the service's records anew in an empty database, from the store and the root key alone.

One transaction: a crash leaves the database as empty as it was. Shares come back suspended, for the operator to accept:
the store may tell of one that was cancelled a moment before the database was lost, and a cancelled share must not grant
anything ever again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from openvbs.clock import utc_now
from openvbs.db import audit, backups, migrate, shares, store_records
from openvbs.db.session import Database
from openvbs.domain.audit import AuditAction, AuditEvent
from openvbs.domain.share import Share
from openvbs.errors import OpenVbsError
from openvbs.recovery.survey import Found, Problem

_OPERATOR = "operator"


class RebuildRefused(OpenVbsError):
    """The records cannot be made here; nothing was changed."""


@dataclass(slots=True)
class Rebuilt:
    """What was made."""

    backups: dict[str, int] = field(default_factory=dict)
    """Number of backups of each project."""
    going: int = 0
    """Deleted ones whose data is still there; the next collection takes it away unless others need it."""
    shares: list[Share] = field(default_factory=list)
    """All of them suspended."""
    problems: list[Problem] = field(default_factory=list)


def rebuild(database: Database, found: Iterable[Found | Problem]) -> Rebuilt:
    """Write all that is found into a database that holds no backups yet. RebuildRefused if it does."""
    rebuilt = Rebuilt()
    seen: dict[str, str] = {}
    now = utc_now()
    with database.write() as connection:
        if not migrate.is_current(connection):
            raise RebuildRefused("the database is not that of this release: run 'openvbs migrate' first")
        if backups.repositories(connection):
            raise RebuildRefused(
                "the database has records of backups already; they are made anew in an empty one only: move it away, "
                "or name another one in [database] connection"
            )
        for one in found:
            if isinstance(one, Problem):
                rebuilt.problems.append(one)
                continue
            backup_id = one.backup.id
            if backup_id in seen:
                text = f"backup {backup_id} is in repository {seen[backup_id]} too, and is taken from there"
                rebuilt.problems.append(Problem(one.backup.repository_id, text))
                continue
            seen[backup_id] = one.backup.repository_id
            backups.insert(connection, one.backup)
            if one.version:
                store_records.put_known(connection, one.backup.id, one.version)
            if one.is_deleted:
                rebuilt.going += 1
                backups.mark_deleted(connection, one.backup.id, now=now)
                continue
            owner = one.backup.project_id
            rebuilt.backups[owner] = rebuilt.backups.get(owner, 0) + 1
            for share in one.shares:
                shares.suspend(connection, share, now=now)
                rebuilt.shares.append(share)
    return rebuilt


def suspended_shares(database: Database) -> list[Share]:
    """The shares that wait to be accepted. RebuildRefused where no rebuild can have been."""
    with database.read() as connection:
        if not migrate.is_current(connection):
            raise RebuildRefused(
                "the database is empty or that of an older release: run 'openvbs rescue rebuild' first, or 'openvbs "
                "migrate'"
            )
        return shares.suspended(connection)


def accept_shares(
    database: Database, wanted: Sequence[str], *, make_id: Callable[[], str], notifies: bool
) -> list[Share]:
    """Let the shares with these ids grant again what they did, all or none; gives them. The owners are told.

    RebuildRefused for one that does not wait: it is unknown or accepted, or its owner has ended it since.
    """
    accepted = []
    with database.write() as connection:
        waiting = {share.id: share for share in shares.suspended(connection)}
        for share_id in dict.fromkeys(wanted):
            share = waiting.get(share_id)
            if share is not None:
                backups.lock_row(connection, share.backup_id)
            if share is None or not shares.accept(connection, share, now=utc_now()):
                raise RebuildRefused(f"no share {share_id} waits to be accepted; nothing was changed")
            audit.insert(connection, _event(share, make_id(), notifies=notifies))
            accepted.append(share)
    return accepted


def reject_shares(database: Database) -> int:
    """Let no share wait any more: they stay cancelled. Gives how many did."""
    with database.write() as connection:
        waiting = shares.suspended(connection)
        for backup_id in dict.fromkeys(share.backup_id for share in waiting):
            backups.lock_row(connection, backup_id)
            shares.drop_suspended(connection, backup_id, now=utc_now())
    return len(waiting)


def _event(share: Share, event_id: str, *, notifies: bool) -> AuditEvent:
    return AuditEvent(
        id=event_id,
        at=utc_now(),
        project_id=share.from_project_id,
        action=AuditAction.SHARE_CREATE,
        actor_project_id=share.from_project_id,
        actor_user_id=_OPERATOR,
        as_admin=True,
        backup_id=share.backup_id,
        share_id=share.id,
        job_id=None,
        to_project_id=share.to_project_id,
        outcome="shared",
        request_id=f"req-{event_id}",
        source_address=None,
        details={"because": "found in the store after the database was lost, and accepted"},
        is_owed=notifies,
    )
