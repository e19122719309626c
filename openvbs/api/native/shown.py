"""What views.py gives, as types for the OpenAPI document. Tests hold every answer to them.

A field that is not always there came with a microversion or is for administrators.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from openvbs.api.shapes import T6, BackupFacts, Count, Id, ProjectId, Shown
from openvbs.domain.volume import SnapshotStatus, VolumeStatus

_Limit = Annotated[int, Meta(ge=-1)]


class Link(Shown):
    rel: Literal["self", "bookmark"]
    href: str


class Summary(Shown):
    """Id, name and links."""

    id: Id
    name: str | None
    links: list[Link]


class SummaryWithMetadata(Summary):
    """The metadata came with 3.43."""

    metadata: dict[str, str] | UnsetType = UNSET


class NativeBackupV2(BackupFacts):
    """A backup at /v2. The project is for its owner only; ``service_metadata`` is JSON in a string."""

    links: list[Link]
    service_metadata: str
    project: ProjectId | UnsetType = field(default=UNSET, name="os-bak-tenant-attr:tenant_id")


class NativeBackupV3(BackupFacts):
    """A backup at /v3."""

    links: list[Link]
    project: ProjectId | UnsetType = field(default=UNSET, name="os-backup-project-attr:project_id")
    metadata: dict[str, str] | UnsetType = UNSET
    user_id: str | UnsetType = UNSET


class Restoring(Shown):
    """A restore that was accepted."""

    backup_id: Id
    volume_id: Id
    volume_name: str


class BackupRecordShown(Shown):
    """A backup's record as text."""

    backup_service: str
    backup_url: str


class VolumeMade(Summary):
    """A volume as who makes or changes it sees it."""

    status: VolumeStatus
    size: Count
    description: str | None
    bootable: Literal["true", "false"]
    metadata: dict[str, str]
    user_id: str
    availability_zone: str | None
    volume_type: str | None
    snapshot_id: Id | None
    source_volid: Id | None
    created_at: T6
    updated_at: T6 | None
    attachments: Annotated[list[Any], Meta(max_length=0)]
    encrypted: bool
    multiattach: bool
    replication_status: None
    consistencygroup_id: None
    group_id: UnsetType | None = UNSET
    provider_id: UnsetType | None = UNSET
    service_uuid: UnsetType | None = UNSET
    shared_targets: bool | UnsetType = UNSET
    volume_type_id: UnsetType | None = UNSET
    cluster_name: UnsetType | None = UNSET


class VolumeShown(VolumeMade, kw_only=True):
    """A whole volume."""

    project: ProjectId = field(name="os-vol-tenant-attr:tenant_id")
    volume_image_metadata: dict[str, str] | UnsetType = UNSET


class SnapshotSummary(Shown):
    """A snapshot."""

    id: Id
    name: str | None
    description: str | None
    volume_id: Id
    status: SnapshotStatus
    size: Count
    metadata: dict[str, str]
    created_at: T6
    updated_at: T6 | None


class SnapshotShown(SnapshotSummary, kw_only=True):
    """A whole snapshot."""

    progress: str = field(name="os-extended-snapshot-attributes:progress")
    project: ProjectId = field(name="os-extended-snapshot-attributes:project_id")
    group_snapshot_id: UnsetType | None = UNSET
    user_id: str | UnsetType = UNSET


class QuotaUsage(Shown):
    """-1 is no limit."""

    limit: _Limit
    in_use: Count
    reserved: Count


class QuotaLimits(Shown):
    """Limits by resource; -1 is none."""

    volumes: _Limit
    snapshots: _Limit
    gigabytes: _Limit
    per_volume_gigabytes: _Limit
    backups: _Limit
    backup_gigabytes: _Limit
    groups: _Limit


class QuotaSet(QuotaLimits):
    """Whose limits these are."""

    id: ProjectId


class QuotaSetWithUsage(Shown):
    """With ?usage=true."""

    id: ProjectId
    volumes: QuotaUsage
    snapshots: QuotaUsage
    gigabytes: QuotaUsage
    per_volume_gigabytes: QuotaUsage
    backups: QuotaUsage
    backup_gigabytes: QuotaUsage
    groups: QuotaUsage


class AbsoluteLimits(Shown):
    total_volumes_max: _Limit = field(name="maxTotalVolumes")
    total_snapshots_max: _Limit = field(name="maxTotalSnapshots")
    total_volume_gigabytes_max: _Limit = field(name="maxTotalVolumeGigabytes")
    total_backups_max: _Limit = field(name="maxTotalBackups")
    total_backup_gigabytes_max: _Limit = field(name="maxTotalBackupGigabytes")
    total_volumes_used: Count = field(name="totalVolumesUsed")
    total_snapshots_used: Count = field(name="totalSnapshotsUsed")
    total_gigabytes_used: Count = field(name="totalGigabytesUsed")
    total_backups_used: Count = field(name="totalBackupsUsed")
    total_backup_gigabytes_used: Count = field(name="totalBackupGigabytesUsed")


class LimitsShown(Shown):
    """There are no rates."""

    rate: Annotated[list[Any], Meta(max_length=0)]
    absolute: AbsoluteLimits


class VersionLink(Shown):
    rel: str
    href: str
    type: str | UnsetType = UNSET


class MediaType(Shown):
    base: str
    type: str


class Version(Shown):
    """A version of the native API."""

    id: str
    status: str
    version: str
    min_version: str
    updated: str
    links: list[VersionLink]
    media_types: list[MediaType] = field(name="media-types")


class Versions(Shown):
    versions: list[Version]
