"""Query strings: every key at most once, values checked by type."""

import re
from urllib.parse import parse_qsl

from openvbs.api.operation import Query, Schema
from openvbs.api.wire import WireError

_KEYS_MAX = 100
_VALUE_CHARACTERS_MAX = 8192
"""Databases refuse patterns that are longer than some 50,000 bytes."""
_QINT = re.compile(r"[0-9]{1,10}", re.ASCII)
_QINT_MAX = 2**31 - 1

INTEGER: Schema = {"type": "integer", "minimum": 0, "maximum": _QINT_MAX}
LIMIT = Query("limit", INTEGER, "Items on the page; cut to the service's ceiling.")
OFFSET = Query("offset", INTEGER, "How many to leave out, after the marker.")
MARKER = Query("marker", {"type": "string"}, "The page begins behind the item of this id.")
SORT_DIR = Query("sort_dir", {"enum": ["asc", "desc"]})
"""What lists have alike."""


def parse(query_string: str) -> dict[str, str]:
    """The query's values by key. 400 for a key given twice, too many keys, a long value, broken UTF-8 or a NUL."""
    if not query_string:
        return {}
    if query_string.count("&") >= _KEYS_MAX:
        raise _bad("The query", f"has more than {_KEYS_MAX} keys")
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", separator="&")
    except ValueError as error:  # UnicodeDecodeError is one
        raise _bad("The query string", f"cannot be read: {error}") from error
    values: dict[str, str] = {}
    for key, value in pairs:
        if key in values:
            raise _bad(key, "is given more than once in the query")
        if "\x00" in value or "\x00" in key:
            raise _bad(key.replace("\x00", "?"), "holds a NUL character")
        if len(value) > _VALUE_CHARACTERS_MAX:
            raise _bad(key, f"has {len(value)} characters; {_VALUE_CHARACTERS_MAX} are allowed")
        values[key] = value
    return values


def is_storable(text: str) -> bool:
    """False for a NUL and for half a character, which no database can hold."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def qbool(values: dict[str, str], key: str) -> bool:
    """``true`` or ``false`` in any letter case, false if it is absent; anything else, also nothing at all, is 400."""
    text = values.get(key)
    if text is None:
        return False
    if text.lower() not in {"true", "false"}:
        raise _bad(key, f"must be true or false, not {text!r}")
    return text.lower() == "true"


def qint(values: dict[str, str], key: str, *, default: int) -> int:
    """A whole number from 0 to 2147483647 in plain digits; anything else is 400."""
    text = values.get(key)
    if text is None:
        return default
    if not _QINT.fullmatch(text) or int(text) > _QINT_MAX:
        raise _bad(key, f"must be a whole number from 0 to {_QINT_MAX}")
    return int(text)


def qchoice(values: dict[str, str], key: str, choices: tuple[str, ...], *, default: str) -> str:
    text = values.get(key, default)
    if text not in choices:
        raise _bad(key, f"must be one of {', '.join(choices)}, not {text!r}")
    return text


def lowered(values: dict[str, str], key: str) -> str | None:
    """An id in the form that records have; None when it is not asked for."""
    value = values.get(key)
    return None if value is None else value.lower()


def limit(values: dict[str, str], items_max: int) -> int:
    """The page's size: what is asked for, cut to the ceiling."""
    return min(qint(values, "limit", default=items_max), items_max)


def _bad(key: str, rule: str) -> WireError:
    return WireError(400, None, f"{key} {rule}.")
