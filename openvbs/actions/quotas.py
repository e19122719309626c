"""Quotas: see them, set them, and keep what is made within them."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import sqlalchemy as sa

from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import quotas
from openvbs.domain.errors import (
    BackupCountExceeded,
    BackupGigabytesExceeded,
    BadRequest,
    Forbidden,
    GigabytesExceeded,
    QuotaExceeded,
    SnapshotCountExceeded,
    VolumeCountExceeded,
    VolumeSizeExceeded,
)
from openvbs.domain.quota import UNLIMITED, Quota, Resource, StoredUsage, Usage, defaults, fits

_REFUSALS: Mapping[Resource, Callable[[int, int, int], QuotaExceeded]] = MappingProxyType(
    {
        Resource.VOLUMES: lambda limit, _used, _wanted: VolumeCountExceeded(limit),
        Resource.SNAPSHOTS: lambda limit, _used, _wanted: SnapshotCountExceeded(limit),
        Resource.GIGABYTES: GigabytesExceeded,
        Resource.PER_VOLUME_GIGABYTES: lambda limit, _used, wanted: VolumeSizeExceeded(limit, wanted),
        Resource.BACKUPS: lambda limit, _used, _wanted: BackupCountExceeded(limit),
        Resource.BACKUP_GIGABYTES: BackupGigabytesExceeded,
    }
)
_OF_BACKUPS = frozenset({Resource.BACKUPS, Resource.BACKUP_GIGABYTES})


def require_room(service: Service, connection: sa.Connection, project_id: str, wanted: Mapping[Resource, int]) -> None:
    """So much more may be added to what the project has. Raises QuotaExceeded.

    Of two that want the last place one waits here until the other has committed, and then counts it. So this comes
    after every lock of records and before the rows that it allows.
    """
    limits = _limits(service, connection, project_id)
    limited = {resource: more for resource, more in wanted.items() if limits[resource] != UNLIMITED}
    if not limited:
        return
    quotas.lock(connection, project_id)
    limits = _limits(service, connection, project_id)
    usage = _usage(connection, project_id, limited)
    for resource, more in limited.items():
        if not fits(limits[resource], usage[resource], more):
            raise _REFUSALS[resource](limits[resource], usage[resource].total, more)


def require_room_for_volume(service: Service, connection: sa.Connection, project_id: str, size_gib: int) -> None:
    """The project may have one more volume, of this size. Raises QuotaExceeded."""
    wanted = {Resource.PER_VOLUME_GIGABYTES: size_gib, Resource.VOLUMES: 1, Resource.GIGABYTES: size_gib}
    require_room(service, connection, project_id, wanted)


def require_room_for_backup(service: Service, connection: sa.Connection, project_id: str, size_gib: int) -> None:
    """The project may have one more backup, of a volume of this size. Raises QuotaExceeded."""
    require_room(service, connection, project_id, {Resource.BACKUPS: 1, Resource.BACKUP_GIGABYTES: size_gib})


def get_quotas(service: Service, caller: Caller, project_id: str) -> dict[Resource, Quota]:
    """The project's limits and what it has. Raises Forbidden for another project, unless an admin asks."""
    service.permissions.require(caller, "quota:show")
    _require_own(caller, project_id)
    with service.database.read() as connection:
        limits = _limits(service, connection, project_id)
        usage = _usage(connection, project_id, set(Resource))
    return {resource: Quota(limits[resource], usage[resource]) for resource in Resource}


def default_quotas(service: Service, caller: Caller, project_id: str) -> dict[Resource, int]:
    """What projects have that have no quotas of their own. Raises Forbidden as get_quotas does."""
    service.permissions.require(caller, "quota:show")
    _require_own(caller, project_id)
    return defaults(service.limits)


def set_quotas(
    service: Service, caller: Caller, project_id: str, limits: Mapping[Resource, int], *, at_least_used: bool = False
) -> dict[Resource, int]:
    """Give a project limits of its own; those that are not given stay. All limits that it then has.

    With at_least_used a limit below what the project has already is refused: BadRequest. Otherwise the project keeps
    what it has, and nothing is added until it is below.
    """
    service.permissions.require(caller, "quota:update")
    with service.database.write() as connection:
        quotas.lock(connection, project_id)
        usage = _usage(connection, project_id, set(limits)) if at_least_used else {}
        for resource, used in usage.items():
            if resource in limits and not fits(limits[resource], used, 0):
                raise BadRequest(resource, f"{limits[resource]} is less than the {used.total} that the project has")
        quotas.put(connection, project_id, limits, now=service.clock())
        return _limits(service, connection, project_id)


def remove_quotas(service: Service, caller: Caller, project_id: str) -> None:
    """Let a project have the defaults again."""
    service.permissions.require(caller, "quota:update")
    with service.database.write() as connection:
        quotas.remove(connection, project_id)


def get_stored_usage(service: Service, caller: Caller) -> StoredUsage:
    """What the caller's project takes up in the store."""
    service.permissions.require(caller, "quota:show")
    with service.database.read() as connection:
        return quotas.stored_usage(connection, caller.project_id)


def _limits(service: Service, connection: sa.Connection, project_id: str) -> dict[Resource, int]:
    return {**defaults(service.limits), **quotas.of_project(connection, project_id)}


def _usage(connection: sa.Connection, project_id: str, wanted: Collection[Resource]) -> dict[Resource, Usage]:
    """What the project has of the wanted resources, and of what is counted together with them."""
    found: dict[Resource, Usage] = {Resource.PER_VOLUME_GIGABYTES: Usage(), Resource.GROUPS: Usage()}
    if _OF_BACKUPS & set(wanted):
        found |= quotas.backups_usage(connection, project_id)
    if set(wanted) - _OF_BACKUPS - set(found):
        found |= quotas.volume_usage(connection, project_id)
    return found


def _require_own(caller: Caller, project_id: str) -> None:
    if project_id != caller.project_id and not caller.is_admin:
        raise Forbidden("The quotas of another project are for administrators.")
