"""What the store is told of a backup's record: what changed after the facts in it were written, and who has a share.

A hint for a rescue and nothing else: the service itself never reads it back.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from openvbs.domain.backup import Backup
from openvbs.domain.share import Share
from openvbs.engine.errors import Corrupt

_FORMAT = 1


class ToldShare(msgspec.Struct, kw_only=True):
    """A share that was live, or that waited to be accepted, when the store was told."""

    id: str
    to_project_id: str
    created_at: datetime
    updated_at: datetime | None = None
    expires_at: datetime | None = None


class ToldRecord(msgspec.Struct, kw_only=True):
    """The content of a record in the store, as docs/format.md has it. Times are aware."""

    format: int
    project_id: str
    """Whose record it is; another one's than the repository's where it was imported."""
    data_id: str
    reference_id: str | None
    deleted: bool
    """The record has gone; the data stays for a while, for somebody else."""
    user_id: str
    name: str | None
    description: str | None
    container: str | None
    availability_zone: str | None
    asked_incremental: bool
    is_full: bool
    policy_id: str | None
    metadata: dict[str, str]
    tags: dict[str, str]
    created_at: datetime
    updated_at: datetime | None
    shares: list[ToldShare]


def told_of(backup: Backup, shares: Sequence[Share], *, deleted: bool) -> bytes:
    """The content that says all this."""
    return msgspec.json.encode(
        ToldRecord(
            format=_FORMAT,
            project_id=backup.project_id,
            data_id=backup.data_id,
            reference_id=backup.reference_id,
            deleted=deleted,
            user_id=backup.user_id,
            name=backup.name,
            description=backup.description,
            container=backup.container,
            availability_zone=backup.availability_zone,
            asked_incremental=backup.asked_incremental,
            is_full=backup.is_full,
            policy_id=backup.policy_id,
            metadata=backup.metadata,
            tags=backup.tags,
            created_at=backup.created_at,
            updated_at=backup.updated_at,
            shares=[
                ToldShare(
                    id=share.id,
                    to_project_id=share.to_project_id,
                    created_at=share.created_at,
                    updated_at=share.updated_at,
                    expires_at=share.expires_at,
                )
                for share in shares
            ],
        )
    )


def parse_told(content: bytes) -> ToldRecord:
    """The record, or Corrupt."""
    try:
        told = msgspec.json.decode(content, type=ToldRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"holds something unexpected: {error}") from error
    if told.format != _FORMAT:
        raise Corrupt(f"has format {told.format}; this program knows {_FORMAT}")
    return told
