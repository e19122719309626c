"""Share a backup with other projects, see shares, and cancel them.

All writers of one backup's shares (share, cancel, delete, restore) first lock the backup's row, so they happen one
after the other, and the commit is the moment from which everybody sees the outcome.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from openvbs.actions.access import owned_backup
from openvbs.actions.audit import note_looks
from openvbs.actions.service import Service, record
from openvbs.actions.share_ends import abort, end_expired, end_live, end_shares, unexpired
from openvbs.auth.caller import Caller
from openvbs.db import backups, shares
from openvbs.domain.audit import AuditAction
from openvbs.domain.backup import RESTORING, BackupStatus
from openvbs.domain.errors import (
    BackupNotUsable,
    ExpiryInPast,
    SharedWithItself,
    ShareNotFound,
    SharesPerBackupExceeded,
)
from openvbs.domain.page import Page
from openvbs.domain.share import Share, SharedBackup, ShareQuery

EXPIRED_AT_ONCE = 100
"""Shares whose expiry one look of a worker writes down."""


def share_backup(
    service: Service,
    caller: Caller,
    backup_id: str,
    to_project_ids: Sequence[str],
    *,
    expires_at: datetime | None = None,
) -> list[Share]:
    """Grant the backup to each project; one share per distinct project, in request order, all or nothing.

    A project that has a live share keeps it; with expires_at it then ends at that time.
    Raises SharedWithItself, ExpiryInPast, BackupNotFound, RecipientForbidden, BackupNotUsable.
    """
    service.permissions.require(caller, "share:create")
    wanted = list(dict.fromkeys(to_project_ids))
    if caller.project_id in wanted:
        raise SharedWithItself
    if expires_at is not None and expires_at <= service.clock():
        raise ExpiryInPast
    with service.database.write() as connection:
        backup = owned_backup(service, connection, caller, backup_id, for_update=True)
        if backup.status not in {BackupStatus.AVAILABLE, RESTORING}:
            raise BackupNotUsable(backup_id, backup.status)
        now = service.clock()
        if expires_at is not None and expires_at <= now:  # it may have passed while we waited for the lock
            raise ExpiryInPast
        granted = {share.to_project_id: share for share in unexpired(service, connection, backup_id, now=now)}
        total = len(granted.keys() | set(wanted))
        limit = service.limits.shares_per_backup_max
        if 0 <= limit < total and total > len(granted):
            raise SharesPerBackupExceeded(limit, total)
        for to_project_id in wanted:
            present = granted.get(to_project_id)
            if present is None:
                granted[to_project_id] = grant(
                    service, connection, caller, backup_id, to_project_id, expires_at=expires_at
                )
            elif expires_at not in {None, present.expires_at}:
                granted[to_project_id] = _move_expiry(service, connection, caller, present, expires_at)
    return [granted[project_id] for project_id in wanted]


def grant(
    service: Service,
    connection: sa.Connection,
    caller: Caller,
    backup_id: str,
    to_project_id: str,
    *,
    expires_at: datetime | None = None,
    policy_id: str | None = None,
) -> Share:
    """A new share of a backup of the caller's that is locked and has none to that project; policy_id: it says so."""
    share = Share(
        id=service.make_id(),
        backup_id=backup_id,
        from_project_id=caller.project_id,
        to_project_id=to_project_id,
        created_at=service.clock(),
        updated_at=None,
        expires_at=expires_at,
    )
    shares.insert(connection, share)
    record(
        service,
        connection,
        caller,
        AuditAction.SHARE_CREATE,
        owner=caller.project_id,
        backup_id=backup_id,
        share_id=share.id,
        to_project_id=to_project_id,
        outcome="shared",
        policy_id=policy_id,
        details=_expiry(expires_at),
    )
    return share


