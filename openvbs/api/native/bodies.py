"""Bodies of the native dialect, read into what actions take."""

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct

from openvbs.api import body
from openvbs.api.microversion import VERSION_MIN, Version
from openvbs.api.native import body_schemas as schemas
from openvbs.api.native.texts import Metadata, Tags
from openvbs.api.wire import BAD_REQUEST, Call, WireError
from openvbs.domain.backup import BackupStatus, NewBackup, NewRestore
from openvbs.domain.errors import VolumeNotFound
from openvbs.domain.volume import NewVolume

T = TypeVar("T")

_VOLUMES: tuple[tuple[Version, type[schemas.VolumeFields]], ...] = (
    ((3, 53), schemas.VolumeV353), ((3, 47), schemas.VolumeV347), (VERSION_MIN, schemas.VolumeV30)
)  # fmt: skip
_BACKUPS: tuple[tuple[Version, type[schemas.BackupV30]], ...] = (
    ((3, 51), schemas.BackupV351), ((3, 43), schemas.BackupV343), (VERSION_MIN, schemas.BackupV30)
)  # fmt: skip
_CHANGE_SAYS_SOMETHING_FROM = (3, 53)


def backup(call: Call) -> NewBackup:
    """POST backups."""
    if not call.is_v3:
        return _backup_v2(call)
    kind = _since(call, _BACKUPS)
    fields = _envelope(call, "backup", kind)
    incremental = _bool("incremental", fields.incremental)
    return NewBackup(
        volume_id=fields.volume_id.lower(),
        snapshot_id=_lower(fields.snapshot_id),
        name=_stripped(fields.name),
        description=_stripped(fields.description),
        container=fields.container,
        availability_zone=fields.availability_zone if isinstance(fields, schemas.BackupV351) else None,
        metadata=(fields.metadata or {}) if isinstance(fields, schemas.BackupV343) else {},
        incremental=incremental,
        full=not incremental,
        force=_bool("force", fields.force),
    )


def _since(call: Call, kinds: tuple[tuple[Version, T], ...]) -> T:
    """The kind of the call's microversion; the newest comes first."""
    return next(kind for since, kind in kinds if call.version >= since)


def _backup_v2(call: Call) -> NewBackup:
    fields = _envelope(call, "backup", schemas.BackupV2)
    _bool("incremental", fields.incremental)  # checked, but v2 decides by itself
    if fields.description and ("<" in fields.description or ">" in fields.description):
        raise WireError(400, "VolumeBackup.0006", "description must not hold < or >.")
    if fields.project_id is not None and fields.project_id != call.params.get("project_id"):
        raise _bad("project_id", "must be the project of the path")
    return NewBackup(
        volume_id=fields.volume_id.lower(),
        snapshot_id=_lower(fields.snapshot_id),
        name=_stripped(fields.name) or None,
        description=_stripped(fields.description),
        container=fields.container,
        force=_bool("force", fields.force),
    )


def backup_change(call: Call) -> dict[str, Any]:
    """PUT backups/{id}: what is given, by the names of the action's arguments."""
    kind = schemas.BackupChangeV343 if call.version >= (3, 43) else schemas.BackupChange
    return _given(_envelope(call, "backup", kind))


def restore(call: Call) -> NewRestore:
    """POST backups/{id}/restore."""
    kind: type[schemas.Restore | schemas.RestoreV2] = schemas.Restore if call.is_v3 else schemas.RestoreV2
    fields = _envelope(call, "restore", kind)
    return NewRestore(volume_id=_lower(fields.volume_id), name=_stripped(fields.name) or None)


def volume(call: Call) -> NewVolume:
    """POST volumes."""
    kind = _since(call, _VOLUMES) if call.is_v3 else schemas.VolumeV2
    fields = _envelope(call, "volume", kind, beside=schemas.BESIDE_VOLUME)
    if isinstance(fields, schemas.VolumeV30) and fields.backup_id:
        raise _bad("backup_id", "is known from microversion 3.47 on")
    for name in ("consistencygroup_id", "group_id", "image_ref", "image_id"):
        if getattr(fields, name):
            raise _bad(name, "is not supported here")
    if fields.multiattach is not None and _bool("multiattach", fields.multiattach):
        raise _bad("multiattach", "is not supported here")
    return NewVolume(
        size_gib=None if fields.size is None else _whole_number("size", fields.size),
        name=_stripped(fields.name if fields.name is not None else fields.display_name),
        description=_stripped(fields.description if fields.description is not None else fields.display_description),
        metadata=fields.metadata or {},
        volume_type=fields.volume_type,
        availability_zone=fields.availability_zone,
        snapshot_id=_lower(fields.snapshot_id),
        source_volid=_lower(fields.source_volid),
        backup_id=_lower(fields.backup_id) if isinstance(fields, schemas.VolumeV347) else None,
    )


def snapshot(call: Call) -> dict[str, Any]:
    """POST snapshots, as the arguments of the action. ``force`` is checked; our volumes are never in use."""
    fields = _envelope(call, "snapshot", schemas.SnapshotV3 if call.is_v3 else schemas.Snapshot)
    _bool("force", fields.force)
    if fields.volume_id is None:  # as Cinder: the id is well formed, but nothing has it
        raise VolumeNotFound("None")
    description = fields.description
    if description is None and isinstance(fields, schemas.Snapshot):
        description = fields.display_description
    return {
        "volume_id": fields.volume_id.lower(),
        "name": _stripped(fields.name if fields.name is not None else fields.display_name),
        "description": _stripped(description),
        "metadata": fields.metadata or {},
    }


