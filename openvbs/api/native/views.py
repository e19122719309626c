"""Records as Cinder shows them; fields come with their microversion."""

from typing import Any

from openvbs.api.microversion import Version
from openvbs.api.times import t6, t6_or_none
from openvbs.api.vbs.views import service_metadata
from openvbs.api.wire import Call
from openvbs.domain.backup import Backup
from openvbs.domain.volume import Snapshot, Volume

_OF_VOLUMES: dict[str, tuple[Version, Any]] = {
    "group_id": ((3, 13), None),
    "provider_id": ((3, 21), None),
    "service_uuid": ((3, 48), None),
    "shared_targets": ((3, 48), False),
    "volume_type_id": ((3, 63), None),
}
"""Fields of a volume that came with a microversion, and what they are for every volume here."""
_CLUSTER_NAME_FROM = (3, 61)


def backup_summary(call: Call, record: Backup) -> dict[str, Any]:
    return {"id": record.id, "name": record.name, "links": call.links.of("backups", record.id)}


def backup_detail(call: Call, record: Backup, *, as_recipient: bool = False) -> dict[str, Any]:
    """The whole record. A recipient does not see whose it is, nor what its owner keeps beside it."""
    shown = {
        **backup_summary(call, record),
        "status": record.status,
        "description": record.description,
        "availability_zone": record.availability_zone,
        "volume_id": record.volume_id,
        "snapshot_id": record.snapshot_id,
        "size": record.size_gib,
        "object_count": record.object_count,
        "container": record.container,
        "fail_reason": record.fail_reason,
        "created_at": t6(record.created_at),
        "updated_at": t6_or_none(record.updated_at),
        "data_timestamp": t6(record.data_timestamp),
        "is_incremental": record.asked_incremental if call.is_v3 else not record.is_full,
        "has_dependent_backups": False,
    }
    if not call.is_v3:
        shown["service_metadata"] = service_metadata(record, as_recipient=as_recipient)
        if not as_recipient:
            shown["os-bak-tenant-attr:tenant_id"] = record.project_id
        return shown
    if call.version >= (3, 18) and not as_recipient:
        shown["os-backup-project-attr:project_id"] = record.project_id
    if call.version >= (3, 43):
        shown["metadata"] = {} if as_recipient else record.metadata
    if call.version >= (3, 56) and call.caller.is_admin:
        shown["user_id"] = record.user_id
    return shown


def volume_summary(call: Call, record: Volume) -> dict[str, Any]:
    return {"id": record.id, "name": record.name, "links": call.links.of("volumes", record.id)}


def volume(call: Call, record: Volume) -> dict[str, Any]:
    """What Cinder answers who made or changed a volume without attachments, replication or encryption."""
    shown = {
        **volume_summary(call, record),
        "status": record.status,
        "size": record.size_gib,
        "description": record.description,
        "bootable": "true" if record.bootable else "false",
        "metadata": record.metadata,
        "user_id": record.user_id,
        "availability_zone": record.availability_zone,
        "volume_type": record.volume_type,
        "snapshot_id": record.snapshot_id,
        "source_volid": record.source_volid,
        "created_at": t6(record.created_at),
        "updated_at": t6_or_none(record.updated_at),
        "attachments": [],
        "encrypted": False,
        "multiattach": False,
        "replication_status": None,
        "consistencygroup_id": None,
        **{name: value for name, (since, value) in _OF_VOLUMES.items() if call.version >= since},
    }
    if call.version >= _CLUSTER_NAME_FROM and call.caller.is_admin:
        shown["cluster_name"] = None
    return shown


def volume_detail(call: Call, record: Volume) -> dict[str, Any]:
    """The whole record, as it is shown and listed."""
    shown = {**volume(call, record), "os-vol-tenant-attr:tenant_id": record.project_id}
    if record.image_metadata:
        shown["volume_image_metadata"] = record.image_metadata
    return shown


def snapshot_summary(record: Snapshot) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "volume_id": record.volume_id,
        "status": record.status,
        "size": record.size_gib,
        "metadata": record.metadata,
        "created_at": t6(record.created_at),
        "updated_at": t6_or_none(record.updated_at),
    }


def snapshot_detail(record: Snapshot, version: Version) -> dict[str, Any]:
    shown = {
        **snapshot_summary(record),
        "os-extended-snapshot-attributes:progress": "0%" if record.status == "creating" else "100%",
        "os-extended-snapshot-attributes:project_id": record.project_id,
    }
    if version >= (3, 14):
        shown["group_snapshot_id"] = None
    if version >= (3, 41):
        shown["user_id"] = record.user_id
    return shown
