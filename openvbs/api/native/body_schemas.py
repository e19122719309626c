"""What bodies of the native dialect hold. On /v3 as strict as Cinder's schemas, on /v2 unknown keys are ignored."""

from collections.abc import Collection
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from openvbs.api.native.texts import Metadata, Text

TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE = frozenset({"0", "f", "false", "off", "n", "no"})
SPACE = " \t\r\n"
SIZE_GIB_MAX = 999_999_999
"""So that a size in bytes fits into the 64 bits of a column."""


def _one_of(words: Collection[str]) -> str:
    """The pattern of these words in any letter case."""
    both = ("".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word) for word in sorted(words))
    return rf"^[{SPACE}]*({'|'.join(both)})[{SPACE}]*\Z"


# What extra_json_schema says is checked by the readers of bodies, with messages of their own.
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")]
Flag = bool | Annotated[str, Meta(extra_json_schema={"pattern": _one_of(TRUE | FALSE)})]
Off = (
    Annotated[bool, Meta(extra_json_schema={"const": False})]
    | Annotated[str, Meta(extra_json_schema={"pattern": _one_of(FALSE)})]
)
Nothing = Annotated[Any, Meta(extra_json_schema={"enum": [None, "", False, 0, [], {}]})]
Size = (
    Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": SIZE_GIB_MAX})]
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


class VolumeFields(Struct):
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


class VolumeV2(VolumeFields):
    pass


class VolumeV30(VolumeFields):
    """Cinder lets unknown keys pass here; not this one, or who asks for a restored volume gets an empty one."""

    backup_id: Nothing = None


class VolumeV347(VolumeFields):
    backup_id: Uuid | None = None


class VolumeV353(VolumeV347, forbid_unknown_fields=True):
    pass


class _SnapshotFields(Struct):
    volume_id: Uuid | None
    name: Text | None = None
    description: Text | None = None
    display_name: Text | None = None
    metadata: Metadata | None = None
    force: Flag = False


class Snapshot(_SnapshotFields):
    display_description: Text | None = None


class SnapshotV3(_SnapshotFields, forbid_unknown_fields=True):
    pass


class _Words(Struct):
    name: Text | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    display_name: Text | UnsetType | None = UNSET
    display_description: Text | UnsetType | None = UNSET


class Change(_Words):
    """What may be changed of a volume, and at /v2 of a snapshot."""

    metadata: Metadata | UnsetType = UNSET


class ChangeV3(Change, forbid_unknown_fields=True):
    pass


class SnapshotChangeV3(_Words, forbid_unknown_fields=True):
    pass


SNAPSHOT_CHANGE_V3 = Annotated[SnapshotChangeV3, Meta(extra_json_schema={"minProperties": 1})]


class Extend(Struct):
    new_size: Size


class ExtendV3(Extend, forbid_unknown_fields=True):
    pass


class SetBootable(Struct):
    bootable: Flag


class SetBootableV3(SetBootable, forbid_unknown_fields=True):
    pass


class ResetStatus(Strict):
    status: Annotated[str, Meta(extra_json_schema={"pattern": _one_of({"available", "error"})})]


class BackupRecord(Struct):
    backup_service: Text
    backup_url: Annotated[str, Meta(min_length=1)]


class BackupRecordV3(BackupRecord, forbid_unknown_fields=True):
    pass


MAY_BE_NULL = frozenset({"backup", "restore"})
"""Where Cinder's schemas take null, which is {} to us."""
BESIDE_VOLUME = frozenset({"OS-SCH-HNT:scheduler_hints"})
"""What may stand beside a new volume."""
