"""Create, look up, change, delete and restore backups."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from openvbs.actions.access import Seen, owned_backup, seen_backup
from openvbs.actions.audit import note_looks
from openvbs.actions.quotas import require_room_for_backup
from openvbs.actions.service import UNSET, Service, Unset, enqueue, given, record
from openvbs.actions.share_ends import end_shares
from openvbs.auth.caller import Caller
from openvbs.db import backup_lists, backups, volumes
from openvbs.domain.audit import AuditAction
from openvbs.domain.backup import RESTORING, Backup, BackupQuery, BackupStatus, NewBackup
from openvbs.domain.errors import (
    BackupNotDeletable,
    BackupsPerVolumeExceeded,
    BackupUnfinished,
    ForeignBackup,
    NoParentBackup,
    SnapshotBusy,
    SnapshotInError,
    SnapshotNotFound,
    VolumeBusy,
    VolumeNotFound,
)
from openvbs.domain.job import Job, JobKind
from openvbs.domain.page import Page
from openvbs.domain.volume import Snapshot, SnapshotStatus, Volume, VolumeStatus


def create_backup(service: Service, caller: Caller, new: NewBackup) -> tuple[Backup, Job]:
    """Accept a backup: its record is ``creating``, the volume (or snapshot) ``backing-up``, the job queued.

    Raises VolumeNotFound, SnapshotNotFound, BackupUnfinished, VolumeBusy, SnapshotBusy, NoParentBackup, QuotaExceeded.
    """
    service.permissions.require(caller, "backup:create")
    with service.database.write() as connection:
        return begin_backup(service, connection, caller, new)


def begin_backup(service: Service, connection: sa.Connection, caller: Caller, new: NewBackup) -> tuple[Backup, Job]:
    """What create_backup does, for a caller that may do it, within a transaction. An error has changed nothing."""
    volume, snapshot = _source(connection, caller, new)
    parent_id = backups.newest_available(
        connection,
        volume.id,
        project_id=caller.project_id,
        not_after=None if snapshot is None else snapshot.created_at,
    )
    if new.incremental and parent_id is None:
        raise NoParentBackup
    size_gib = volume.size_gib if snapshot is None else snapshot.size_gib
    _require_room(service, connection, caller, volume, size_gib, by_hand=new.policy_id is None)
    backup = _new_record(service, caller, new, volume, snapshot, is_full=new.full or parent_id is None)
    backups.insert(connection, backup)
    _take_lock(service, connection, volume, snapshot)
    job = enqueue(
        service,
        connection,
        caller,
        JobKind.CREATE_BACKUP,
        backup_id=backup.id,
        volume_id=volume.id,
        snapshot_id=new.snapshot_id,
        bytes_total=volume.size_bytes,
        arguments={"parent_id": parent_id, "full": new.full},
    )
    record(
        service,
        connection,
        caller,
        AuditAction.BACKUP_CREATE,
        owner=caller.project_id,
        backup_id=backup.id,
        job_id=job.id,
        policy_id=new.policy_id,
    )
    return backup, job


def _source(connection: sa.Connection, caller: Caller, new: NewBackup) -> tuple[Volume, Snapshot | None]:
    """The volume and snapshot to back up, in a state that allows it. The order of checks is the contract's."""
    volume = volumes.find_volume(connection, new.volume_id, project_id=caller.project_id, for_update=True)
    if volume is None:
        raise VolumeNotFound(new.volume_id)
    snapshot = None
    if new.snapshot_id is not None:
        snapshot = volumes.find_snapshot(connection, new.snapshot_id, project_id=caller.project_id, for_update=True)
        if snapshot is None or snapshot.volume_id != volume.id:
            raise SnapshotNotFound(new.snapshot_id)
    if backups.creating_id(connection, volume.id) is not None:
        raise BackupUnfinished(volume.id)
    if snapshot is None and volume.status != VolumeStatus.AVAILABLE:
        raise VolumeBusy(volume.id, volume.status, "available")
    if snapshot is not None and snapshot.status == SnapshotStatus.ERROR:
        raise SnapshotInError(snapshot.id, snapshot.status)
    if snapshot is not None and snapshot.status != SnapshotStatus.AVAILABLE:
        raise SnapshotBusy(snapshot.id, snapshot.status)
    return volume, snapshot


def _require_room(
    service: Service, connection: sa.Connection, caller: Caller, volume: Volume, size_gib: int, *, by_hand: bool
) -> None:
    if by_hand:
        require_room_by_hand(service, connection, caller, volume.id)
    require_room_for_backup(service, connection, caller.project_id, size_gib)


def require_room_by_hand(service: Service, connection: sa.Connection, caller: Caller, volume_id: str) -> None:
    """BackupsPerVolumeExceeded for a volume of which the caller's project has as many backups as it may."""
    limit = service.limits.backups_per_volume_max
    if 0 <= limit <= backups.count_by_hand(connection, volume_id, project_id=caller.project_id):
        raise BackupsPerVolumeExceeded(volume_id, limit)


def _take_lock(service: Service, connection: sa.Connection, volume: Volume, snapshot: Snapshot | None) -> None:
    now = service.clock()
    if snapshot is None:
        volumes.begin_work(
            connection, volume.id, status=VolumeStatus.BACKING_UP, from_status=[VolumeStatus.AVAILABLE], now=now
        )
    else:
        volumes.update_snapshot(
            connection, snapshot.id, from_status=[SnapshotStatus.AVAILABLE], status=SnapshotStatus.BACKING_UP, now=now
        )


