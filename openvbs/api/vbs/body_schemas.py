"""What bodies.py, policy_bodies.py and tag_bodies.py accept, as JSON schemas: those parsers go by the contract's order
of checks and codes, which no schema can say. Tests hold the two together.

What a schema cannot say is written into its description.
"""

from typing import Any

from openvbs.api.operation import Schema
from openvbs.api.vbs import bodies, policy_bodies, tag_bodies
from openvbs.domain.schedule import START_TIMES_MAX, TIME_ZONE_CHARACTERS_MAX, WEEKDAYS

_NULL: Schema = {"type": "null"}
_UUID: Schema = {"type": "string", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}
_TAG_CHARACTER = r"[^\x00-\x1f=*<>\\,|/]"

PLAIN = "Plain"
NAMED: dict[str, Schema] = {
    PLAIN: {
        "description": "Any JSON without < or > in its texts.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"type": "string", "pattern": "^[^<>]*$"},
            {"type": "array", "items": {"$ref": "#/components/schemas/Plain"}},
            {
                "type": "object",
                "propertyNames": {"pattern": "^[^<>]*$"},
                "additionalProperties": {"$ref": "#/components/schemas/Plain"},
            },
        ],
    }
}
"""Schemas that the others refer to."""


def _text(least: int, most: int, *, character: str = "") -> Schema:
    schema: Schema = {"type": "string", "minLength": least, "maxLength": most}
    return {**schema, "pattern": f"^{character}*$"} if character else schema


def _name(reserved_prefix: str, most: int) -> Schema:
    return {"type": "string", "pattern": f"^(?!{reserved_prefix})[.A-Za-z0-9_-]{{1,{most}}}$"}


def _or_null(*schemas: Schema) -> Schema:
    return {"anyOf": [*schemas, _NULL]}


def _given(*names: str) -> Schema:
    """At least one of the keys, and not null."""
    return {"anyOf": [{"required": [name], "properties": {name: {"not": _NULL}}} for name in names]}


def _object(required: list[str], /, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _plain(schema: Schema) -> Schema:
    """The object, whose other keys must be free of angle brackets as well."""
    plain = NAMED[PLAIN]["anyOf"][-1]
    return {**schema, **{key: plain[key] for key in ("propertyNames", "additionalProperties")}}


def _distinct(schema: Schema) -> Schema:
    return {**schema, "description": "No key may be given twice."}


_TAG = _object(
    ["key", "value"],
    key=_text(1, bodies.TAG_KEY_CHARACTERS_MAX, character=_TAG_CHARACTER),
    value=_text(0, bodies.TAG_VALUE_CHARACTERS_MAX, character=_TAG_CHARACTER),
)
_PLAIN_TAG = _plain(_TAG)

_NAME = _name(bodies.RESERVED_PREFIX, bodies.NAME_CHARACTERS_MAX)
_DESCRIPTION = _or_null(_text(0, bodies.DESCRIPTION_CHARACTERS_MAX, character=r"[^<>\x00-\x08\x0b-\x1f]"))

CREATE_BACKUP = _object(
    ["backup"],
    backup=_object(
        ["volume_id", "name"],
        volume_id=_UUID,
        name=_NAME,
        description=_DESCRIPTION,
        snapshot_id=_or_null(_UUID, {"const": ""}),
        extend_param=_or_null(
            {"const": ""},
            _object(
                [],
                FullBackup=_or_null(
                    {"type": "boolean"}, {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])?$"}
                ),
            ),
        ),
        tags=_or_null(_distinct({"type": "array", "maxItems": bodies.TAGS_MAX, "items": _TAG})),
    ),
)

COPY = _object(["copy"], copy=_object([], name=_or_null(_NAME, {"const": ""}), description=_DESCRIPTION))

RESTORE_TARGET = _object(["restore"], restore=_object(["volume_id"], volume_id=_UUID))

_DAY, _TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{2}:[0-9]{2}"

_PROJECT_ID = {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,64}$"}

SHARE = _object(
    ["shared"],
    shared=_object(
        ["backup_id", "to_project_ids"],
        backup_id=_UUID,
        to_project_ids={
            "type": "array",
            "minItems": 1,
            "items": _PROJECT_ID,
            "description": "At most as many as the operator allows, 100 by default.",
        },
        expires_at=_or_null(
            {
                "type": "string",
                "pattern": f"^{_DAY}T{_TIME}(:[0-9]{{2}}(\\.[0-9]{{1,6}})?)?(Z|[+-]{_TIME})?$",
                "examples": ["2099-03-04T05:06:07", "2099-03-04T05:06+01:00"],
                "description": "When the shares end, in the future; without a zone it is UTC.",
            }
        ),
    ),
)

_HOUR = r"[ \t\r\n]*([01][0-9]|2[0-3]):00[ \t\r\n]*"
_ZONE = _or_null(
    {
        "type": "string",
        "maxLength": TIME_ZONE_CHARACTERS_MAX,
        "pattern": "^[^<>]*$",
        "examples": ["UTC+08:00", "Europe/Berlin"],
        "description": "An offset like UTC+08:00, or the name of an IANA zone; the same wherever it is given.",
    }
)


def _days(most: int) -> Schema:
    text = "A fraction is cut off. The contract's spelling and the right one mean the same, and must agree."
    return _or_null(
        {"type": "number", "minimum": policy_bodies.KEEP_MIN, "exclusiveMaximum": most + 1, "description": text}
    )


def _number(least: int, most: int) -> Schema:
    return _or_null({"type": "integer", "minimum": least, "maximum": most})


