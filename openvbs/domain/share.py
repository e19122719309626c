"""A share: the grant of one backup by the project that owns it to one other project. It copies no data."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A live grant. A cancelled one is kept for audit and never shown or revived; sharing again makes a new id."""

    id: str
    backup_id: str
    from_project_id: str
    to_project_id: str
    created_at: datetime
    updated_at: datetime | None
    expires_at: datetime | None = None
    """From this moment on it is as if it were cancelled; None: it does not end by itself."""


class GrantedBackup(NamedTuple):
    """What both parties of a share see of its backup: the fields of the same names of Backup.

    A tuple, as lists make thousands of them: it takes a tenth of the time that a whole Backup takes.
    """

    id: str
    name: str | None
    status: str
    description: str | None
    availability_zone: str | None
    volume_id: str
    snapshot_id: str | None
    size_gib: int
    object_count: int
    container: str | None
    fail_reason: str | None
    created_at: datetime
    updated_at: datetime | None
    data_timestamp: datetime
    is_full: bool
    bootable: bool
    is_frozen: bool
    bytes_stored: int
    progress_percent: int


@dataclass(frozen=True, slots=True)
class SharedBackup:
    """A share together with the backup that it grants."""

    share: Share
    backup: GrantedBackup


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareQuery:
    """Filters, order and page of a list of shares. Filters narrow what the caller may see, never widen it."""

    share_to_me: bool = False
    name_like: str | None = None
    """Substring of the backup's name, ignoring case."""
    status: str | None = None
    volume_id: str | None = None
    backup_id: str | None = None
    from_project_id: str | None = None
    to_project_id: str | None = None
    availability_zone: str | None = None
    sort_key: str = "created_at"
    """name, status, size: the backup's; id, created_at, updated_at: the share's; the two *_format keys: all equal."""
    sort_dir: str = "desc"
    limit: int = 1000
    offset: int = 0
    marker: str | None = None
