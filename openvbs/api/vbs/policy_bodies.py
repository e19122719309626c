"""Bodies of policies: which field breaks which rule decides the code, in the contract's order of checks."""

import math
from collections.abc import Callable
from typing import Any

from openvbs.api import body
from openvbs.api.ids import is_project_id, uuid_or_none
from openvbs.api.wire import Call, WireError
from openvbs.domain.policy import PolicyFields
from openvbs.domain.schedule import START_TIMES_MAX, WEEKDAYS, BadSchedule, start_hours, zone_of

NO_BODY = "AutoBackup.0000"
EMPTY_BODY = "AutoBackup.0001"
NO_POLICY_ID = "AutoBackup.0006"
BAD_BODY = "AutoBackup.0008"
NAME_LENGTH = "AutoBackup.0101"
NAME = "AutoBackup.0102"
START_TIME = "AutoBackup.0103"
STATUS = "AutoBackup.0104"
REMAIN_FIRST = "AutoBackup.0105"
FREQUENCY = "AutoBackup.0106"
RETENTION = "AutoBackup.0107"
NO_RESOURCES = "AutoBackup.0207"
NO_RESOURCE_ID = "AutoBackup.0209"
RESOURCE_TYPE = "AutoBackup.0211"
ANGLE_BRACKET = "AutoBackup.0221"
TIME_ZONE = "AutoBackup.0226"

