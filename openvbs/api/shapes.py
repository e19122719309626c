"""Values that answers of both dialects are made of, as types for the OpenAPI document."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
ProjectId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,64}\Z")]
Count = Annotated[int, Meta(ge=0)]
T6 = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\Z")]
T3 = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}\Z")]
T3Z = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z")]

BackupState = Literal["creating", "available", "restoring", "deleting", "error"]


class Shown(Struct, forbid_unknown_fields=True, kw_only=True):
    """An object of an answer: these keys and no others, all of them unless they are optional."""


class BackupFacts(Shown):
    """What owners and recipients of a backup see alike, in both dialects."""

    id: Id
    name: str | None
    status: BackupState
    description: str | None
    availability_zone: str | None
    volume_id: Id
    snapshot_id: Id | None
    size: Count
    object_count: Count
    container: str | None
    fail_reason: str | None
    created_at: T6
    updated_at: T6 | None
    data_timestamp: T6
    is_incremental: bool
    has_dependent_backups: bool
