"""Records as the VBS dialect shows them. Native v2 shares the backup's service_metadata."""

from typing import Any

import msgspec

from openvbs.api.times import t3z_or_none, t6, t6_or_none
from openvbs.auth.caller import Caller
from openvbs.domain.audit import AuditEvent
from openvbs.domain.backup import Backup, BackupStatus
from openvbs.domain.job import Job, JobKind, JobStatus
from openvbs.domain.share import GrantedBackup, Share, SharedBackup

_DEDUPLICATED_AND_COMPRESSED = 3


def share(record: Share) -> dict[str, Any]:
    """A live share."""
    return {
        "id": record.id,
        "backup_id": record.backup_id,
        "from_project_id": record.from_project_id,
        "to_project_id": record.to_project_id,
        "created_at": t6(record.created_at),
        "updated_at": t6_or_none(record.updated_at),
        # Only live shares are shown; clients want a string or null here, never a boolean.
        "deleted": None,
        "deleted_at": None,
        # Ours, and only where the owner asked for it: clients of the contract see the contract's fields.
        **({} if record.expires_at is None else {"expires_at": t6(record.expires_at)}),
    }


def shared_backup(found: SharedBackup, *, viewer_project_id: str) -> dict[str, Any]:
    """A share with its backup, of which a recipient sees less than the owner."""
    as_recipient = found.share.from_project_id != viewer_project_id
    return {**share(found.share), "backup": backup(found.backup, as_recipient=as_recipient)}


def backup(record: GrantedBackup, *, as_recipient: bool) -> dict[str, Any]:
    """The fields of a backup that owner and recipients see alike, but for service_metadata."""
    return {
        "id": record.id,
        "name": record.name,
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
        "is_incremental": not record.is_full,
        "has_dependent_backups": False,
        "service_metadata": service_metadata(record, as_recipient=as_recipient),
    }


def service_metadata(record: Backup | GrantedBackup, *, as_recipient: bool) -> str:
    """JSON text in a string, as the contract has it. Keys and places are the owner's business."""
    values: dict[str, Any] = {
        "bootable": record.bootable,
        "progress": record.progress_percent,
        "Type": 0 if record.is_full else 1,
        "ST": 0,
    }
    if not as_recipient:
        values["DL"] = _DEDUPLICATED_AND_COMPRESSED
        if record.status != BackupStatus.CREATING:
            values["BackupSize"] = record.bytes_stored
        if not record.is_frozen:
            values["frozen"] = False
    return msgspec.json.encode(values).decode()


def job(record: Job) -> dict[str, Any]:
    """A job. Its entities hold strings and nulls only, so progress stands beside them."""
    failed = record.status == JobStatus.FAIL
    return {
        "status": record.status,
        "entities": _entities(record),
        "job_id": record.id,
        "job_type": record.kind,
        "begin_time": t3z_or_none(record.begin_time),
        "end_time": t3z_or_none(record.end_time),
        "error_code": record.error_code if failed else None,
        "fail_reason": record.fail_reason if failed else None,
        "sub_jobs": [],
        "progress": {"bytes_done": record.bytes_done, "bytes_total": record.bytes_total},
    }


def _entities(record: Job) -> dict[str, str | None]:
    if record.kind == JobKind.CREATE_BACKUP:
        return {
            "bks_create_volume_name": "",
            "backup_id": record.backup_id,
            "volume_id": record.volume_id,
            "snapshot_id": record.snapshot_id,
        }
    if record.kind in {JobKind.DELETE_BACKUP, JobKind.RESTORE_BACKUP}:
        return {"backup_id": record.backup_id, "volume_id": record.volume_id}
    found = {"backup_id": record.backup_id, "volume_id": record.volume_id, "snapshot_id": record.snapshot_id}
    return {key: value for key, value in found.items() if value is not None}


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags of a backup or a policy, by key."""
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def audit_event(record: AuditEvent, viewer: Caller) -> dict[str, Any]:
    """Of what another project did its owner learns which project it was, and no more of who, from where."""
    tells_who = viewer.is_admin or record.actor_project_id == viewer.project_id
    return {
        "id": record.id,
        "at": t6(record.at),
        "action": record.action,
        "outcome": record.outcome,
        "actor_project_id": record.actor_project_id,
        "actor_user_id": record.actor_user_id if tells_who else None,
        "as_admin": record.as_admin,
        "backup_id": record.backup_id,
        "share_id": record.share_id,
        "job_id": record.job_id,
        "policy_id": record.policy_id,
        "to_project_id": record.to_project_id,
        "request_id": record.request_id if tells_who else None,
        "source_address": record.source_address if tells_who else None,
        "details": record.details,
    }