def change(call: Call, name: str) -> dict[str, Any]:
    """PUT volumes/{id} and snapshots/{id}: what is given, by the names of the action's arguments."""
    strict = schemas.SnapshotChangeV3 if name == "snapshot" else schemas.ChangeV3
    given = _given(_envelope(call, name, strict if call.is_v3 else schemas.Change))
    if not given and call.is_v3 and (name == "snapshot" or call.version >= _CHANGE_SAYS_SOMETHING_FROM):
        raise _bad(name, "says nothing to change")
    for old, new in (("display_name", "name"), ("display_description", "description")):
        if old in given:
            given.setdefault(new, given.pop(old))
            given.pop(old, None)
    return given


def action(call: Call, known: Collection[str]) -> tuple[str, Any]:
    """POST .../{id}/action: which of the known actions, and what is said with it."""
    decoded = body.decode(_raw(call), dict[str, Any])
    name, *others = sorted(decoded) or [""]
    if others or name not in known:
        raise WireError(400, BAD_REQUEST, f"There is no such action: {', '.join(map(repr, sorted(decoded)))}.")
    return name, decoded[name]


def extend(call: Call, value: Any) -> int:
    """What is said with os-extend: the new size."""
    kind = schemas.ExtendV3 if call.is_v3 else schemas.Extend
    return _whole_number("new_size", _converted("os-extend", value, kind).new_size)


def bootable(call: Call, value: Any) -> bool:
    """What is said with os-set_bootable."""
    kind = schemas.SetBootableV3 if call.is_v3 else schemas.SetBootable
    return _bool("bootable", _converted("os-set_bootable", value, kind).bootable)


def reset_status(value: Any) -> BackupStatus:
    """What is said with a backup's os-reset_status: available or error, in any case."""
    given = _converted("os-reset_status", value, schemas.ResetStatus).status.strip(schemas.SPACE).lower()
    if given not in {BackupStatus.AVAILABLE, BackupStatus.ERROR}:
        raise _bad("status", f"must be available or error, not {given!r}")
    return BackupStatus(given)


def nothing(name: str, value: Any) -> None:
    """What is said with an action that needs no more words: null or {}."""
    if value not in (None, {}):
        raise _bad(name, "takes no values")


def backup_record(call: Call) -> tuple[str, str]:
    """POST backups/import_record: the service and the record as text."""
    fields = _envelope(call, "backup-record", schemas.BackupRecordV3 if call.is_v3 else schemas.BackupRecord)
    return fields.backup_service, fields.backup_url


def quota_set(call: Call) -> dict[str, Any]:
    """PUT os-quota-sets/{id}: limits by name."""
    return _envelope(call, "quota_set", dict[str, Any])


def metadata(call: Call) -> dict[str, str]:
    """POST and PUT of all metadata."""
    return _envelope(call, "metadata", Metadata)


def tags(call: Call) -> dict[str, str]:
    """PUT of all tags."""
    return _envelope(call, "tags", Tags)


def metadata_item(call: Call) -> tuple[str, str]:
    """PUT of one key, which the body names once more."""
    given = _envelope(call, "meta", Metadata)
    if list(given) != [call.params["key"]]:
        raise _bad("meta", "must hold exactly the key of the path")
    return next(iter(given.items()))


def _raw(call: Call) -> bytes:
    return body.read(call.request, bytes_max=call.settings.body_bytes_max)


def _envelope(call: Call, name: str, kind: type[T], *, beside: frozenset[str] = frozenset()) -> T:
    """The fields under the body's key ``name``; on /v3 no other key may stand beside it."""
    decoded = body.decode(_raw(call), dict[str, Any])
    if name not in decoded:
        raise _bad(name, "is a required property")
    unknown = sorted(set(decoded) - {name} - beside)
    if call.is_v3 and unknown:
        raise _bad(unknown[0], "is not expected here")
    if decoded[name] is None and name in schemas.MAY_BE_NULL:
        decoded[name] = {}
    return _converted(name, decoded[name], kind)


def _converted(name: str, value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _bad(name, str(error)) from error


def _given(fields: Struct) -> dict[str, Any]:
    found = {name: getattr(fields, name) for name in fields.__struct_fields__}
    return {
        name: value.strip() if isinstance(value, str) else value for name, value in found.items() if value is not UNSET
    }


def _bool(name: str, value: bool | str) -> bool:  # noqa: FBT001 - the value itself
    if isinstance(value, bool):
        return value
    if value.strip(schemas.SPACE).lower() in schemas.TRUE:
        return True
    if value.strip(schemas.SPACE).lower() in schemas.FALSE:
        return False
    raise _bad(name, f"{value!r} is not a boolean")


def _whole_number(name: str, value: int | str) -> int:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise _bad(name, f"{value!r} is not a whole number")
    if not 1 <= int(value) <= schemas.SIZE_GIB_MAX:
        raise _bad(name, f"must be from 1 to {schemas.SIZE_GIB_MAX}")
    return int(value)


def _stripped(value: str | None) -> str | None:
    return None if value is None else value.strip()


def _lower(value: str | None) -> str | None:
    return None if value is None else value.lower()


def _bad(field: str, rule: str) -> WireError:
    return WireError(400, BAD_REQUEST, f"Invalid input for field/attribute {field}: {rule}.")
