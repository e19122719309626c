"""Quotas: how much of what a project may have. A project has its own or the operator's default; -1 is no limit."""

from dataclasses import dataclass
from enum import StrEnum

from openvbs.domain.limits import Limits

UNLIMITED = -1


class Resource(StrEnum):
    """What is counted, by Cinder's names."""

    VOLUMES = "volumes"
    SNAPSHOTS = "snapshots"
    GIGABYTES = "gigabytes"
    """GiB of volumes and snapshots together."""
    PER_VOLUME_GIGABYTES = "per_volume_gigabytes"
    """GiB of one volume: a ceiling without a sum."""
    BACKUPS = "backups"
    BACKUP_GIGABYTES = "backup_gigabytes"
    """GiB of the volumes of all backups."""
    GROUPS = "groups"
    """There are none here; clients want the number."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project has of a resource; ``reserved`` is for what jobs are still making."""

    in_use: int = 0
    reserved: int = 0

    @property
    def total(self) -> int:
        return self.in_use + self.reserved


@dataclass(frozen=True, slots=True)
class Quota:
    """One resource of one project."""

    limit: int
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUsage:
    """What a project's backups take up, by three measures."""

    backups: int
    backup_gigabytes: int
    """GiB of the volumes, once per backup: what the quota counts."""
    data_bytes: int
    """The volumes' bytes, holes included, once per backup."""
    stored_bytes: int
    """Bytes of the packs in the project's repository: blocks that backups share count once, compressed."""


def defaults(limits: Limits) -> dict[Resource, int]:
    """The limits of a project that has none of its own."""
    return {
        Resource.VOLUMES: limits.volumes_max,
        Resource.SNAPSHOTS: limits.snapshots_max,
        Resource.GIGABYTES: limits.gigabytes_max,
        Resource.PER_VOLUME_GIGABYTES: limits.volume_gib_max,
        Resource.BACKUPS: limits.backups_max,
        Resource.BACKUP_GIGABYTES: limits.backup_gigabytes_max,
        Resource.GROUPS: 0,
    }


def fits(limit: int, usage: Usage, wanted: int) -> bool:
    """May so much more be added?"""
    return limit == UNLIMITED or usage.total + wanted <= limit
