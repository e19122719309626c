"""Which backup a caller may see, and as what. Every action on a backup begins here."""

from dataclasses import dataclass

import sqlalchemy as sa

from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import backups, shares
from openvbs.domain.backup import Backup
from openvbs.domain.errors import BackupNotFound, RecipientForbidden
from openvbs.domain.share import Share


@dataclass(frozen=True, slots=True)
class Seen:
    """A backup that the caller may see; share is None for its owner (and for an admin who sees all)."""

    backup: Backup
    share: Share | None

    @property
    def as_recipient(self) -> bool:
        return self.share is not None


def seen_backup(
    service: Service,
    connection: sa.Connection,
    caller: Caller,
    backup_id: str,
    *,
    missing: type[BackupNotFound] = BackupNotFound,
    for_update: bool = False,
) -> Seen:
    """The backup if the caller's project is a party of it, else ``missing``.

    With for_update every other writer of the backup and its shares waits from here until our commit, so a grant that
    is found live stays so. A stranger neither waits for a writer nor makes one wait: the same statements run for its
    id as for one that never was.
    """
    if for_update and not _lock(service, connection, caller, backup_id):
        raise missing(backup_id)
    backup = backups.find(connection, backup_id, viewer_project_id=caller.project_id, owner_project_id=None)
    share = shares.live_to(connection, backup_id, to_project_id=caller.project_id, now=service.clock())
    if backup is not None and (backup.project_id == caller.project_id or caller.sees_all):
        return Seen(backup, None)
    if backup is not None and share is not None:
        return Seen(backup, share)
    raise missing(backup_id)


def _lock(service: Service, connection: sa.Connection, caller: Caller, backup_id: str) -> bool:
    if caller.sees_all:
        return backups.lock_row(connection, backup_id)
    return shares.lock_for_party(connection, backup_id, party_project_id=caller.project_id, now=service.clock())


def owned_backup(
    service: Service, connection: sa.Connection, caller: Caller, backup_id: str, *, for_update: bool = False
) -> Backup:
    """The backup if the caller owns it; RecipientForbidden for a recipient, BackupNotFound for anybody else."""
    seen = seen_backup(service, connection, caller, backup_id, for_update=for_update)
    if seen.as_recipient:
        raise RecipientForbidden(seen.backup)
    return seen.backup
