"""A backup's record as text, to be imported by another project, or by another installation on the same store.

Cinder's: base64 of a JSON object with its names. Where the data lies is ours.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from openvbs.api.times import t6, t6_or_none
from openvbs.api.vbs.views import service_metadata
from openvbs.api.wire import BAD_REQUEST, WireError
from openvbs.domain.backup import Backup, NewRecord

BACKUP_SERVICE = "cinder.backup.drivers.openvbs.OpenVBSBackupDriver"
"""Whose records these are, in the form that Cinder's clients expect."""

_Id = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")]
_RepositoryId = Annotated[str, Meta(pattern=r"^[0-9a-z][0-9a-z_-]{0,63}\Z")]
_Text = Annotated[str, Meta(max_length=255)]
_Gib = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class _Record(Struct):
    """What we read of a record; the rest is for people and for Cinder's tools."""

    id: _Id
    size: _Gib
    repository_id: _RepositoryId
    data_id: _Id
    display_name: _Text | None = None
    display_description: _Text | None = None
    container: _Text | None = None
    availability_zone: _Text | None = None
    is_incremental: bool = False
    is_full: bool = True


def encode(backup: Backup) -> dict[str, str]:
    """The record of a backup, as export_record answers it."""
    fields = {
        "id": backup.id,
        "repository_id": backup.repository_id,
        "data_id": backup.data_id,
        "size": backup.size_gib,
        "display_name": backup.name,
        "display_description": backup.description,
        "container": backup.container,
        "availability_zone": backup.availability_zone,
        "is_incremental": backup.asked_incremental,
        "is_full": backup.is_full,
        "project_id": backup.project_id,
        "user_id": backup.user_id,
        "volume_id": backup.volume_id,
        "snapshot_id": backup.snapshot_id,
        "object_count": backup.object_count,
        "service": BACKUP_SERVICE,
        "service_metadata": service_metadata(backup, as_recipient=False),
        "status": "available",
        "fail_reason": None,
        "parent_id": None,
        "created_at": t6(backup.created_at),
        "updated_at": t6_or_none(backup.updated_at),
        "data_timestamp": t6(backup.data_timestamp),
    }
    return {
        "backup_service": BACKUP_SERVICE,
        "backup_url": base64.b64encode(msgspec.json.encode(fields)).decode("ascii"),
    }


def decode(backup_service: str, backup_url: str) -> NewRecord:
    """What a record says. 400 for one that is malformed or of another service."""
    if backup_service != BACKUP_SERVICE:
        raise _bad("backup_service", f"must be {BACKUP_SERVICE}; other services' backups cannot be read here")
    try:
        text = base64.b64decode("".join(backup_url.split()), validate=True)
        fields = msgspec.json.decode(text, type=_Record)
    except binascii.Error as error:
        raise _bad("backup_url", f"is no base64: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _bad("backup_url", f"holds no record of a backup: {error}") from error
    if any("\0" in value for value in msgspec.structs.astuple(fields) if isinstance(value, str)):
        raise _bad("backup_url", "holds a NUL character")
    return NewRecord(
        id=fields.id.lower(),
        repository_id=fields.repository_id,
        data_id=fields.data_id.lower(),
        size_gib=fields.size,
        name=fields.display_name,
        description=fields.display_description,
        container=fields.container,
        availability_zone=fields.availability_zone,
        asked_incremental=fields.is_incremental,
        is_full=fields.is_full,
    )


def _bad(field: str, rule: str) -> WireError:
    return WireError(400, BAD_REQUEST, f"Invalid input for field/attribute {field}: {field} {rule}.")
