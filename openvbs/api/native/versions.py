"""Version discovery, for anybody. Only v3 is listed: a v2 entry would oblige us to serve a document for it."""

from typing import Any

from openvbs.api.microversion import VERSION_MAX, VERSION_MIN, text_of

_UPDATED = "2026-01-01T00:00:00Z"


def document(public_url: str) -> dict[str, Any]:
    """The document of ``/`` and of ``/v3/``."""
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": text_of(VERSION_MAX),
                "min_version": text_of(VERSION_MIN),
                "updated": _UPDATED,
                "links": [
                    {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                    {"rel": "self", "href": f"{public_url}/v3/"},
                ],
                "media-types": [
                    {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}
                ],
            }
        ]
    }