def _new_record(
    service: Service, caller: Caller, new: NewBackup, volume: Volume, snapshot: Snapshot | None, *, is_full: bool
) -> Backup:
    now = service.clock()
    backup_id = service.make_id()
    return Backup(
        id=backup_id,
        project_id=caller.project_id,
        repository_id=caller.project_id,
        user_id=caller.user_id,
        name=new.name,
        description=new.description,
        volume_id=volume.id,
        volume_name=volume.name,
        volume_description=volume.description,
        snapshot_id=new.snapshot_id,
        size_gib=volume.size_gib if snapshot is None else snapshot.size_gib,
        status=BackupStatus.CREATING,
        fail_reason=None,
        container=new.container,
        availability_zone=new.availability_zone or volume.availability_zone,
        object_count=0,
        asked_incremental=new.incremental,
        is_full=is_full,
        bootable=volume.bootable,
        metadata=dict(new.metadata),
        tags=dict(new.tags),
        volume_metadata=dict(volume.metadata),
        image_metadata=dict(volume.image_metadata),
        bytes_total=volume.size_bytes,
        data_timestamp=now if snapshot is None else snapshot.created_at,
        created_at=now,
        updated_at=now,
        policy_id=new.policy_id,
        data_id=backup_id,
    )


def list_backups(service: Service, caller: Caller, query: BackupQuery) -> Page[Backup]:
    """The caller's own backups; an admin of the native API may ask for every project's."""
    service.permissions.require(caller, "backup:list")
    if query.all_projects and not caller.is_admin:
        query = replace(query, all_projects=False, project_id=None)
    with service.database.read() as connection:
        return backup_lists.list_page(connection, query, viewer_project_id=caller.project_id)


def get_backup(service: Service, caller: Caller, backup_id: str) -> tuple[Backup, bool]:
    """The backup, and whether the caller sees it as a recipient of a share. Raises BackupNotFound."""
    service.permissions.require(caller, "backup:show")
    with service.database.read() as connection:
        seen: Seen = seen_backup(service, connection, caller, backup_id)
    if seen.share is not None:
        note_looks(service, caller, [seen.share])
    return seen.backup, seen.as_recipient


def get_tags(service: Service, caller: Caller, backup_id: str) -> dict[str, str]:
    """The tags of an own backup. Raises BackupNotFound, RecipientForbidden."""
    service.permissions.require(caller, "backup:show")
    with service.database.read() as connection:
        return owned_backup(service, connection, caller, backup_id).tags


def update_backup(
    service: Service,
    caller: Caller,
    backup_id: str,
    *,
    name: str | Unset | None = UNSET,
    description: str | Unset | None = UNSET,
    metadata: dict[str, str] | Unset = UNSET,
) -> Backup:
    """Change what is given. Raises BackupNotFound, RecipientForbidden, ForeignBackup."""
    service.permissions.require(caller, "backup:update")
    with service.database.write() as connection:
        backup = owned_backup(service, connection, caller, backup_id, for_update=True)
        if backup.project_id != caller.project_id:
            raise ForeignBackup
        values: dict[str, Any] = given(name=name, description=description, metadata=metadata)
        backups.update(connection, backup_id, now=service.clock(), **values)
        record(
            service,
            connection,
            caller,
            AuditAction.BACKUP_UPDATE,
            owner=backup.project_id,
            backup_id=backup_id,
            outcome="done",
            details={"changed": sorted(values)},
        )
        return owned_backup(service, connection, caller, backup_id)


def delete_backup(service: Service, caller: Caller, backup_id: str) -> Job:
    """Accept a deletion: status ``deleting``, every share cancelled, the job queued.

    A recipient's running restore neither hinders this nor is hindered; the data stays until it ends.
    Raises BackupNotFound, RecipientForbidden, BackupNotDeletable.
    """
    service.permissions.require(caller, "backup:delete")
    with service.database.write() as connection:
        backup = owned_backup(service, connection, caller, backup_id, for_update=True)
        if backup.status not in {BackupStatus.AVAILABLE, BackupStatus.ERROR}:
            raise BackupNotDeletable(backup_id, backup.status)
        if backups.restoring_now(connection, backup_id, project_id=backup.project_id):
            raise BackupNotDeletable(backup_id, RESTORING)
        return begin_delete(service, connection, caller, backup)


def begin_delete(
    service: Service,
    connection: sa.Connection,
    caller: Caller,
    backup: Backup,
    *,
    policy_id: str | None = None,
    details: dict[str, object] | None = None,
) -> Job:
    """Delete a backup that is locked and may be deleted; policy_id and details say on whose behalf and why."""
    now = service.clock()
    backups.update(connection, backup.id, now=now, status=BackupStatus.DELETING)
    job = enqueue(service, connection, caller, JobKind.DELETE_BACKUP, backup_id=backup.id, volume_id=backup.volume_id)
    record(
        service,
        connection,
        caller,
        AuditAction.BACKUP_DELETE,
        owner=backup.project_id,
        backup_id=backup.id,
        job_id=job.id,
        policy_id=policy_id,
        details=details or {},
    )
    end_shares(service, connection, caller, backup.id, because="the backup is deleted")
    return job