NAME_CHARACTERS_MAX = 64
_NAME_ALLOWED = frozenset(".-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
RESERVED_PREFIX = "default"
START_TIME_CHARACTERS_MAX = 255
EVERY_DAYS_MAX = 30
KEEP_MIN, KEEP_NUMBER_MAX, KEEP_DAYS_MAX = 2, 99, 99999
RESOURCES_MAX = 1000
SHARE_WITH_MAX = 100
RESOURCE_KIND = "volume"

_YES_NO: dict[Any, bool] = {"Y": True, "N": False, "true": True, "false": False}


def read_object(call: Call) -> dict[str, Any]:
    """The body, which must be a JSON object without an angle bracket in it; {} is one."""
    raw = body.read(call.request, bytes_max=call.settings.body_bytes_max)
    if not raw.strip():
        raise bad(NO_BODY, "The request has no body; a JSON object is needed.")
    return body.decode(raw, dict[str, Any])


def refuse_brackets(fields: dict[str, Any]) -> None:
    """No text of the body, at whatever depth, holds < or >."""
    pending: list[Any] = [fields]
    while pending:
        value = pending.pop()
        if isinstance(value, str) and ("<" in value or ">" in value):
            raise bad(ANGLE_BRACKET, "The request must not hold < or >.")
        if isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            pending += value


def policy_to_create(call: Call) -> tuple[PolicyFields, Any]:
    """POST backuppolicy: all fields that a policy needs, and the tags, not parsed yet: their check comes last."""
    fields = read_object(call)
    schedule = fields.get("scheduled_policy")
    if not isinstance(schedule, dict) or not schedule:
        raise bad(EMPTY_BODY, "scheduled_policy is required and must be an object that is not empty.")
    refuse_brackets(fields)
    return _policy_fields(fields, schedule, _share_with(fields), is_whole=True), fields.get("tags")


def policy_to_change(call: Call) -> PolicyFields:
    """PUT backuppolicy/{id}: what is to be changed."""
    fields = read_object(call)
    schedule = fields.get("scheduled_policy")
    if not fields or not isinstance(schedule, dict | None):
        raise bad(EMPTY_BODY, "Something to change is required; scheduled_policy must be an object.")
    refuse_brackets(fields)
    return _policy_fields(fields, schedule or {}, _share_with(fields), is_whole=False)


def _policy_fields(
    fields: dict[str, Any], schedule: dict[str, Any], share_with: list[str] | None, *, is_whole: bool
) -> PolicyFields:
    def required(value: Any, code: str, rule: str) -> None:
        if is_whole and value is None:
            raise bad(code, rule)

    name = _name(fields.get("backup_policy_name"))
    required(name, NAME_LENGTH, f"backup_policy_name is required: 1 to {NAME_CHARACTERS_MAX} characters.")
    start_time = _start_time(schedule.get("start_time"))
    required(start_time, START_TIME, "start_time is required: full hours of UTC like 21:00,23:00.")
    every_days, weekdays = _every_days(schedule.get("frequency")), _weekdays(schedule.get("week_frequency"))
    required(every_days or weekdays, FREQUENCY, "frequency or week_frequency is required.")
    keep_number, keep_days = _keep(schedule, "num", _keep_number), _keep(schedule, "day", _keep_days)
    required(keep_number or keep_days, RETENTION, "rentention_num or rentention_day is required.")
    keep_first = _yes_no(schedule.get("remain_first_backup_of_curMonth"))
    is_on = _on_off(schedule.get("status"))
    required(is_on, STATUS, "status is required: ON or OFF.")
    return PolicyFields(
        name=name,
        start_time=start_time,
        every_days=every_days,
        weekdays=weekdays if every_days is None else None,
        keep_number=keep_number,
        keep_days=keep_days if keep_number is None else None,
        keep_first_of_month=keep_first,
        is_on=is_on,
        time_zone=_time_zone(fields.get("time_zone"), schedule.get("time_zone")),
        share_with=share_with,
    )


def _share_with(fields: dict[str, Any]) -> list[str] | None:
    """The projects that each new backup is shared with, an extension of ours; repeats collapse."""
    value = fields.get("share_with")
    if value is None:
        return None
    is_short = isinstance(value, list) and len(value) <= SHARE_WITH_MAX
    if not is_short or not all(is_project_id(project) for project in value):
        rule = f"a list of up to {SHARE_WITH_MAX} project ids, each 1 to 64 of letters, digits, _ and -"
        raise bad(BAD_BODY, f"share_with must be {rule}.")
    return list(dict.fromkeys(value))


def _name(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise bad(NAME, "backup_policy_name must be a string.")
    if not 1 <= len(value) <= NAME_CHARACTERS_MAX:
        raise bad(NAME_LENGTH, f"backup_policy_name must have 1 to {NAME_CHARACTERS_MAX} characters, not {len(value)}.")
    if not _NAME_ALLOWED.issuperset(value):
        raise bad(NAME, "backup_policy_name may hold letters, digits, dot, _ and - only.")
    if value.startswith(RESERVED_PREFIX):
        raise bad(NAME, f"backup_policy_name must not begin with {RESERVED_PREFIX}.")
    return value


def _start_time(value: Any) -> str | None:
    """As it was written; clients compare."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > START_TIME_CHARACTERS_MAX:
        raise bad(START_TIME, f"start_time must be a string of up to {START_TIMES_MAX} full hours like 21:00,23:00.")
    try:
        start_hours(value)
    except BadSchedule as error:
        raise bad(START_TIME, f"start_time {error}.") from error
    return value


def _every_days(value: Any) -> int | None:
    if value is None:
        return None
    days = whole_number(value)
    if days is None or not 1 <= days <= EVERY_DAYS_MAX:
        raise bad(FREQUENCY, f"frequency must be a whole number of days from 1 to {EVERY_DAYS_MAX}.")
    return days


def _weekdays(value: Any) -> list[str] | None:
    """In their order; repeats collapse."""
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(day in WEEKDAYS for day in value):
        raise bad(FREQUENCY, f"week_frequency must be a list of {', '.join(WEEKDAYS)}.")
    return list(dict.fromkeys(value))


def _keep(schedule: dict[str, Any], kind: str, parse: Callable[[str, Any], int | None]) -> int | None:
    """The contract's spelling and the right one mean the same."""
    found = {parse(key, schedule.get(key)) for key in (f"rentention_{kind}", f"retention_{kind}")} - {None}
    if len(found) > 1:
        raise bad(RETENTION, f"rentention_{kind} and retention_{kind} are given with different values.")
    return next(iter(found), None)


def _keep_number(key: str, value: Any) -> int | None:
    if value is None:
        return None
    number = whole_number(value)
    if number is None or not KEEP_MIN <= number <= KEEP_NUMBER_MAX:
        raise bad(RETENTION, f"{key} must be a whole number from {KEEP_MIN} to {KEEP_NUMBER_MAX}.")
    return number


def _keep_days(key: str, value: Any) -> int | None:
    if value is None:
        return None
    days = math.floor(value) if isinstance(value, float) and math.isfinite(value) else whole_number(value)
    if days is None or not KEEP_MIN <= days <= KEEP_DAYS_MAX:
        raise bad(RETENTION, f"{key} must be a number of days from {KEEP_MIN} to {KEEP_DAYS_MAX}.")
    return days


def whole_number(value: Any) -> int | None:
    """JSON knows one kind of number, so 10.0 is 10."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _yes_no(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, str) or value not in _YES_NO:
        raise bad(REMAIN_FIRST, "remain_first_backup_of_curMonth must be Y or N.")
    return _YES_NO[value]


def _on_off(value: Any) -> bool | None:
    if value is None:
        return None
    if value not in ("ON", "OFF"):
        raise bad(STATUS, "status must be ON or OFF.")
    return bool(value == "ON")


def _time_zone(*values: Any) -> str | None:
    """Clients put it beside the schedule or into it."""
    found = {value for value in values if value is not None and isinstance(value, str)}
    if len(found) > 1 or not all(isinstance(value, str | None) for value in values):
        raise bad(TIME_ZONE, "time_zone must be one string like UTC+08:00.")
    for value in found:
        try:
            zone_of(value)
        except BadSchedule as error:
            raise bad(TIME_ZONE, f"time_zone {error}.") from error
    return next(iter(found), None)


def association(call: Call) -> tuple[str, list[str]]:
    """POST backuppolicyresources: the policy and the disks, in their order without repeats."""
    fields = _object_with_something(call)
    policy_id = fields.get("backup_policy_id")
    if not isinstance(policy_id, str) or not policy_id:
        raise bad(NO_POLICY_ID, "backup_policy_id is required.")
    entries = _resources(fields)
    volume_ids = _resource_ids(entries)
    if not all(entry.get("resource_type") == RESOURCE_KIND for entry in entries):
        raise bad(RESOURCE_TYPE, f"Each resource needs the resource_type {RESOURCE_KIND}.")
    return policy_id, volume_ids


def disassociation(call: Call) -> list[str]:
    """POST backuppolicyresources/{id}/deleted_resources: the disks, in their order without repeats."""
    return _resource_ids(_resources(_object_with_something(call)))


def _object_with_something(call: Call) -> dict[str, Any]:
    fields = read_object(call)
    if not fields:
        raise bad(EMPTY_BODY, "The request's object is empty.")
    refuse_brackets(fields)
    return fields


def _resources(fields: dict[str, Any]) -> list[dict[str, Any]]:
    entries = fields.get("resources")
    if not isinstance(entries, list) or not entries:
        raise bad(NO_RESOURCES, "resources is required and must be a list of at least one disk.")
    if len(entries) > RESOURCES_MAX:
        raise bad(BAD_BODY, f"resources has {len(entries)} entries; {RESOURCES_MAX} are allowed.")
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _resource_ids(entries: list[dict[str, Any]]) -> list[str]:
    """Ids of disks in the form that records have; what is no UUID stays as it is, and is no disk's."""
    ids = []
    for entry in entries:
        given_id = entry.get("resource_id")
        if not isinstance(given_id, str) or not given_id:
            raise bad(NO_RESOURCE_ID, "Each resource needs a resource_id.")
        ids.append(uuid_or_none(given_id) or given_id)
    return list(dict.fromkeys(ids))


def bad(code: str, message: str) -> WireError:
    return WireError(400, code, message)
