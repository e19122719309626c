"""Ceilings that the operator may change. -1 means none."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    backups_per_volume_max: int = 20
    """Manual backups of one volume."""
    backups_max: int = -1
    """Backups of one project."""
    backup_gigabytes_max: int = -1
    """GiB of the volumes of all backups of one project."""
    volumes_max: int = -1
    """Volumes of one project."""
    snapshots_max: int = -1
    """Snapshots of one project."""
    gigabytes_max: int = -1
    """GiB of the volumes and snapshots of one project."""
    volume_gib_max: int = 65536
    shares_per_backup_max: int = 1000
    """Projects that one backup is shared with."""
    shares_per_request_max: int = 100
    policies_max: int = 10
    """Policies of one project."""
    volumes_per_policy_max: int = 64
    body_bytes_max: int = 1024 * 1024
    page_items_max: int = 1000
