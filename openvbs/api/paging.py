"""Links to the next page."""

from urllib.parse import urlencode

from openvbs.api.wire import Call


def next_links(call: Call, values: dict[str, str], last_id: str | None, *, has_more: bool) -> list[dict[str, str]]:
    """The link to what follows last_id, or nothing: the same path and query, with marker instead of offset."""
    if not has_more or last_id is None:
        return []
    query = {key: value for key, value in values.items() if key not in {"marker", "offset"}}
    query["marker"] = last_id
    href = f"{call.settings.public_url}{call.request.path}?{urlencode(query)}"
    return [{"rel": "next", "href": href}]
