"""Share a backup with other projects, see shares, and cancel them.

All writers of one backup's shares (share, cancel, delete, restore) first lock the backup's row, so they happen one
after the other, and the commit is the moment from which everybody sees the outcome.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from openvbs.actions.access import owned_backup
from openvbs.actions.audit import note_looks
from openvbs.actions.service import Service, record
from openvbs.auth.caller import Caller
from openvbs.db import backups, shares
from openvbs.domain.audit import AuditAction
from openvbs.domain.backup import RESTORING, BackupStatus
from openvbs.domain.errors import BackupNotUsable, SharedWithItself, ShareNotFound, SharesPerBackupExceeded
from openvbs.domain.page import Page
from openvbs.domain.share import Share, SharedBackup, ShareQuery


def share_backup(service: Service, caller: Caller, backup_id: str, to_project_ids: Sequence[str]) -> list[Share]:
    """Grant the backup to each project; one share per distinct project, in request order, all or nothing.

    A project that has a live share keeps it.
    Raises SharedWithItself, BackupNotFound, RecipientForbidden, BackupNotUsable.
    """
    service.permissions.require(caller, "share:create")
    wanted = list(dict.fromkeys(to_project_ids))
    if caller.project_id in wanted:
        raise SharedWithItself
    with service.database.write() as connection:
        backup = owned_backup(connection, caller, backup_id, for_update=True)
        if backup.status not in {BackupStatus.AVAILABLE, RESTORING}:
            raise BackupNotUsable(backup_id, backup.status)
        granted = {share.to_project_id: share for share in shares.live_of_backup(connection, backup_id)}
        total = len(granted.keys() | set(wanted))
        limit = service.limits.shares_per_backup_max
        if 0 <= limit < total and total > len(granted):
            raise SharesPerBackupExceeded(limit, total)
        for to_project_id in wanted:
            if to_project_id not in granted:
                granted[to_project_id] = _grant(service, connection, caller, backup_id, to_project_id)
    return [granted[project_id] for project_id in wanted]


def _grant(service: Service, connection: sa.Connection, caller: Caller, backup_id: str, to_project_id: str) -> Share:
    share = Share(
        id=service.make_id(),
        backup_id=backup_id,
        from_project_id=caller.project_id,
        to_project_id=to_project_id,
        created_at=service.clock(),
        updated_at=None,
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
    )
    return share


def list_shares(service: Service, caller: Caller, query: ShareQuery) -> Page[SharedBackup]:
    """Live shares that the caller's project gave, or with share_to_me was given, which its owners are told.

    Raises MarkerNotFound.
    """
    service.permissions.require(caller, "share:list")
    with service.database.read() as connection:
        found = shares.list_page(connection, query, viewer_project_id=caller.project_id)
    if query.share_to_me:
        note_looks(service, caller, [shared.share for shared in found.items])
    return found


def count_shares(service: Service, caller: Caller, query: ShareQuery) -> int:
    """How many shares list_shares would show without paging."""
    service.permissions.require(caller, "share:list")
    with service.database.read() as connection:
        return shares.count(connection, query, viewer_project_id=caller.project_id)


def get_share(service: Service, caller: Caller, share_id: str) -> SharedBackup:
    """One live share, for its owner and its recipient. Raises ShareNotFound."""
    service.permissions.require(caller, "share:show")
    with service.database.read() as connection:
        found = shares.find_shared(connection, share_id, party_project_id=caller.project_id)
    if found is None:
        raise ShareNotFound(share_id)
    if found.share.to_project_id == caller.project_id:
        note_looks(service, caller, [found.share])
    return found


def cancel_share(service: Service, caller: Caller, share_id: str) -> None:
    """End one live share of the caller's: given (cancel) or received (decline).

    Of two at once exactly one succeeds; the other, like a stranger, gets ShareNotFound. Whatever the recipient began
    before the commit runs to its end; anything later is refused.
    """
    service.permissions.require(caller, "share:cancel")
    with service.database.write() as connection:
        share = shares.find_live(connection, share_id, party_project_id=caller.project_id)
        if share is None:
            raise ShareNotFound(share_id)
        backups.lock_row(connection, share.backup_id)
        _end(service, connection, caller, [share])


def cancel_shares_of_backup(service: Service, caller: Caller, backup_id: str) -> None:
    """End every live share of an own backup; none at all is a success too.

    Raises BackupNotFound, and RecipientForbidden for a recipient, who gives up only its own share, by its id.
    """
    service.permissions.require(caller, "share:cancel")
    with service.database.write() as connection:
        owned_backup(connection, caller, backup_id, for_update=True)
        _end(service, connection, caller, shares.live_of_backup(connection, backup_id), at_least_one=False)


def _end(
    service: Service, connection: sa.Connection, caller: Caller, live: Sequence[Share], *, at_least_one: bool = True
) -> None:
    """Cancel the shares that are still live, one audit event each."""
    ended = shares.cancel(connection, [share.id for share in live], now=service.clock())
    if at_least_one and not ended:
        raise ShareNotFound(live[0].id)
    for share in live:
        if share.id in ended:
            declined = share.to_project_id == caller.project_id
            record(
                service,
                connection,
                caller,
                AuditAction.SHARE_DECLINE if declined else AuditAction.SHARE_CANCEL,
                owner=share.from_project_id,
                backup_id=share.backup_id,
                share_id=share.id,
                to_project_id=share.to_project_id,
                outcome="cancelled",
            )
