"""Restore a backup: the owner's, or one that is shared with the caller's project, into a volume of the caller's own."""

from datetime import datetime

import sqlalchemy as sa

from openvbs.actions.access import Seen, seen_backup
from openvbs.actions.quotas import require_room_for_volume
from openvbs.actions.service import Service, enqueue, record
from openvbs.auth.caller import Caller
from openvbs.db import volumes
from openvbs.domain.audit import AuditAction
from openvbs.domain.backup import RESTORING, Backup, BackupStatus, NewRestore
from openvbs.domain.errors import (
    BackupNotUsable,
    RestoreBackupNotFound,
    TargetBackingUp,
    TargetBusy,
    TargetInError,
    TargetTooSmall,
    TargetVolumeNotFound,
)
from openvbs.domain.job import Job, JobKind
from openvbs.domain.restore import NEW_VOLUME_DESCRIPTION, NEW_VOLUME_PREFIX, source_properties
from openvbs.domain.volume import IN_ERROR, RESTORABLE, NewVolume, Volume, VolumeKind, VolumeStatus
from openvbs.units import GIB

DEFAULT_ZONE = "nova"
"""The availability zone of volumes made here; Cinder's own default, which clients expect to exist."""


def restore_backup(service: Service, caller: Caller, backup_id: str, wanted: NewRestore) -> tuple[Backup, Volume, Job]:
    """Accept a restore. The volume is ``restoring-backup`` until the job ends.

    Raises RestoreBackupNotFound, TargetVolumeNotFound, BackupNotUsable, TargetInError, TargetBackingUp, TargetBusy,
    TargetTooSmall, QuotaExceeded.
    """
    service.permissions.require(caller, "backup:restore")
    with service.database.write() as connection:
        seen = usable_backup(service, connection, caller, backup_id, volume_id=wanted.volume_id)
        if wanted.volume_id is None:
            new = NewVolume(
                size_gib=seen.backup.size_gib,
                name=wanted.name or f"{NEW_VOLUME_PREFIX}{backup_id}",
                description=NEW_VOLUME_DESCRIPTION,
            )
            require_room_for_volume(service, connection, caller.project_id, seen.backup.size_gib)
            volume = insert_new_volume(service, connection, caller, new, VolumeStatus.RESTORING)
        else:
            volume = _take_target(connection, caller, seen.backup, wanted.volume_id, now=service.clock())
        job = enqueue_restore(service, connection, caller, seen, volume, made_for_restore=wanted.volume_id is None)
    return seen.backup, volume, job


def usable_backup(
    service: Service, connection: sa.Connection, caller: Caller, backup_id: str, *, volume_id: str | None = None
) -> Seen:
    """A backup that the caller may restore now, its grant held until the commit. An admin too must be a party of it.

    With volume_id the target is looked up before the backup's status, in the contract's order of checks.
    """
    seen = seen_backup(service, connection, caller.as_party, backup_id, missing=RestoreBackupNotFound, for_update=True)
    if volume_id is not None and volumes.find_volume(connection, volume_id, project_id=caller.project_id) is None:
        raise TargetVolumeNotFound(volume_id)
    if seen.backup.status not in {BackupStatus.AVAILABLE, RESTORING}:
        raise BackupNotUsable(backup_id, seen.backup.status)
    return seen


def _take_target(connection: sa.Connection, caller: Caller, backup: Backup, volume_id: str, *, now: datetime) -> Volume:
    """Lock the volume to restore into, or say why it cannot be."""
    volume = volumes.find_volume(connection, volume_id, project_id=caller.project_id, for_update=True)
    if volume is None:
        raise TargetVolumeNotFound(volume_id)
    if volume.status in IN_ERROR:
        raise TargetInError(volume_id, volume.status)
    if volume.status == VolumeStatus.BACKING_UP:
        raise TargetBackingUp(volume_id)
    if volume.status not in RESTORABLE:
        raise TargetBusy(volume_id, volume.status)
    if volume.size_bytes < backup.bytes_total:
        raise TargetTooSmall(volume.size_gib, backup.size_gib)
    volumes.begin_work(connection, volume_id, status=VolumeStatus.RESTORING, from_status=sorted(RESTORABLE), now=now)
    return volume


def insert_new_volume(
    service: Service, connection: sa.Connection, caller: Caller, new: NewVolume, status: VolumeStatus
) -> Volume:
    """Add the record of a local volume whose file the worker will make. new.size_gib is set."""
    assert new.size_gib is not None
    now = service.clock()
    volume = Volume(
        id=service.make_id(),
        project_id=caller.project_id,
        user_id=caller.user_id,
        name=new.name,
        description=new.description,
        size_gib=new.size_gib,
        size_bytes=new.size_gib * GIB,
        status=status,
        kind=VolumeKind.LOCAL,
        path=None,
        freeze_command=None,
        thaw_command=None,
        bootable=False,
        volume_type=new.volume_type,
        availability_zone=new.availability_zone or DEFAULT_ZONE,
        snapshot_id=new.snapshot_id,
        source_volid=new.source_volid,
        metadata=dict(new.metadata),
        created_at=now,
        updated_at=now,
    )
    volumes.insert_volume(connection, volume)
    return volume


def enqueue_restore(
    service: Service, connection: sa.Connection, caller: Caller, seen: Seen, volume: Volume, *, made_for_restore: bool
) -> Job:
    """Queue the job and write down, for the owner, who restores what under which share."""
    backup = seen.backup
    share_id = None if seen.share is None else seen.share.id
    job = enqueue(
        service,
        connection,
        caller,
        JobKind.RESTORE_BACKUP,
        backup_id=backup.id,
        volume_id=volume.id,
        share_id=share_id,
        bytes_total=backup.bytes_total,
        arguments={
            "repository_id": backup.repository_id,
            "data_id": backup.data_id,
            "owner_project_id": backup.project_id,
            "made_for_restore": made_for_restore,
            "volume_values": source_properties(backup, volume.id, as_recipient=seen.as_recipient),
        },
    )
    record(
        service,
        connection,
        caller.as_party,
        AuditAction.SHARE_RESTORE if seen.as_recipient else AuditAction.BACKUP_RESTORE,
        owner=backup.project_id,
        backup_id=backup.id,
        share_id=share_id,
        job_id=job.id,
        to_project_id=caller.project_id if seen.as_recipient else None,
    )
    return job
