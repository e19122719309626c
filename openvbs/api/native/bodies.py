"""Bodies of the native dialect. On /v3 as strict as Cinder's schemas, on /v2 unknown keys are ignored."""

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from openvbs.api import body
from openvbs.api.native.texts import Metadata, Tags, Text
from openvbs.api.wire import BAD_REQUEST, Call, WireError
from openvbs.domain.backup import BackupStatus, NewBackup, NewRestore
from openvbs.domain.errors import VolumeNotFound
from openvbs.domain.volume import NewVolume

T = TypeVar("T")

_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})
_SPACE = " \t\r\n"
_SIZE_GIB_MAX = 999_999_999
"""So that a size in bytes fits into the 64 bits of a column."""


def _one_of(words: Collection[str]) -> str:
    """The pattern of these words in any letter case."""
    both = ("".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word) for word in sorted(words))
    return rf"^[{_SPACE}]*({'|'.join(both)})[{_SPACE}]*\Z"


# What extra_json_schema says is checked below, with messages of our own.
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")]
Flag = bool | Annotated[str, Meta(extra_json_schema={"pattern": _one_of(_TRUE | _FALSE)})]
Off = (
    Annotated[bool, Meta(extra_json_schema={"const": False})]
    | Annotated[str, Meta(extra_json_schema={"pattern": _one_of(_FALSE)})]
)
Nothing = Annotated[Any, Meta(extra_json_schema={"enum": [None, "", False, 0, [], {}]})]
Size = (
    Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": _SIZE_GIB_MAX})]
    | Annotated[str, Meta(extra_json_schema={"pattern": "^0*[1-9][0-9]{0,8}$", "maxLength": 10})]
)


class Strict(Struct, forbid_unknown_fields=True):
    """Cinder's additionalProperties: false."""


class BackupV2(Struct):
    volume_id: Uuid
    snapshot_id: Uuid | None = None
    name: Text | None = None
    description: Annotated[str, Meta(max_length=255, extra_json_schema={"pattern": "^[^<>]*$"})] | None = None
    container: Text | None = None
    incremental: Flag = False
    force: Flag = False
    project_id: str | None = None


class BackupV30(Strict):
    volume_id: Uuid
    snapshot_id: Uuid | None = None
    name: Text | None = None
    description: Text | None = None
    container: Text | None = None
    incremental: Flag = False
    force: Flag = False


class BackupV343(BackupV30):
    metadata: Metadata | None = None


class BackupV351(BackupV343):
    availability_zone: Text | None = None


class BackupChange(Strict):
    name: Text | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET


class BackupChangeV343(BackupChange):
    metadata: Metadata | UnsetType = UNSET


class Restore(Strict):
    volume_id: Uuid | None = None
    name: Text | None = None


class RestoreV2(Struct):
    volume_id: Uuid | None = None
    name: Text | None = None


class _VolumeFields(Struct):
    size: Size | None = None
    name: Text | None = None
    description: Text | None = None
    display_name: Text | None = None
    display_description: Text | None = None
    metadata: Metadata | None = None
    snapshot_id: Uuid | None = None
    source_volid: Uuid | None = None
    volume_type: Text | None = None
    availability_zone: Text | None = None
    consistencygroup_id: Nothing = None
    group_id: Nothing = None
    image_ref: Nothing = msgspec.field(default=None, name="imageRef")
    image_id: Nothing = None
    multiattach: Off | None = None


class VolumeV2(_VolumeFields):
    pass


class VolumeV30(_VolumeFields, forbid_unknown_fields=True):
    pass


class VolumeV347(VolumeV30, forbid_unknown_fields=True):
    backup_id: Uuid | None = None


class Snapshot(Struct):
    volume_id: Uuid | None
    name: Text | None = None
    description: Text | None = None
    display_name: Text | None = None
    display_description: Text | None = None
    metadata: Metadata | None = None
    force: Flag = False


class SnapshotV3(Snapshot, forbid_unknown_fields=True):
    pass


class Change(Struct):
    """What may be changed of a volume or a snapshot."""

    name: Text | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    display_name: Text | UnsetType | None = UNSET
    display_description: Text | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET


class ChangeV3(Change, forbid_unknown_fields=True):
    pass


class Extend(Struct):
    new_size: Size


class SetBootable(Struct):
    bootable: Flag


class ResetStatus(Strict):
    status: Annotated[str, Meta(extra_json_schema={"pattern": _one_of({"available", "error"})})]


class BackupRecord(Struct):
    backup_service: Text
    backup_url: Annotated[str, Meta(min_length=1)]


class BackupRecordV3(BackupRecord, forbid_unknown_fields=True):
    pass


BESIDE_VOLUME = frozenset({"OS-SCH-HNT:scheduler_hints"})
"""What may stand beside a new volume."""


