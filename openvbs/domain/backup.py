"""A backup: one moment of one volume, whole by itself. There are no chains."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class BackupStatus(StrEnum):
    """What is stored. ``restoring`` is never stored: it is what a project sees while its own restore runs."""

    CREATING = "creating"
    AVAILABLE = "available"
    DELETING = "deleting"
    ERROR = "error"


RESTORING = "restoring"

NO_VOLUME = "00000000-0000-0000-0000-000000000000"
"""The volume of an imported record until its data has said which it was."""


@dataclass(frozen=True, slots=True)
class StoredData:
    """Where the bytes of a backup lie."""

    repository_id: str
    data_id: str
    """The backup's id in that repository."""
    reference_id: str | None
    """The reference that keeps them for an imported record; None for the record that they were made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup's record. Sizes in bytes unless they say GiB; times aware, UTC."""

    id: str
    project_id: str
    repository_id: str
    """The project whose repository holds the data; the owner's, unless the record was imported."""
    user_id: str
    name: str | None
    description: str | None
    volume_id: str
    volume_name: str | None
    volume_description: str | None
    snapshot_id: str | None
    size_gib: int
    status: str
    """As the viewer sees it: a BackupStatus or ``restoring``."""
    fail_reason: str | None
    container: str | None
    availability_zone: str | None
    object_count: int
    asked_incremental: bool
    """The flag of the native v3 request."""
    is_full: bool
    """First backup of the volume, or asked to read and hash every block: what v2 shows as not incremental."""
    bootable: bool
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    volume_metadata: dict[str, str] = field(default_factory=dict)
    """The volume's own metadata at the time of the backup; a restored volume gets it back."""
    image_metadata: dict[str, str] = field(default_factory=dict)
    bytes_total: int = 0
    bytes_read: int = 0
    bytes_stored: int = 0
    is_frozen: bool = True
    """False when a registered device was read without a freeze command."""
    progress_percent: int = 0
    data_timestamp: datetime
    created_at: datetime
    updated_at: datetime | None
    policy_id: str | None = None
    """The policy that made it; None for one made by hand."""
    data_id: str
    """Its id in the repository: its own, unless the record was imported under another one."""
    reference_id: str | None = None
    """Set for an imported record: what keeps the data for it, whatever becomes of the record it was made for."""

    @property
    def data(self) -> StoredData:
        return StoredData(self.repository_id, self.data_id, self.reference_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """What a record that is imported says of its backup. The data itself says the rest."""

    id: str
    repository_id: str
    data_id: str
    size_gib: int
    name: str | None = None
    description: str | None = None
    container: str | None = None
    availability_zone: str | None = None
    asked_incremental: bool = False
    is_full: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackup:
    """What a caller asks for when it creates a backup."""

    volume_id: str
    snapshot_id: str | None = None
    name: str | None = None
    description: str | None = None
    container: str | None = None
    availability_zone: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    full: bool = False
    """Ignore hints: read and hash every block."""
    incremental: bool = False
    """Native v3: refuse unless an available backup of the volume exists in the caller's project."""
    force: bool = False
    """Accept a volume that is in use."""
    policy_id: str | None = None
    """The policy that makes it; such a backup does not count for the ceiling of its volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRestore:
    """Where a backup goes: into an existing volume, or (volume_id None) into a new one."""

    volume_id: str | None = None
    name: str | None = None
    """Name of the new volume; by default made from the backup's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupQuery:
    """Filters, order and page of a list of backups. None means: no such filter. Substring filters ignore case."""

    name: str | None = None
    status: str | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    name_like: str | None = None
    status_like: str | None = None
    volume_id_like: str | None = None
    tags: dict[str, str | None] = field(default_factory=dict)
    """Tags that it must all have; None stands for any value."""
    all_projects: bool = False
    """Admins only; ignored for others."""
    project_id: str | None = None
    id: str | None = None
    user_id: str | None = None
    availability_zone: str | None = None
    container: str | None = None
    size_gib: int | None = None
    parent_id: str | None = None
    """No backup has a parent, so none matches."""
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"),)
    """(key, asc|desc) pairs; ``db.backup_lists`` has the keys."""
    limit: int = 1000
    offset: int = 0
    marker: str | None = None
    with_count: bool = False
