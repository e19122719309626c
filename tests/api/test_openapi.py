"""The OpenAPI document: whole, valid, served to anybody, and true. That answers keep to it, every other test sees."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from schemathesis.specs.openapi import definitions

from openvbs.api.openapi import OPERATIONS, path_of
from openvbs.api.routes import ROUTES
from tests.support import openapi
from tests.support.wsgi import Client

PUBLIC_URL = "https://vbs.example:8776"
OPEN = {"/", "/v3", "/healthcheck", "/metrics", "/openapi.json", "/docs"}
WITHOUT_TOKEN = {"X_Identity_Status": "Invalid", "X_Auth_Token": ""}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return openapi.DOCUMENT


def operations(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in made["paths"].values() for operation in methods.values()]


def test_it_is_valid(made: dict[str, Any]) -> None:
    found = definitions.OPENAPI_31_VALIDATOR.iter_errors(made)
    assert [error.message for error in found] == []


def test_it_has_every_route_and_no_other(made: dict[str, Any]) -> None:
    found = {(method.upper(), path) for path, methods in made["paths"].items() for method in methods}
    assert found == {(route.method, path_of(route)) for route in ROUTES} | {("GET", path) for path in OPEN}


def test_no_handler_is_described_that_no_route_has() -> None:
    assert set(OPERATIONS) == {route.handler for route in ROUTES}


def test_each_operation_has_an_id_of_its_own(made: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(made) if "security" not in operation]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"\w+", name) for name in ids)


def test_every_reference_leads_somewhere_and_every_name_is_used(made: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(made)))
    kinds = ("schemas", "responses", "headers")
    named = {f"#/components/{kind}/{name}" for kind in kinds for name in made["components"][kind]}
    assert references <= named
    unused = {name for name in named - references if "/responses/" not in name}
    assert not unused


def test_patterns_are_of_the_kind_that_json_schema_knows(made: dict[str, Any]) -> None:
    assert r"\\Z" not in json.dumps(made)


def test_anybody_gets_it(alpha: Client) -> None:
    answer = alpha.send("GET", "/openapi.json", **WITHOUT_TOKEN)
    assert answer.status == 200
    assert answer.json() == {**openapi.DOCUMENT, "servers": [{"url": PUBLIC_URL}]}


class Links(HTMLParser):
    """What a page refers to, and what it has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.targets.append(value or "")
            if name == "id":
                self.anchors.add(value or "")


def test_the_page_shows_every_operation_and_needs_nothing_else(alpha: Client) -> None:
    answer = alpha.send("GET", "/docs", Accept="text/html", **WITHOUT_TOKEN)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    links = Links()
    links.feed(answer.body.decode())
    assert {target.removeprefix("#") for target in links.targets if target.startswith("#")} <= links.anchors
    assert {target for target in links.targets if not target.startswith("#")} == {"openapi.json"}
    assert not links.tags & {"script", "link", "img", "iframe"}
    for route in ROUTES:
        assert f"<code>{route.method} {path_of(route)}</code>".encode() in answer.body


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"content-type": "application/json", "x-request-id": "1"}, b'{"count": "2"}'),
        (200, {"content-type": "application/json", "x-request-id": "1"}, b'{"count": 2, "more": 1}'),
        (200, {"content-type": "text/html", "x-request-id": "1"}, b'{"count": 2}'),
        (200, {"content-type": "application/json"}, b'{"count": 2}'),
        (201, {"content-type": "application/json", "x-request-id": "1"}, b'{"count": 2}'),
        (404, {"content-type": "application/json", "x-request-id": "1"}, b'{"itemNotFound": {}}'),
    ],
)
def test_answers_that_are_not_in_it_are_told_apart(status: int, headers: dict[str, str], body: bytes) -> None:
    target = "/v2/p/os-vendor-backup-sharing/count"
    openapi.check("GET", target, 200, {"content-type": "application/json", "x-request-id": "1"}, b'{"count": 2}')
    with pytest.raises(AssertionError):
        openapi.check("GET", target, status, headers, body)
