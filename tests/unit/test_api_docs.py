"""docs/api.md lists exactly the routes that the code serves."""

import re
from pathlib import Path

from openvbs.api.routes import ROUTES

TEXT = (Path(__file__).parents[2] / "docs/api.md").read_text()
NATIVE_BASES = ("/v2/{project_id}", "/v3/{project_id}", "/v3")
OPEN = {("GET", path) for path in ("/", "/v3", "/healthcheck", "/metrics", "/openapi.json", "/docs")}


def documented() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \|", TEXT, re.MULTILINE)
    return [
        (method, path.replace("{native}", base))
        for method, path in rows
        for base in (NATIVE_BASES if path.startswith("{native}") else ("",))
    ]


def test_every_route_is_documented_once_and_no_other() -> None:
    found = documented()
    assert len(found) == len(set(found))
    assert set(found) == {(route.method, route.path) for route in ROUTES} | OPEN
