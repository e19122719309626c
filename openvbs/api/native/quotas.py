"""Quota sets and limits, as Cinder's clients read and set them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from openvbs.actions import quotas as actions
from openvbs.api import query
from openvbs.api.ids import is_project_id
from openvbs.api.native import bodies
from openvbs.api.wire import BAD_REQUEST, Answer, Call, WireError
from openvbs.domain.quota import Quota, Resource

_NAMES = frozenset(resource.value for resource in Resource)
LIMIT_MAX = 2**31 - 1
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
NOT_LIMITS = frozenset({"tenant_id", "project_id", "id"})
"""Keys that clients send along with the limits."""
_PROJECT_QUERY_FROM = (3, 39)

_Limit = Annotated[int, Meta(ge=-1, le=LIMIT_MAX)]


def show(call: Call) -> Answer:
    """The limits; with usage also what is in use and reserved of each."""
    target_id = _target_id(call)
    found = actions.get_quotas(call.service, call.caller, target_id)
    with_usage = query.parse(call.request.query_string).get("usage", "").lower() in _TRUE
    values = {name: _with_usage(quota) if with_usage else quota.limit for name, quota in found.items()}
    return Answer(200, {"quota_set": {"id": target_id, **values}})


def show_defaults(call: Call) -> Answer:
    target_id = _target_id(call)
    return Answer(200, {"quota_set": {"id": target_id, **actions.default_quotas(call.service, call.caller, target_id)}})


def update(call: Call) -> Answer:
    limits = limits_of(bodies.quota_set(call))
    skips_validation = query.parse(call.request.query_string).get("skip_validation", "true").lower() in _TRUE
    changed = actions.set_quotas(
        call.service, call.caller, _target_id(call), limits, at_least_used=not skips_validation
    )
    return Answer(200, {"quota_set": changed})


def remove(call: Call) -> Answer:
    actions.remove_quotas(call.service, call.caller, _target_id(call))
    return Answer(200)


def show_limits(call: Call) -> Answer:
    """The absolute limits of the project; there are no rates. From 3.39 on an admin may ask for another project's."""
    values = query.parse(call.request.query_string)
    project_id = call.caller.project_id
    if call.version >= _PROJECT_QUERY_FROM and call.caller.is_admin:
        project_id = values.get("project_id") or values.get("tenant_id") or project_id
    found = actions.get_quotas(call.service, call.caller, project_id)
    absolute = {
        "maxTotalVolumes": found[Resource.VOLUMES].limit,
        "maxTotalSnapshots": found[Resource.SNAPSHOTS].limit,
        "maxTotalVolumeGigabytes": found[Resource.GIGABYTES].limit,
        "maxTotalBackups": found[Resource.BACKUPS].limit,
        "maxTotalBackupGigabytes": found[Resource.BACKUP_GIGABYTES].limit,
        "totalVolumesUsed": found[Resource.VOLUMES].usage.total,
        "totalSnapshotsUsed": found[Resource.SNAPSHOTS].usage.total,
        "totalGigabytesUsed": found[Resource.GIGABYTES].usage.total,
        "totalBackupsUsed": found[Resource.BACKUPS].usage.total,
        "totalBackupGigabytesUsed": found[Resource.BACKUP_GIGABYTES].usage.total,
    }
    return Answer(200, {"limits": {"rate": [], "absolute": absolute}})


def _with_usage(quota: Quota) -> dict[str, int]:
    return {"limit": quota.limit, "in_use": quota.usage.in_use, "reserved": quota.usage.reserved}


def _target_id(call: Call) -> str:
    target_id = call.params["target_id"]
    if not is_project_id(target_id):
        raise _bad("the project's id", "must be 1 to 64 of letters, digits, _ and -")
    return target_id


def limits_of(given: dict[str, Any]) -> dict[Resource, int]:
    limits = {}
    for name, value in given.items():
        if name in NOT_LIMITS:
            continue
        if name not in _NAMES:
            raise _bad(name, f"is no quota; there are {', '.join(Resource)}")
        try:
            # Clients of the command line send numbers as text.
            limits[Resource(name)] = msgspec.convert(value, _Limit, strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            raise _bad(name, f"must be a whole number from -1 to {LIMIT_MAX}, where -1 is no limit") from error
    return limits


def _bad(field: str, rule: str) -> WireError:
    return WireError(400, BAD_REQUEST, f"Invalid input for field/attribute {field}: {field} {rule}.")
