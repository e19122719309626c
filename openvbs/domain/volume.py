"""Volumes and snapshots on this machine."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class VolumeStatus(StrEnum):
    """Cinder's words. The status is also the lock: only an available volume can begin something new."""

    CREATING = "creating"
    AVAILABLE = "available"
    BACKING_UP = "backing-up"
    RESTORING = "restoring-backup"
    EXTENDING = "extending"
    DOWNLOADING = "downloading"
    """An image is being imported into it."""
    UPLOADING = "uploading"
    """It is being exported to a file."""
    DELETING = "deleting"
    ERROR = "error"
    ERROR_RESTORING = "error_restoring"
    ERROR_EXTENDING = "error_extending"
    ERROR_DELETING = "error_deleting"


RESTORABLE = frozenset({VolumeStatus.AVAILABLE, VolumeStatus.ERROR_RESTORING})
"""A volume whose last restore failed may be restored again."""
EXTENDABLE = frozenset({VolumeStatus.AVAILABLE, VolumeStatus.ERROR_EXTENDING})
"""One whose last extension was broken off may be extended again."""
DELETABLE = frozenset(
    {
        VolumeStatus.AVAILABLE,
        VolumeStatus.ERROR,
        VolumeStatus.ERROR_RESTORING,
        VolumeStatus.ERROR_EXTENDING,
        VolumeStatus.ERROR_DELETING,
    }
)
IN_ERROR = frozenset({VolumeStatus.ERROR, VolumeStatus.ERROR_EXTENDING, VolumeStatus.ERROR_DELETING})


class SnapshotStatus(StrEnum):
    CREATING = "creating"
    AVAILABLE = "available"
    BACKING_UP = "backing-up"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class VolumeKind(StrEnum):
    LOCAL = "local"
    """A sparse file under the data directory that only we write."""
    REGISTERED = "registered"
    """A device or file of the operator's, used in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume's record."""

    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size_gib: int
    size_bytes: int
    """Exact; a registered device or imported image may not be whole GiB."""
    status: str
    kind: str
    path: str | None
    """Where a registered volume lies; None for a local one, whose place follows from its id."""
    freeze_command: str | None
    thaw_command: str | None
    bootable: bool
    volume_type: str | None
    availability_zone: str
    snapshot_id: str | None
    source_volid: str | None
    metadata: dict[str, str] = field(default_factory=dict)
    image_metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot's record; its bytes are a file of its own."""

    id: str
    project_id: str
    user_id: str
    volume_id: str
    name: str | None
    description: str | None
    size_gib: int
    status: str
    metadata: dict[str, str] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolume:
    """What a caller asks for; at most one of snapshot_id, source_volid and backup_id."""

    size_gib: int | None
    """None only with a source, whose size is then taken."""
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    volume_type: str | None = None
    availability_zone: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    backup_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeQuery:
    """Filters, order and page of a list of volumes or snapshots."""

    name: str | None = None
    status: str | None = None
    volume_id: str | None = None
    """Snapshots only."""
    metadata: dict[str, str] = field(default_factory=dict)
    availability_zone: str | None = None
    """Volumes only, as the next two are."""
    bootable: bool | None = None
    size_gib: int | None = None
    all_projects: bool = False
    project_id: str | None = None
    user_id: str | None = None
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"),)
    limit: int = 1000
    offset: int = 0
    marker: str | None = None
    with_count: bool = False