def backup(call: Call) -> NewBackup:
    """POST backups."""
    if not call.is_v3:
        return _backup_v2(call)
    kind = BackupV351 if call.version >= (3, 51) else BackupV343 if call.version >= (3, 43) else BackupV30
    fields = _envelope(call, "backup", kind)
    incremental = _bool("incremental", fields.incremental)
    return NewBackup(
        volume_id=fields.volume_id.lower(),
        snapshot_id=_lower(fields.snapshot_id),
        name=_stripped(fields.name),
        description=_stripped(fields.description),
        container=fields.container,
        availability_zone=fields.availability_zone if isinstance(fields, BackupV351) else None,
        metadata=(fields.metadata or {}) if isinstance(fields, BackupV343) else {},
        incremental=incremental,
        full=not incremental,
        force=_bool("force", fields.force),
    )


def _backup_v2(call: Call) -> NewBackup:
    fields = _envelope(call, "backup", BackupV2)
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
    kind = BackupChangeV343 if call.version >= (3, 43) else BackupChange
    return _given(_envelope(call, "backup", kind))


def restore(call: Call) -> NewRestore:
    """POST backups/{id}/restore."""
    kind: type[Restore | RestoreV2] = Restore if call.is_v3 else RestoreV2
    fields = _envelope(call, "restore", kind)
    return NewRestore(volume_id=_lower(fields.volume_id), name=_stripped(fields.name) or None)


def volume(call: Call) -> NewVolume:
    """POST volumes."""
    kind = VolumeV2 if not call.is_v3 else VolumeV347 if call.version >= (3, 47) else VolumeV30
    fields = _envelope(call, "volume", kind, beside=BESIDE_VOLUME)
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
        backup_id=_lower(fields.backup_id) if isinstance(fields, VolumeV347) else None,
    )


def snapshot(call: Call) -> dict[str, Any]:
    """POST snapshots, as the arguments of the action. ``force`` is checked; our volumes are never in use."""
    fields = _envelope(call, "snapshot", SnapshotV3 if call.is_v3 else Snapshot)
    _bool("force", fields.force)
    if fields.volume_id is None:  # as Cinder: the id is well formed, but nothing has it
        raise VolumeNotFound("None")
    return {
        "volume_id": fields.volume_id.lower(),
        "name": _stripped(fields.name if fields.name is not None else fields.display_name),
        "description": _stripped(fields.description if fields.description is not None else fields.display_description),
        "metadata": fields.metadata or {},
    }


def change(call: Call, name: str) -> dict[str, Any]:
    """PUT volumes/{id} and snapshots/{id}: what is given, by the names of the action's arguments."""
    fields = _envelope(call, name, ChangeV3 if call.is_v3 else Change)
    given = _given(fields)
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


def extend(value: Any) -> int:
    """What is said with os-extend: the new size."""
    return _whole_number("new_size", _converted("os-extend", value, Extend).new_size)


def bootable(value: Any) -> bool:
    """What is said with os-set_bootable."""
    return _bool("bootable", _converted("os-set_bootable", value, SetBootable).bootable)


def reset_status(value: Any) -> BackupStatus:
    """What is said with a backup's os-reset_status: available or error, in any case."""
    given = _converted("os-reset_status", value, ResetStatus).status.strip(_SPACE).lower()
    if given not in {BackupStatus.AVAILABLE, BackupStatus.ERROR}:
        raise _bad("status", f"must be available or error, not {given!r}")
    return BackupStatus(given)


def nothing(name: str, value: Any) -> None:
    """What is said with an action that needs no more words: null or {}."""
    if value not in (None, {}):
        raise _bad(name, "takes no values")


def backup_record(call: Call) -> tuple[str, str]:
    """POST backups/import_record: the service and the record as text."""
    fields = _envelope(call, "backup-record", BackupRecordV3 if call.is_v3 else BackupRecord)
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
    if decoded[name] is None:
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
    if value.strip(_SPACE).lower() in _TRUE:
        return True
    if value.strip(_SPACE).lower() in _FALSE:
        return False
    raise _bad(name, f"{value!r} is not a boolean")


def _whole_number(name: str, value: int | str) -> int:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise _bad(name, f"{value!r} is not a whole number")
    if not 1 <= int(value) <= _SIZE_GIB_MAX:
        raise _bad(name, f"must be from 1 to {_SIZE_GIB_MAX}")
    return int(value)


def _stripped(value: str | None) -> str | None:
    return None if value is None else value.strip()


def _lower(value: str | None) -> str | None:
    return None if value is None else value.lower()


def _bad(field: str, rule: str) -> WireError:
    return WireError(400, BAD_REQUEST, f"Invalid input for field/attribute {field}: {rule}.")
