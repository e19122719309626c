"""The metadata of a volume or a snapshot, and the tags of a volume: texts by key that the project keeps for itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import volumes
from openvbs.domain.errors import NotFound, SnapshotNotFound, VolumeNotFound

Metadata = dict[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """What has metadata: its word in the policy, how it is found and changed, its absence, and where the texts lie."""

    name: str
    find: Callable[..., Any]
    update: Callable[..., bool]
    missing: type[NotFound]
    column: str = "metadata"


VOLUME = Kind("volume", volumes.find_volume, volumes.update_volume, VolumeNotFound)
VOLUME_TAGS = replace(VOLUME, column="tags")
SNAPSHOT = Kind("snapshot", volumes.find_snapshot, volumes.update_snapshot, SnapshotNotFound)


def get_metadata(service: Service, caller: Caller, kind: Kind, wanted_id: str) -> Metadata:
    """The metadata as it is now. Raises the kind's NotFound."""
    service.permissions.require(caller, f"{kind.name}:show")
    with service.database.read() as connection:
        found = kind.find(connection, wanted_id, project_id=_owner(caller))
    if found is None:
        raise kind.missing(wanted_id)
    return dict(getattr(found, kind.column))


def change_metadata(
    service: Service, caller: Caller, kind: Kind, wanted_id: str, change: Callable[[Metadata], Metadata]
) -> Metadata:
    """Put what ``change`` makes of the present metadata in its place; gives that.

    Nothing comes between reading and writing. What change raises leaves everything as it was. Raises the kind's
    NotFound.
    """
    service.permissions.require(caller, f"{kind.name}:update")
    with service.database.write() as connection:
        found = kind.find(connection, wanted_id, project_id=_owner(caller), for_update=True)
        if found is None:
            raise kind.missing(wanted_id)
        changed = change(dict(getattr(found, kind.column)))
        kind.update(connection, wanted_id, now=service.clock(), **{kind.column: changed})
    return changed


def _owner(caller: Caller) -> str | None:
    return None if caller.sees_all else caller.project_id
