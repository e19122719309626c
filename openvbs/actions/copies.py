"""Keep a copy of a backup: a backup of one's own, which no share's end and no other project's delete can take."""

import sqlalchemy as sa

from openvbs.actions.access import Seen, seen_backup
from openvbs.actions.backups import require_room_by_hand
from openvbs.actions.quotas import require_room_for_backup
from openvbs.actions.service import Service, enqueue, record
from openvbs.auth.caller import Caller
from openvbs.db import backups
from openvbs.domain.audit import AuditAction
from openvbs.domain.backup import NO_VOLUME, RESTORING, Backup, BackupStatus
from openvbs.domain.errors import BackupNotUsable
from openvbs.domain.job import Job, JobKind


def copy_backup(
    service: Service, caller: Caller, backup_id: str, *, name: str | None = None, description: str | None = None
) -> tuple[Backup, Job]:
    """Accept a copy into the caller's project; without a name or description it has those of the backup.

    What runs when the share ends goes on to its end, as with restores. Raises BackupNotFound, BackupNotUsable,
    QuotaExceeded. An admin too needs to be a party of the backup.
    """
    service.permissions.require(caller, "backup:copy")
    with service.database.write() as connection:
        seen = seen_backup(service, connection, caller.as_party, backup_id, for_update=True)
        if seen.backup.status not in {BackupStatus.AVAILABLE, RESTORING}:
            raise BackupNotUsable(backup_id, seen.backup.status)
        if seen.backup.project_id == caller.project_id and seen.backup.volume_id != NO_VOLUME:
            require_room_by_hand(service, connection, caller, seen.backup.volume_id)
        require_room_for_backup(service, connection, caller.project_id, seen.backup.size_gib)
        copy = _new_record(service, caller, seen.backup, name, description)
        backups.insert(connection, copy)
        job = _enqueue(service, connection, caller, seen, copy)
    return copy, job


def _new_record(service: Service, caller: Caller, source: Backup, name: str | None, description: str | None) -> Backup:
    """Of another project's backup what a recipient may know, and nothing else that is the owner's."""
    now = service.clock()
    is_own = source.project_id == caller.project_id
    copy_id = service.make_id()
    return Backup(
        id=copy_id,
        project_id=caller.project_id,
        repository_id=caller.project_id,
        user_id=caller.user_id,
        name=name or source.name,
        description=description or source.description,
        # Named when it is done: one backup at a time is made of a volume, and the owner may be making one.
        volume_id=NO_VOLUME,
        volume_name=source.volume_name if is_own else None,
        volume_description=source.volume_description if is_own else None,
        snapshot_id=None,
        size_gib=source.size_gib,
        status=BackupStatus.CREATING,
        fail_reason=None,
        container=None,
        availability_zone=source.availability_zone,
        object_count=0,
        asked_incremental=False,
        is_full=True,
        bootable=source.bootable,
        volume_metadata=dict(source.volume_metadata) if is_own else {},
        image_metadata=dict(source.image_metadata),
        bytes_total=source.bytes_total,
        is_frozen=source.is_frozen,
        data_timestamp=source.data_timestamp,
        created_at=now,
        updated_at=now,
        data_id=copy_id,
    )


def _enqueue(service: Service, connection: sa.Connection, caller: Caller, seen: Seen, copy: Backup) -> Job:
    source = seen.backup
    share_id = None if seen.share is None else seen.share.id
    job = enqueue(
        service,
        connection,
        caller,
        JobKind.COPY_BACKUP,
        backup_id=copy.id,
        source_backup_id=source.id,
        share_id=share_id,
        bytes_total=source.bytes_total,
        arguments={
            "repository_id": source.repository_id,
            "data_id": source.data_id,
            "volume_id": source.volume_id,
        },
    )
    details: dict[str, object] = {"source_backup_id": source.id}
    record(
        service,
        connection,
        caller,
        AuditAction.BACKUP_COPY,
        owner=caller.project_id,
        backup_id=copy.id,
        job_id=job.id,
        details=details,
    )
    if seen.as_recipient:
        record(
            service,
            connection,
            caller,
            AuditAction.SHARE_COPY,
            owner=source.project_id,
            backup_id=source.id,
            share_id=share_id,
            job_id=job.id,
            to_project_id=caller.project_id,
        )
    return job