def _move_expiry(
    service: Service, connection: sa.Connection, caller: Caller, share: Share, expires_at: datetime | None
) -> Share:
    assert expires_at is not None
    now = service.clock()
    shares.set_expiry(connection, share.id, expires_at, now=now)
    record(
        service,
        connection,
        caller,
        AuditAction.SHARE_UPDATE,
        owner=share.from_project_id,
        backup_id=share.backup_id,
        share_id=share.id,
        to_project_id=share.to_project_id,
        outcome="done",
        details=_expiry(expires_at),
    )
    return replace(share, expires_at=expires_at, updated_at=now)


def _expiry(expires_at: datetime | None) -> dict[str, object]:
    return {} if expires_at is None else {"expires_at": expires_at.isoformat()}


def list_shares(service: Service, caller: Caller, query: ShareQuery) -> Page[SharedBackup]:
    """Live shares that the caller's project gave, or with share_to_me was given, which its owners are told.

    Raises MarkerNotFound.
    """
    service.permissions.require(caller, "share:list")
    with service.database.read() as connection:
        found = shares.list_page(connection, query, viewer_project_id=caller.project_id, now=service.clock())
    if query.share_to_me:
        note_looks(service, caller, [shared.share for shared in found.items])
    return found


def count_shares(service: Service, caller: Caller, query: ShareQuery) -> int:
    """How many shares list_shares would show without paging."""
    service.permissions.require(caller, "share:list")
    with service.database.read() as connection:
        return shares.count(connection, query, viewer_project_id=caller.project_id, now=service.clock())


def get_share(service: Service, caller: Caller, share_id: str) -> SharedBackup:
    """One live share, for its owner and its recipient. Raises ShareNotFound."""
    service.permissions.require(caller, "share:show")
    with service.database.read() as connection:
        found = shares.find_shared(connection, share_id, party_project_id=caller.project_id, now=service.clock())
    if found is None:
        raise ShareNotFound(share_id)
    if found.share.to_project_id == caller.project_id:
        note_looks(service, caller, [found.share])
    return found


def cancel_share(service: Service, caller: Caller, share_id: str, *, abort_running: bool = False) -> None:
    """End one live share of the caller's: given (cancel) or received (decline).

    Of two at once exactly one succeeds; the other, like a stranger, gets ShareNotFound. Whatever the recipient began
    before the commit runs to its end, or with abort_running of the owner or an admin is stopped; anything later is
    refused.
    """
    service.permissions.require(caller, "share:cancel")
    with service.database.write() as connection:
        share = shares.find_live(connection, share_id, party_project_id=caller.project_id, now=service.clock())
        if share is None:
            raise ShareNotFound(share_id)
        backups.lock_row(connection, share.backup_id)
        if not end_live(service, connection, caller, [share]):
            raise ShareNotFound(share_id)
        if abort_running and (caller.is_admin or caller.project_id == share.from_project_id):
            abort(service, connection, caller, share.backup_id, share_id=share_id)


def cancel_shares_of_backup(service: Service, caller: Caller, backup_id: str, *, abort_running: bool = False) -> None:
    """End every live share of an own backup; none at all is a success too.

    With abort_running what recipients still do with the backup is stopped, also under shares that ended before.
    Raises BackupNotFound, and RecipientForbidden for a recipient, who gives up only its own share, by its id.
    """
    service.permissions.require(caller, "share:cancel")
    with service.database.write() as connection:
        owned_backup(service, connection, caller, backup_id, for_update=True)
        end_shares(service, connection, caller, backup_id)
        if abort_running:
            abort(service, connection, caller, backup_id)


def end_all_expired(service: Service) -> None:
    """Write down that shares have expired, which they are whether it is written down or not; no caller involved."""
    with service.database.read() as connection:
        backup_ids = shares.with_expired(connection, now=service.clock(), limit=EXPIRED_AT_ONCE)
    for backup_id in backup_ids:
        with service.database.write() as connection:
            backups.lock_row(connection, backup_id)
            end_expired(service, connection, backup_id, now=service.clock())