_KEEP_NUMBER = _number(policy_bodies.KEEP_MIN, policy_bodies.KEEP_NUMBER_MAX)
_SCHEDULE = _plain(
    _object(
        [],
        start_time=_or_null(
            {
                "type": "string",
                "maxLength": policy_bodies.START_TIME_CHARACTERS_MAX,
                "pattern": f"^{_HOUR}(,{_HOUR}){{0,{START_TIMES_MAX - 1}}}$",
                "examples": ["21:00,23:00", "01:00, 03:00"],
                "description": "Full hours of UTC like 21:00,23:00, none twice, in their order.",
            }
        ),
        frequency=_number(1, policy_bodies.EVERY_DAYS_MAX),
        week_frequency=_or_null({"type": "array", "minItems": 1, "items": {"enum": list(WEEKDAYS)}}),
        rentention_num=_KEEP_NUMBER,
        retention_num=_KEEP_NUMBER,
        rentention_day=_days(policy_bodies.KEEP_DAYS_MAX),
        retention_day=_days(policy_bodies.KEEP_DAYS_MAX),
        remain_first_backup_of_curMonth={"enum": ["Y", "N", "true", "false", True, False, None]},
        status={"enum": ["ON", "OFF", None]},
        time_zone=_ZONE,
    )
)
_POLICY_NAME = _name(policy_bodies.RESERVED_PREFIX, policy_bodies.NAME_CHARACTERS_MAX)

_SHARE_WITH = _or_null(
    {
        "type": "array",
        "maxItems": policy_bodies.SHARE_WITH_MAX,
        "items": _PROJECT_ID,
        "description": "Other projects that each new backup is shared with.",
    }
)

CREATE_POLICY = _plain(
    _object(
        ["backup_policy_name", "scheduled_policy"],
        backup_policy_name=_POLICY_NAME,
        scheduled_policy={
            **_SCHEDULE,
            "allOf": [
                _given("start_time"),
                _given("frequency", "week_frequency"),
                _given("rentention_num", "retention_num", "rentention_day", "retention_day"),
                _given("status"),
            ],
        },
        time_zone=_ZONE,
        tags=_or_null(_distinct({"type": "array", "items": _PLAIN_TAG})),
        share_with=_SHARE_WITH,
    )
)

CHANGE_POLICY = {
    **_plain(
        _object(
            [],
            backup_policy_name=_or_null(_POLICY_NAME),
            scheduled_policy=_or_null(_SCHEDULE),
            time_zone=_ZONE,
            share_with=_SHARE_WITH,
        )
    ),
    "minProperties": 1,
}


def _resources(required: list[str], **properties: Schema) -> Schema:
    one = _plain(_object(required, resource_id={"type": "string", "pattern": "^[^<>]+$"}, **properties))
    return {"type": "array", "minItems": 1, "maxItems": policy_bodies.RESOURCES_MAX, "items": one}


ASSOCIATION = _plain(
    _object(
        ["backup_policy_id", "resources"],
        backup_policy_id={"type": "string", "pattern": "^[^<>]+$"},
        resources=_resources(["resource_id", "resource_type"], resource_type={"const": policy_bodies.RESOURCE_KIND}),
    )
)

DISASSOCIATION = _plain(_object(["resources"], resources=_resources(["resource_id"])))

ONE_TAG = _plain(_object(["tag"], tag=_PLAIN_TAG))

_OLD_TAG = _plain(
    _object(
        ["key"],
        key=_text(1, tag_bodies.OLD_KEY_CHARACTERS_MAX, character=_TAG_CHARACTER),
        value=_or_null(_text(0, tag_bodies.OLD_VALUE_CHARACTERS_MAX, character="[^<>]")),
    )
)


def _batch(actions: list[str], tag: Schema) -> Schema:
    tags = _or_null(_distinct({"type": "array", "items": tag}))
    return _plain(_object(["action"], action={"enum": actions}, tags=tags))


BATCH: Schema = {"anyOf": [_batch(["create", "update"], _PLAIN_TAG), _batch(["delete"], _OLD_TAG)]}


def _sets(least: int) -> Schema:
    value = _text(0, tag_bodies.OLD_VALUE_CHARACTERS_MAX, character="[^<>]")
    one = _plain(
        _object(
            ["key", "values"],
            key=_text(1, tag_bodies.OLD_KEY_CHARACTERS_MAX, character="[^<>]"),
            values={"type": "array", "maxItems": tag_bodies.VALUES_MAX, "uniqueItems": True, "items": value},
        )
    )
    return _or_null(_distinct({"type": "array", "minItems": least, "maxItems": tag_bodies.SETS_MAX, "items": one}))


def _search(action: str, **paging: Any) -> Schema:
    part = _plain(
        _object(
            ["key", "value"],
            key={"const": "resource_name"},
            value=_text(0, tag_bodies.OLD_VALUE_CHARACTERS_MAX, character="[^<>]"),
        )
    )
    return _plain(
        _object(
            ["action"],
            action={"const": action},
            tags=_sets(0),
            tags_any=_sets(1),
            not_tags=_sets(1),
            not_tags_any=_sets(1),
            matches=_or_null({"type": "array", "maxItems": tag_bodies.SETS_MAX, "items": part}),
            **paging,
        )
    )


SEARCH: Schema = {
    "anyOf": [
        _search(
            "filter",
            limit=_or_null(
                {"type": "integer", "minimum": 1, "maximum": tag_bodies.FOUND_MAX},
                {"type": "string", "pattern": "^(0{0,3}[1-9]|0{0,2}[1-9][0-9]|0?[1-9][0-9]{2}|1000)$"},
            ),
            offset=_or_null(
                {"type": "integer", "minimum": 0, "maximum": tag_bodies.OFFSET_MAX},
                {"type": "string", "pattern": "^[0-9]{1,10}$", "description": "At most 2147483647."},
            ),
        ),
        _search("count"),
    ]
}
