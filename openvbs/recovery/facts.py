"""What a backup in the store says about itself, and how that becomes the columns of its record."""

import json
from datetime import datetime
from typing import Any

from openvbs.domain.backup import NO_VOLUME, Backup
from openvbs.engine.facts import BackupFacts, BackupRecord
from openvbs.units import gib_ceil

DATA_TIMESTAMP = "data_timestamp"
IS_FROZEN = "is_frozen"


def facts_of(backup: Backup, *, at: datetime, is_frozen: bool, full: bool) -> BackupFacts:
    """All that a restore without our database needs to know. ``at`` is the moment that the data shows."""
    return BackupFacts(
        backup_id=backup.id,
        name=backup.name or "",
        created_at=backup.created_at,
        volume_id=backup.volume_id,
        volume_name=backup.volume_name or "",
        volume_metadata=backup.volume_metadata,
        image_metadata=backup.image_metadata,
        bootable=backup.bootable,
        description=backup.description,
        owner_project_id=backup.project_id,
        snapshot_id=backup.snapshot_id,
        full=full,
        extra={
            DATA_TIMESTAMP: at.isoformat(),
            IS_FROZEN: json.dumps(is_frozen),
            "user_id": backup.user_id,
            "volume_description": backup.volume_description or "",
            "volume_size_gib": str(backup.size_gib),
            "availability_zone": backup.availability_zone or "",
            "container": backup.container or "",
            "metadata": json.dumps(backup.metadata),
            "tags": json.dumps(backup.tags),
            "is_full": json.dumps(backup.is_full),
            "asked_incremental": json.dumps(backup.asked_incremental),
            "policy_id": backup.policy_id or "",
        },
    )


def columns_of(record: BackupRecord) -> dict[str, Any]:
    """What the data says about itself, as columns of the backup's record; a JSON value."""
    extra, stats = record.facts.extra, record.stats
    return {
        "bytes_total": record.size_bytes,
        "bytes_read": stats.bytes_read,
        "bytes_stored": stats.bytes_stored,
        "object_count": stats.object_count,
        IS_FROZEN: json.loads(extra.get(IS_FROZEN, "true")),
        DATA_TIMESTAMP: extra.get(DATA_TIMESTAMP, record.facts.created_at.isoformat()),
    }


def source_of(record: BackupRecord) -> dict[str, Any]:
    """Which volume it was a backup of, as columns; what ``openvbs repo backup`` made says less."""
    facts = record.facts
    return {
        "volume_id": facts.volume_id or NO_VOLUME,
        "volume_name": facts.volume_name or None,
        "volume_description": facts.extra.get("volume_description") or None,
        "snapshot_id": facts.snapshot_id,
        "size_gib": int(facts.extra.get("volume_size_gib", gib_ceil(record.size_bytes))),
        "bootable": facts.bootable,
        "volume_metadata": facts.volume_metadata,
        "image_metadata": facts.image_metadata,
        "metadata": json.loads(facts.extra.get("metadata", "{}")),
        "tags": json.loads(facts.extra.get("tags", "{}")),
    }


def request_of(record: BackupRecord) -> dict[str, Any]:
    """Whose it is and what was asked for when it was made, as columns."""
    facts, extra = record.facts, record.facts.extra
    return {
        "user_id": extra.get("user_id", ""),
        "name": facts.name or None,
        "description": facts.description,
        "container": extra.get("container") or None,
        "availability_zone": extra.get("availability_zone") or None,
        "asked_incremental": json.loads(extra.get("asked_incremental", "false")),
        "is_full": json.loads(extra.get("is_full", "true")),
        "policy_id": extra.get("policy_id") or None,
    }
