"""Volumes on this machine: the part of Cinder's API that backup clients use."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from openvbs.actions.quotas import require_room, require_room_for_volume
from openvbs.actions.restores import enqueue_restore, insert_new_volume, usable_backup
from openvbs.actions.service import UNSET, Service, Unset, enqueue, given
from openvbs.auth.caller import Caller
from openvbs.db import policies, volumes
from openvbs.domain.errors import (
    BadRequest,
    SnapshotBusy,
    SnapshotNotFound,
    VolumeBusy,
    VolumeHasSnapshots,
    VolumeNotFound,
)
from openvbs.domain.job import Job, JobKind
from openvbs.domain.page import Page
from openvbs.domain.quota import Resource
from openvbs.domain.volume import (
    DELETABLE,
    EXTENDABLE,
    NewVolume,
    SnapshotStatus,
    Volume,
    VolumeKind,
    VolumeQuery,
    VolumeStatus,
)

SNAPSHOTS_DELETABLE = frozenset({SnapshotStatus.AVAILABLE, SnapshotStatus.ERROR, SnapshotStatus.ERROR_DELETING})


def create_volume(service: Service, caller: Caller, new: NewVolume) -> tuple[Volume, Job]:
    """Accept a volume: empty, or made of a snapshot, another volume or a backup. ``creating`` until its job ends.

    Raises BadRequest, SnapshotNotFound, SnapshotBusy, VolumeNotFound, VolumeBusy, RestoreBackupNotFound,
    BackupNotUsable, QuotaExceeded.
    """
    service.permissions.require(caller, "volume:create")
    if sum(source is not None for source in (new.snapshot_id, new.source_volid, new.backup_id)) > 1:
        raise BadRequest("snapshot_id, source_volid, backup_id", "give one of them at most")
    with service.database.write() as connection:
        if new.backup_id is not None:
            return _from_backup(service, connection, caller, new)
        new = replace(new, size_gib=_size_gib(service, new, _source_gib(service, connection, caller, new)))
        assert new.size_gib is not None
        require_room_for_volume(service, connection, caller.project_id, new.size_gib)
        volume = insert_new_volume(service, connection, caller, new, VolumeStatus.CREATING)
        arguments = {"snapshot_id": new.snapshot_id, "source_volid": new.source_volid}
        job = enqueue(service, connection, caller, JobKind.CREATE_VOLUME, volume_id=volume.id, arguments=arguments)
    return volume, job


def _from_backup(service: Service, connection: sa.Connection, caller: Caller, new: NewVolume) -> tuple[Volume, Job]:
    assert new.backup_id is not None
    seen = usable_backup(service, connection, caller, new.backup_id)
    size_gib = _size_gib(service, new, seen.backup.size_gib)
    require_room_for_volume(service, connection, caller.project_id, size_gib)
    new = replace(new, size_gib=size_gib)
    volume = insert_new_volume(service, connection, caller, new, VolumeStatus.CREATING)
    return volume, enqueue_restore(service, connection, caller, seen, volume, made_for_restore=True)


def _source_gib(service: Service, connection: sa.Connection, caller: Caller, new: NewVolume) -> int | None:
    """The size of the snapshot or volume to copy, locked against change until the job ends; None without one."""
    now = service.clock()
    if new.snapshot_id is not None:
        snapshot = volumes.find_snapshot(connection, new.snapshot_id, project_id=caller.project_id, for_update=True)
        if snapshot is None:
            raise SnapshotNotFound(new.snapshot_id)
        if not volumes.update_snapshot(
            connection, snapshot.id, from_status=[SnapshotStatus.AVAILABLE], status=SnapshotStatus.BACKING_UP, now=now
        ):
            raise SnapshotBusy(snapshot.id, snapshot.status)
        return snapshot.size_gib
    if new.source_volid is not None:
        source = volumes.find_volume(connection, new.source_volid, project_id=caller.project_id, for_update=True)
        if source is None:
            raise VolumeNotFound(new.source_volid)
        if not volumes.begin_work(
            connection, source.id, status=VolumeStatus.BACKING_UP, from_status=[VolumeStatus.AVAILABLE], now=now
        ):
            raise VolumeBusy(source.id, source.status, "available")
        return source.size_gib
    return None


def _size_gib(service: Service, new: NewVolume, source_gib: int | None) -> int:
    size_gib = new.size_gib if new.size_gib is not None else source_gib
    if size_gib is None:
        raise BadRequest("size", "required unless the volume is made of a snapshot, a volume or a backup")
    if source_gib is not None and size_gib < source_gib:
        raise BadRequest("size", f"{size_gib} GiB is less than the source's {source_gib} GiB")
    if not 1 <= size_gib <= service.limits.volume_gib_max:
        raise BadRequest("size", f"a whole number of GiB from 1 to {service.limits.volume_gib_max}")
    return size_gib


def list_volumes(service: Service, caller: Caller, query: VolumeQuery) -> Page[Volume]:
    """The project's volumes; an admin may ask for every project's. Raises MarkerNotFound."""
    service.permissions.require(caller, "volume:list")
    if query.all_projects and not caller.is_admin:
        query = replace(query, all_projects=False, project_id=None)
    with service.database.read() as connection:
        return volumes.list_volumes(connection, query, project_id=caller.project_id)


def get_volume(service: Service, caller: Caller, volume_id: str) -> Volume:
    """One volume. Raises VolumeNotFound."""
    service.permissions.require(caller, "volume:show")
    with service.database.read() as connection:
        return _volume(connection, caller, volume_id)


def _volume(connection: sa.Connection, caller: Caller, volume_id: str, *, for_update: bool = False) -> Volume:
    project_id = None if caller.sees_all else caller.project_id
    volume = volumes.find_volume(connection, volume_id, project_id=project_id, for_update=for_update)
    if volume is None:
        raise VolumeNotFound(volume_id)
    return volume


def update_volume(
    service: Service,
    caller: Caller,
    volume_id: str,
    *,
    name: str | Unset | None = UNSET,
    description: str | Unset | None = UNSET,
    metadata: dict[str, str] | Unset = UNSET,
    bootable: bool | Unset = UNSET,
) -> Volume:
    """Change what is given. Raises VolumeNotFound."""
    service.permissions.require(caller, "volume:update")
    values: dict[str, Any] = given(name=name, description=description, metadata=metadata, bootable=bootable)
    with service.database.write() as connection:
        _volume(connection, caller, volume_id, for_update=True)
        volumes.update_volume(connection, volume_id, now=service.clock(), **values)
        return _volume(connection, caller, volume_id)


def delete_volume(service: Service, caller: Caller, volume_id: str, *, cascade: bool = False) -> Job:
    """Accept a deletion, with cascade also of its snapshots. Backups of the volume are never touched.

    The volume leaves its policy. A registered device or file leaves the records only. Raises VolumeNotFound,
    VolumeBusy, VolumeHasSnapshots, SnapshotBusy.
    """
    service.permissions.require(caller, "volume:delete")
    with service.database.write() as connection:
        volume = _volume(connection, caller, volume_id, for_update=True)
        if volume.status not in DELETABLE:
            raise VolumeBusy(volume_id, volume.status, " or ".join(sorted(DELETABLE)))
        snapshots = volumes.snapshots_of(connection, volume_id, for_update=True)
        if snapshots and not cascade:
            raise VolumeHasSnapshots(volume_id, len(snapshots))
        now = service.clock()
        for snapshot in snapshots:
            if snapshot.status not in SNAPSHOTS_DELETABLE:
                raise SnapshotBusy(snapshot.id, snapshot.status)
            volumes.update_snapshot(connection, snapshot.id, now=now, status=SnapshotStatus.DELETING)
        volumes.update_volume(connection, volume_id, now=now, status=VolumeStatus.DELETING)
        policies.release_volume(connection, volume_id)
        return enqueue(
            service,
            connection,
            caller,
            JobKind.DELETE_VOLUME,
            volume_id=volume_id,
            arguments={"snapshot_ids": [snapshot.id for snapshot in snapshots]},
        )


def extend_volume(service: Service, caller: Caller, volume_id: str, new_size_gib: int) -> Job:
    """Accept a larger size. Raises VolumeNotFound, BadRequest, VolumeBusy, QuotaExceeded."""
    service.permissions.require(caller, "volume:extend")
    with service.database.write() as connection:
        volume = _volume(connection, caller, volume_id, for_update=True)
        if volume.kind == VolumeKind.REGISTERED:
            raise BadRequest("volume", "a registered device or file is resized by its operator, not here")
        if not volume.size_gib < new_size_gib <= service.limits.volume_gib_max:
            rule = f"must be more than the present {volume.size_gib} GiB and at most {service.limits.volume_gib_max}"
            raise BadRequest("new_size", rule)
        if not volumes.begin_work(
            connection,
            volume_id,
            status=VolumeStatus.EXTENDING,
            from_status=sorted(EXTENDABLE),
            now=service.clock(),
        ):
            raise VolumeBusy(volume_id, volume.status, "available")
        wanted = {
            Resource.PER_VOLUME_GIGABYTES: new_size_gib,
            Resource.GIGABYTES: new_size_gib - volume.size_gib,
        }
        require_room(service, connection, volume.project_id, wanted)
        return enqueue(
            service,
            connection,
            caller,
            JobKind.EXTEND_VOLUME,
            volume_id=volume_id,
            arguments={"new_size_gib": new_size_gib},
        )
