"""Bodies of the tags of policies, and of the query for policies by their tags."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from openvbs.api.vbs.bodies import TAG_KEY_CHARACTERS_MAX, TAG_VALUE_CHARACTERS_MAX, is_tag_text
from openvbs.api.vbs.policy_bodies import EMPTY_BODY, bad, read_object, refuse_brackets, whole_number
from openvbs.api.wire import Call
from openvbs.domain.tags import TagQuery, TagSet

TAG = "AutoBackup.0214"
ACTION = "AutoBackup.0222"
OLD_KEY_CHARACTERS_MAX = 127
OLD_VALUE_CHARACTERS_MAX = 255
SETS_MAX = 10
VALUES_MAX = 10
FOUND_MAX = 1000
OFFSET_MAX = 2**31 - 1

_RULE = (
    f"Each tag needs a key of 1 to {TAG_KEY_CHARACTERS_MAX} and a value of up to {TAG_VALUE_CHARACTERS_MAX} characters,"
    " without control characters and any of = * < > \\ , | /."
)


@dataclass(frozen=True, slots=True)
class Batch:
    """POST tags/action: tags to set, or keys to remove."""

    set: dict[str, str]
    remove: list[str]


@dataclass(frozen=True, slots=True)
class Search:
    """POST resource_instances/action."""

    query: TagQuery
    only_count: bool
    limit: int
    offset: int


def one_tag(call: Call) -> tuple[str, str]:
    """POST backuppolicy/{id}/tags."""
    fields = read_object(call)
    tag = fields.get("tag")
    if not isinstance(tag, dict):
        raise bad(EMPTY_BODY, "tag is required and must be an object.")
    refuse_brackets(fields)
    return _tag(tag)


def tags_to_create(value: Any) -> dict[str, str]:
    """The tags of a new policy."""
    return {} if value is None else dict(_distinct(value, _tag))


def batch(call: Call) -> Batch:
    """Creating and updating both set; removing goes by the key alone."""
    fields = read_object(call)
    refuse_brackets(fields)
    action = fields.get("action")
    if action not in ("create", "update", "delete"):
        raise bad(ACTION, "action must be create, update or delete.")
    tags = fields.get("tags")
    if tags is None:
        return Batch({}, [])
    if action == "delete":
        return Batch({}, [key for key, _ in _distinct(tags, _old_tag)])
    return Batch(dict(_distinct(tags, _tag)), [])


def _distinct(value: Any, parse: Callable[[Any], tuple[str, str]]) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise bad(TAG, "tags must be a list of objects with key and value.")
    tags = [parse(entry) for entry in value]
    if len({key for key, _ in tags}) != len(tags):
        raise bad(TAG, "A tag key is given more than once.")
    return tags


def _tag(entry: Any) -> tuple[str, str]:
    key: Any
    value: Any
    key, value = (entry.get("key"), entry.get("value")) if isinstance(entry, dict) else (None, None)
    if not is_tag_text(key, 1, TAG_KEY_CHARACTERS_MAX) or not is_tag_text(value, 0, TAG_VALUE_CHARACTERS_MAX):
        raise bad(TAG, _RULE)
    return key, value


def _old_tag(entry: Any) -> tuple[str, str]:
    """A tag to remove, for which older and wider limits hold."""
    key = entry.get("key") if isinstance(entry, dict) else None
    value: Any = entry.get("value") if isinstance(entry, dict) else None
    value = "" if value is None else value
    if not is_tag_text(key, 1, OLD_KEY_CHARACTERS_MAX) or not _is_text(value, 0, OLD_VALUE_CHARACTERS_MAX):
        raise bad(TAG, f"Each tag to remove needs a key of 1 to {OLD_KEY_CHARACTERS_MAX} characters.")
    return str(key), value


def search(call: Call) -> Search:
    """Conditions, and the page of what is found."""
    fields = read_object(call)
    refuse_brackets(fields)
    action = fields.get("action")
    if action not in ("filter", "count"):
        raise bad(ACTION, "action must be filter or count.")
    query = TagQuery(
        tags=_sets(fields, "tags", may_be_empty=True),
        tags_any=_sets(fields, "tags_any"),
        not_tags=_sets(fields, "not_tags"),
        not_tags_any=_sets(fields, "not_tags_any"),
        name_parts=_name_parts(fields.get("matches")),
    )
    if action == "count":
        return Search(query, only_count=True, limit=0, offset=0)
    return Search(
        query,
        only_count=False,
        limit=_number(fields, "limit", 1, FOUND_MAX, default=FOUND_MAX),
        offset=_number(fields, "offset", 0, OFFSET_MAX, default=0),
    )


def _sets(fields: dict[str, Any], name: str, *, may_be_empty: bool = False) -> list[TagSet]:
    entries = fields.get(name)
    if entries is None:
        return []
    if not isinstance(entries, list) or len(entries) > SETS_MAX or not (entries or may_be_empty):
        raise bad(TAG, f"{name} must be a list of 1 to {SETS_MAX} objects with key and values.")
    sets = [_set(name, entry) for entry in entries]
    if len({wanted.key for wanted in sets}) != len(sets):
        raise bad(TAG, f"{name} names a key more than once.")
    return sets


def _set(name: str, entry: Any) -> TagSet:
    key, values = (entry.get("key"), entry.get("values")) if isinstance(entry, dict) else (None, None)
    if not _is_text(key, 1, OLD_KEY_CHARACTERS_MAX):
        raise bad(TAG, f"Each entry of {name} needs a key of 1 to {OLD_KEY_CHARACTERS_MAX} characters.")
    if not _are_values(values):
        rule = f"up to {VALUES_MAX} distinct strings of up to {OLD_VALUE_CHARACTERS_MAX} characters"
        raise bad(TAG, f"Each entry of {name} needs values: {rule}; an empty list means any.")
    return TagSet(str(key), frozenset(values or ()))


def _are_values(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= VALUES_MAX
        and all(_is_text(value, 0, OLD_VALUE_CHARACTERS_MAX) for value in values)
        and len(set(values)) == len(values)
    )


def _name_parts(entries: Any) -> Sequence[str]:
    if entries is None:
        return ()
    if not isinstance(entries, list) or len(entries) > SETS_MAX:
        raise bad(TAG, f"matches must be a list of up to {SETS_MAX} objects with key and value.")
    parts = []
    for entry in entries:
        key, value = (entry.get("key"), entry.get("value")) if isinstance(entry, dict) else (None, None)
        if key != "resource_name" or not _is_text(value, 0, OLD_VALUE_CHARACTERS_MAX):
            raise bad(TAG, "Each entry of matches needs the key resource_name and a string as value.")
        parts.append(str(value))
    return parts


def _number(fields: dict[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    """Clients send numbers as text."""
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(most)):
        value = int(value)
    number = whole_number(value)
    if number is None or not least <= number <= most:
        raise bad(TAG, f"{name} must be a whole number from {least} to {most}.")
    return number


def _is_text(value: Any, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most
