"""Lists as Cinder has them: filters, sorting and paging, by API version and microversion."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from openvbs.api import query
from openvbs.api.microversion import VERSION_MIN, Version
from openvbs.api.paging import next_links
from openvbs.api.wire import BAD_REQUEST, Answer, Call, WireError
from openvbs.domain.page import Page

T = TypeVar("T")

_PAGING = frozenset({"limit", "offset", "marker", "sort", "sort_key", "sort_dir", "all_tenants", "with_count"})
_EQUAL_RANK = frozenset({"container_format", "disk_format"})
_FILTERS_STRICT_FROM = (3, 31)
_COUNT_FROM = (3, 45)
_METADATA_FILTERS_MAX = 50
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a list can be filtered and sorted by."""

    plural: str
    filters: frozenset[str]
    like_filters: frozenset[str]
    """May be given with ``~`` for a substring."""
    sort_keys: frozenset[str]
    admin_filters: frozenset[str] = frozenset({"project_id", "user_id"})
    """What an administrator may filter by besides, on /v3."""
    foreign_filters: frozenset[str] = frozenset()
    """Cinder's filters that we have no answer to: refused, since ignoring one would give a wrong list."""
    name_sorted_from: Version = VERSION_MIN
    """First microversion that knows ``name`` as a key to sort by."""


BACKUPS = Kind(
    plural="backups",
    filters=frozenset({"name", "status", "volume_id"}),
    like_filters=frozenset({"name", "status", "volume_id"}),
    sort_keys=frozenset({
        "name", "status", "size", "id", "created_at", "updated_at", "volume_id", "data_timestamp", "availability_zone",
        "container", "snapshot_id", "project_id",
    }),
    admin_filters=frozenset({
        "project_id", "user_id", "id", "snapshot_id", "availability_zone", "container", "size", "parent_id",
    }),
    name_sorted_from=(3, 37),
)  # fmt: skip
VOLUMES = Kind(
    plural="volumes",
    filters=frozenset({"name", "status", "metadata", "availability_zone", "bootable", "size"}),
    like_filters=frozenset(),
    sort_keys=frozenset({"name", "status", "size", "id", "created_at", "updated_at", "bootable", "availability_zone"}),
    foreign_filters=frozenset({"migration_status", "group_id", "glance_metadata"}),
)
SNAPSHOTS = Kind(
    plural="snapshots",
    filters=frozenset({"name", "status", "volume_id", "metadata"}),
    like_filters=frozenset(),
    sort_keys=frozenset({"name", "status", "size", "id", "created_at", "updated_at", "volume_id"}),
    foreign_filters=frozenset({"availability_zone"}),
)


def arguments(call: Call, kind: Kind, values: dict[str, str]) -> dict[str, Any]:
    """The fields that BackupQuery and VolumeQuery have in common, read from the query; 400 for what is wrong."""
    wanted = _filters(call, kind, values)
    if call.caller.is_admin and call.is_v3:
        wanted["all_projects"] = values.get("all_tenants", "").lower() in _TRUE
    with_count = call.version >= _COUNT_FROM and query.qbool(values, "with_count")
    return {
        **wanted,
        "sort": _sort(call, kind, values),
        "limit": query.limit(values, call.settings.page_items_max),
        "offset": query.qint(values, "offset", default=0),
        "marker": query.lowered(values, "marker"),
        "with_count": with_count,
    }


def answer(
    call: Call, kind: Kind, values: dict[str, str], page: Page[T], view: Callable[[T], dict[str, Any]]
) -> Answer:
    """The page, the link to what follows, and the count where it was asked for."""
    items = [view(item) for item in page.items]
    body: dict[str, Any] = {kind.plural: items}
    # As Cinder: a full page has a link, though nothing may follow.
    is_full = call.is_v3 and len(items) == query.limit(values, call.settings.page_items_max)
    if links := next_links(call, values, items[-1]["id"] if items else None, has_more=page.has_more or is_full):
        body[f"{kind.plural}_links"] = links
    if page.total is not None:
        body["count"] = page.total
    return Answer(200, body)


