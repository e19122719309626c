"""Snapshots of volumes on this machine."""

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from openvbs.actions.quotas import require_room
from openvbs.actions.service import UNSET, Service, Unset, enqueue, given
from openvbs.actions.volumes import SNAPSHOTS_DELETABLE
from openvbs.auth.caller import Caller
from openvbs.db import volumes
from openvbs.domain.errors import SnapshotBusy, SnapshotNotFound, VolumeBusy, VolumeNotFound
from openvbs.domain.job import Job, JobKind
from openvbs.domain.page import Page
from openvbs.domain.quota import Resource
from openvbs.domain.volume import Snapshot, SnapshotStatus, VolumeQuery, VolumeStatus


def create_snapshot(
    service: Service,
    caller: Caller,
    *,
    volume_id: str,
    name: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
) -> tuple[Snapshot, Job]:
    """Accept a snapshot; the volume is locked until its bytes are set aside. Raises VolumeNotFound, VolumeBusy."""
    service.permissions.require(caller, "snapshot:create")
    with service.database.write() as connection:
        volume = volumes.find_volume(connection, volume_id, project_id=caller.project_id, for_update=True)
        if volume is None:
            raise VolumeNotFound(volume_id)
        now = service.clock()
        if not volumes.begin_work(
            connection, volume_id, status=VolumeStatus.BACKING_UP, from_status=[VolumeStatus.AVAILABLE], now=now
        ):
            raise VolumeBusy(volume_id, volume.status, "available")
        wanted = {Resource.SNAPSHOTS: 1, Resource.GIGABYTES: volume.size_gib}
        require_room(service, connection, caller.project_id, wanted)
        snapshot = Snapshot(
            id=service.make_id(),
            project_id=caller.project_id,
            user_id=caller.user_id,
            volume_id=volume_id,
            name=name,
            description=description,
            size_gib=volume.size_gib,
            status=SnapshotStatus.CREATING,
            metadata=metadata or {},
            created_at=now,
            updated_at=now,
        )
        volumes.insert_snapshot(connection, snapshot)
        job = enqueue(
            service,
            connection,
            caller,
            JobKind.CREATE_SNAPSHOT,
            volume_id=volume_id,
            snapshot_id=snapshot.id,
            bytes_total=volume.size_bytes,
        )
    return snapshot, job


def list_snapshots(service: Service, caller: Caller, query: VolumeQuery) -> Page[Snapshot]:
    """The project's snapshots; an admin may ask for every project's. Raises MarkerNotFound."""
    service.permissions.require(caller, "snapshot:list")
    if query.all_projects and not caller.is_admin:
        query = replace(query, all_projects=False, project_id=None)
    with service.database.read() as connection:
        return volumes.list_snapshots(connection, query, project_id=caller.project_id)


def get_snapshot(service: Service, caller: Caller, snapshot_id: str) -> Snapshot:
    """One snapshot. Raises SnapshotNotFound."""
    service.permissions.require(caller, "snapshot:show")
    with service.database.read() as connection:
        return _snapshot(connection, caller, snapshot_id)


def _snapshot(connection: sa.Connection, caller: Caller, snapshot_id: str, *, for_update: bool = False) -> Snapshot:
    project_id = None if caller.sees_all else caller.project_id
    snapshot = volumes.find_snapshot(connection, snapshot_id, project_id=project_id, for_update=for_update)
    if snapshot is None:
        raise SnapshotNotFound(snapshot_id)
    return snapshot


def update_snapshot(
    service: Service,
    caller: Caller,
    snapshot_id: str,
    *,
    name: str | Unset | None = UNSET,
    description: str | Unset | None = UNSET,
    metadata: dict[str, str] | Unset = UNSET,
) -> Snapshot:
    """Change what is given. Raises SnapshotNotFound."""
    service.permissions.require(caller, "snapshot:update")
    values: dict[str, Any] = given(name=name, description=description, metadata=metadata)
    with service.database.write() as connection:
        _snapshot(connection, caller, snapshot_id, for_update=True)
        volumes.update_snapshot(connection, snapshot_id, now=service.clock(), **values)
        return _snapshot(connection, caller, snapshot_id)


def delete_snapshot(service: Service, caller: Caller, snapshot_id: str) -> Job:
    """Accept a deletion. Raises SnapshotNotFound, SnapshotBusy."""
    service.permissions.require(caller, "snapshot:delete")
    with service.database.write() as connection:
        snapshot = _snapshot(connection, caller, snapshot_id, for_update=True)
        if snapshot.status not in SNAPSHOTS_DELETABLE:
            raise SnapshotBusy(snapshot_id, snapshot.status)
        volumes.update_snapshot(connection, snapshot_id, now=service.clock(), status=SnapshotStatus.DELETING)
        return enqueue(
            service,
            connection,
            caller,
            JobKind.DELETE_SNAPSHOT,
            volume_id=snapshot.volume_id,
            snapshot_id=snapshot_id,
        )
