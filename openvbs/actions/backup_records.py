"""What administrators may do to backups: hand their records on, set a status right, delete whatever the status."""

from openvbs.actions.access import owned_backup
from openvbs.actions.backups import begin_delete
from openvbs.actions.quotas import require_room_for_backup
from openvbs.actions.service import Service, enqueue, record
from openvbs.auth.caller import Caller
from openvbs.db import backups, jobs
from openvbs.domain.audit import AuditAction
from openvbs.domain.backup import NO_VOLUME, RESTORING, Backup, BackupStatus, NewRecord
from openvbs.domain.errors import BackupBusy, BackupIdTaken, BackupNotUsable
from openvbs.domain.job import MAKE_BACKUP, Job, JobKind

DECIDES_STATUS = MAKE_BACKUP | {JobKind.DELETE_BACKUP, JobKind.CHECK_BACKUP}
"""Kinds of jobs that set the backup's status when they end."""


def export_record(service: Service, caller: Caller, backup_id: str) -> Backup:
    """The backup whose record is handed out, which is noted. Raises BackupNotFound, BackupNotUsable."""
    service.permissions.require(caller, "backup:export")
    with service.database.write() as connection:
        backup = owned_backup(service, connection, caller, backup_id)
        if backup.status not in {BackupStatus.AVAILABLE, RESTORING}:
            raise BackupNotUsable(backup_id, backup.status)
        record(
            service,
            connection,
            caller,
            AuditAction.BACKUP_EXPORT,
            owner=backup.project_id,
            backup_id=backup_id,
            outcome="exported",
        )
    return backup


def import_record(service: Service, caller: Caller, new: NewRecord) -> tuple[Backup, Job]:
    """Accept a record: ``creating`` until a job has seen that its data is there, then ``available``.

    The data stays where it is, for as long as this record or another one needs it. Raises BackupIdTaken, QuotaExceeded.
    """
    service.permissions.require(caller, "backup:import")
    with service.database.write() as connection:
        if not backups.free_id(connection, new.id):
            raise BackupIdTaken(new.id)
        require_room_for_backup(service, connection, caller.project_id, new.size_gib)
        backup = _imported(service, caller, new)
        backups.insert(connection, backup)
        job = enqueue(service, connection, caller, JobKind.CHECK_BACKUP, backup_id=backup.id)
        # The project that the data comes from is told too.
        for owner in dict.fromkeys([backup.project_id, backup.repository_id]):
            record(
                service,
                connection,
                caller,
                AuditAction.BACKUP_IMPORT,
                owner=owner,
                backup_id=new.data_id if owner != backup.project_id else backup.id,
                to_project_id=backup.project_id,
                job_id=job.id if owner == backup.project_id else None,
                details={"data_id": new.data_id, "repository_id": new.repository_id},
            )
    return backup, job


def _imported(service: Service, caller: Caller, new: NewRecord) -> Backup:
    now = service.clock()
    return Backup(
        id=new.id,
        project_id=caller.project_id,
        repository_id=new.repository_id,
        data_id=new.data_id,
        reference_id=service.make_id(),
        user_id=caller.user_id,
        name=new.name,
        description=new.description,
        volume_id=NO_VOLUME,
        volume_name=None,
        volume_description=None,
        snapshot_id=None,
        size_gib=new.size_gib,
        status=BackupStatus.CREATING,
        fail_reason=None,
        container=new.container,
        availability_zone=new.availability_zone,
        object_count=0,
        asked_incremental=new.asked_incremental,
        is_full=new.is_full,
        bootable=False,
        data_timestamp=now,
        created_at=now,
        updated_at=now,
    )


def reset_backup(service: Service, caller: Caller, backup_id: str, status: BackupStatus) -> Job | None:
    """Set the status to ``error``, or to ``available`` once a job has seen that the data is there.

    None when no job is needed. Raises BackupNotFound, BackupBusy.
    """
    service.permissions.require(caller, "backup:administer")
    assert status in {BackupStatus.AVAILABLE, BackupStatus.ERROR}
    with service.database.write() as connection:
        backup = owned_backup(service, connection, caller, backup_id, for_update=True)
        busy = jobs.open_of_backup(connection, backup_id, DECIDES_STATUS)
        if busy is not None:
            raise BackupBusy(backup_id, busy.id)
        present = backups.stored_status(connection, backup_id)
        job = None
        if present != status:
            if status == BackupStatus.AVAILABLE:
                job = enqueue(service, connection, caller, JobKind.CHECK_BACKUP, backup_id=backup_id)
            else:
                backups.update(connection, backup_id, now=service.clock(), status=status)
        record(
            service,
            connection,
            caller,
            AuditAction.BACKUP_RESET,
            owner=backup.project_id,
            backup_id=backup_id,
            job_id=None if job is None else job.id,
            details={"from": present, "to": status},
        )
    return job


def force_delete_backup(service: Service, caller: Caller, backup_id: str) -> Job:
    """Delete the backup whatever its status. One that is being made is cancelled; restores that run go on to their end.

    The data goes once no job needs it. The job that deletes already is answered again. Raises BackupNotFound.
    """
    service.permissions.require(caller, "backup:administer")
    with service.database.write() as connection:
        owned_backup(service, connection, caller, backup_id)  # or there is nothing to lock
        # The job's row first, as a job does that ends, and then publishes the backup.
        making = jobs.open_of_backup(connection, backup_id, MAKE_BACKUP, for_update=True)
        backup = owned_backup(service, connection, caller, backup_id, for_update=True)
        deleting = jobs.open_of_backup(connection, backup_id, {JobKind.DELETE_BACKUP})
        if deleting is not None:
            return deleting
        if making is not None and making.cancel_requested_by is None:
            jobs.update_open(connection, making.id, attempt=None, cancel_requested_by=f"user {caller.user_id}")
        return begin_delete(service, connection, caller, backup, details={"forced": True})