def _filters(call: Call, kind: Kind, values: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    strict = call.version >= _FILTERS_STRICT_FROM
    exact = kind.filters | kind.admin_filters if call.caller.is_admin and call.is_v3 else kind.filters
    unknown = []
    for key, value in values.items():
        name, like = key.removesuffix("~"), key.endswith("~")
        if key in exact:
            found[_FIELDS.get(key, key)] = _READERS.get(key, str)(value)
        elif like and name in kind.like_filters and strict:
            found[f"{name}_like"] = value
        elif key in kind.foreign_filters:
            unknown.append(key)
        elif key == "with_count":
            if strict and call.version < _COUNT_FROM:
                unknown.append(key)
        elif key not in _PAGING and strict:
            unknown.append(key)
    if unknown:
        raise WireError(400, BAD_REQUEST, f"Invalid filters {', '.join(sorted(unknown))} are found in query options.")
    return found


def _metadata(value: str) -> dict[str, str]:
    try:
        # Clients send Python's text of a dict, as they do to Cinder.
        wanted = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise _bad("metadata", "must be a dict of texts, like {'key': 'value'}") from error
    if not isinstance(wanted, dict) or not all(isinstance(text, str) for pair in wanted.items() for text in pair):
        raise _bad("metadata", "must be a dict of texts, like {'key': 'value'}")
    if len(wanted) > _METADATA_FILTERS_MAX:
        raise _bad("metadata", f"has {len(wanted)} keys; {_METADATA_FILTERS_MAX} are allowed")
    if not all(query.is_storable(text) for pair in wanted.items() for text in pair):
        raise _bad("metadata", "holds characters that no text can hold")
    return wanted


def _bootable(value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise _bad("bootable", f"must be a boolean, not {value!r}")
    return value.lower() in _TRUE


def _size(value: str) -> int:
    return query.qint({"size": value}, "size", default=0)


_READERS: dict[str, Callable[[str], Any]] = {
    "metadata": _metadata,
    "bootable": _bootable,
    "size": _size,
    **dict.fromkeys(("id", "volume_id", "snapshot_id"), str.lower),
}
"""How a filter's value is read, where it is not the text itself."""
_FIELDS = {"size": "size_gib"}


def _sort(call: Call, kind: Kind, values: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """(key, direction) pairs of ``sort=a:asc,b`` or ``sort_key=a,b&sort_dir=asc,desc``; missing directions are desc."""
    if "sort" in values and ("sort_key" in values or "sort_dir" in values):
        raise _bad("sort", "cannot be given together with sort_key or sort_dir")
    if "sort" in values:
        pairs = [tuple(part.strip().partition(":")[::2]) for part in values["sort"].split(",")]
    else:
        keys = values.get("sort_key", "created_at").split(",")
        ways = values.get("sort_dir", "").split(",")
        if len(ways) > len(keys):
            raise _bad("sort_dir", "has more entries than sort_key")
        pairs = [(key.strip(), way.strip()) for key, way in zip(keys, ways + [""] * len(keys), strict=False)]
    sortable = {"display_name": "name", **{key: key for key in kind.sort_keys}}
    if call.is_v3 and call.version < kind.name_sorted_from:
        del sortable["name"]
    order: dict[str, str] = {}  # a key that comes again decides nothing
    for key, way in pairs:
        if way not in {"", "asc", "desc"}:
            raise _bad("sort_dir", f"must be asc or desc, not {way!r}")
        if key in sortable:
            order.setdefault(sortable[key], way or "desc")
        elif call.is_v3 and key not in _EQUAL_RANK:
            raise _bad("sort_key", f"must be one of {', '.join(sorted(sortable))}, not {key!r}")
    return tuple(order.items()) or (("created_at", "desc"),)


def _bad(key: str, rule: str) -> WireError:
    return WireError(400, BAD_REQUEST, f"Invalid input received: {key} {rule}.")
