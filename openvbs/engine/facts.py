"""What a backup says about itself: enough to list and restore it without a database."""

from dataclasses import dataclass, field
from datetime import datetime

from openvbs.engine.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFacts:
    """What the caller states; kept as given. ``backup_id`` is a UUID in its usual form."""

    backup_id: str
    name: str
    created_at: datetime
    volume_id: str = ""
    volume_name: str = ""
    volume_metadata: dict[str, str] = field(default_factory=dict)
    image_metadata: dict[str, str] = field(default_factory=dict)
    bootable: bool = False
    description: str | None = None
    owner_project_id: str = ""
    snapshot_id: str | None = None
    parent_id: str | None = None
    """The backup whose unchanged blocks the source's hints speak of; it is not needed to restore this one."""
    full: bool = False
    """Hints were to be ignored and every block read."""
    extra: dict[str, str] = field(default_factory=dict)
    """Whatever else the caller wants back from the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupStats:
    """What making the backup cost. Bytes of packs are counted as they lie in the store."""

    blocks_total: int = 0
    blocks_zero: int = 0
    blocks_same: int = 0
    """Taken over from the parent unread."""
    bytes_read: int = 0
    bytes_deduplicated: int = 0
    """Plain bytes that were read and found to be stored already."""
    bytes_new: int = 0
    """Plain bytes that were not stored before."""
    bytes_stored: int = 0
    """Size of the packs written."""
    object_count: int = 0
    """Number of packs written."""
    hints_wrong: int = 0
    """Blocks, of a sample, that the source said were unchanged and were not; so all was read."""


@dataclass(frozen=True, slots=True)
class BackupRecord:
    """A committed backup."""

    facts: BackupFacts
    stats: BackupStats
    tree: Tree

    @property
    def size_bytes(self) -> int:
        """Size of the volume."""
        return self.tree.shape.size_bytes
