"""Metadata of volumes and snapshots by itself, as `openstack volume set --property` and its like use it."""

from collections.abc import Callable
from typing import Any

import pytest

from openvbs.actions.service import Service
from openvbs.actions.snapshots import create_snapshot
from tests.api.conftest import ALPHA
from tests.support.actions import add_volume, caller
from tests.support.wsgi import Client

UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"
AT_315 = {"OpenStack_API_Version": "volume 3.15"}


@pytest.fixture(params=["volumes", "snapshots"])
def one(request: pytest.FixtureRequest, service: Service) -> str:
    """The path of a volume or snapshot of alpha's that has one key, below its version and project."""
    volume_id = add_volume(service, ALPHA)
    if request.param == "volumes":
        return f"volumes/{volume_id}"
    snapshot, _ = create_snapshot(service, caller(ALPHA), volume_id=volume_id, metadata={"owner": "keeps this"})
    return f"snapshots/{snapshot.id}"


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}", "/v3"])
def test_keys_are_merged_replaced_read_and_removed(alpha: Client, one: str, base: str) -> None:
    whole = f"{base}/{one}/metadata"
    assert alpha.get(whole) == {"metadata": {"owner": "keeps this"}}

    def changed(method: str, target: str, body: Any) -> Any:
        answer = alpha.send(method, target, body=body)
        assert answer.status == 200, answer
        return answer.json()

    merged = {"owner": "x", "a b/c": "d"}
    assert changed("POST", whole, {"metadata": merged}) == {"metadata": merged}
    assert changed("POST", whole, {"metadata": {}}) == {"metadata": merged}
    assert changed("PUT", f"{whole}/e", {"meta": {"e": "f"}}) == {"meta": {"e": "f"}}
    assert alpha.get(f"{whole}/e") == {"meta": {"e": "f"}}
    assert alpha.get(whole) == {"metadata": {**merged, "e": "f"}}
    gone = alpha.send("DELETE", f"{whole}/e")
    assert (gone.status, gone.body) == (200, b"")
    for method in ("GET", "DELETE"):
        answer = alpha.send(method, f"{whole}/e")
        assert (answer.status, answer.json()["itemNotFound"]["code"]) == (404, 404)
    assert changed("PUT", whole, {"metadata": {"only": "this"}}) == {"metadata": {"only": "this"}}
    shown = alpha.get(f"{base}/{one}")
    assert shown[one.split("/", maxsplit=1)[0].removesuffix("s")]["metadata"] == {"only": "this"}


@pytest.mark.parametrize(
    ("method", "end", "body"),
    [
        ("POST", "", {}),
        ("POST", "", {"metadata": []}),
        ("POST", "", {"metadata": {"k": 1}}),
        ("POST", "", {"metadata": {"k": "v" * 256}}),
        ("PUT", "", {"metadata": {"": "v"}}),
        ("PUT", "", {"metadata": {"k*": "v"}}),
        ("PUT", "", {"metadata": {}, "more": 1}),
        ("PUT", "/k", {"meta": {"other": "v"}}),
        ("PUT", "/k", {"meta": {"k": "v", "other": "v"}}),
        ("PUT", "/k", {"meta": {}}),
        ("PUT", "/k", {"metadata": {"k": "v"}}),
    ],
)
def test_bad_metadata_changes_nothing(alpha: Client, one: str, method: str, end: str, body: Any) -> None:
    answer = alpha.send(method, f"/v3/{{p}}/{one}/metadata{end}", body=body)
    assert (answer.status, answer.json()["badRequest"]["code"]) == (400, 400)
    assert alpha.get(f"/v3/{{p}}/{one}/metadata") == {"metadata": {"owner": "keeps this"}}


def test_it_is_the_projects_and_writers_alone(
    alpha: Client, reader: Client, gamma: Client, admin: Client, one: str
) -> None:
    target = f"/v3/{{p}}/{one}/metadata"
    body = {"metadata": {"k": "v"}}
    assert reader.send("GET", target).status == 200
    assert reader.send("POST", target, body=body).status == 403
    for method in ("GET", "POST", "PUT"):
        assert gamma.send(method, target, body=body).status == 404
    assert admin.send("POST", target, body=body).status == 200
    assert alpha.get(target)["metadata"]["k"] == "v"
    kind = one.split("/", maxsplit=1)[0]
    for unknown in (UNKNOWN, "name"):
        assert alpha.send("POST", f"/v3/{{p}}/{kind}/{unknown}/metadata", body=body).status == 404


def test_an_etag_keeps_a_late_writer_from_overwriting(alpha: Client, one: str) -> None:
    target = f"/v3/{{p}}/{one}/metadata"
    assert "etag" not in alpha.send("GET", target).headers
    read = alpha.send("GET", target, **AT_315).headers["etag"]

    def put(value: str, if_match: str, version: dict[str, str] = AT_315) -> int:
        return alpha.send("PUT", target, body={"metadata": {"k": value}}, If_Match=if_match, **version).status

    assert put("first", read) == 200
    assert put("second", read) == 412
    assert alpha.get(target) == {"metadata": {"k": "first"}}
    assert put("third", "*") == 200
    assert put("fourth", read, {}) == 200, "below 3.15 the header means nothing"


def test_changes_at_once_lose_no_key(alpha: Client, one: str, at_once: Callable[..., list[int]]) -> None:
    def add(number: int) -> int:
        body = {"metadata": {f"k{number}": "v"}}
        return alpha.send("POST", f"/v3/{{p}}/{one}/metadata", body=body).status

    assert at_once(add, 8) == [200] * 8
    assert len(alpha.get(f"/v3/{{p}}/{one}/metadata")["metadata"]) == 9


def test_tags_of_a_volume_are_what_was_put_last(alpha: Client, service: Service) -> None:
    """As Terraform's opentelekomcloud provider keeps them: a map that is set as a whole, apart from the metadata."""
    volume_id = add_volume(service, ALPHA)
    target = f"/v2/{{p}}/os-vendor-tags/volumes/{volume_id}"
    assert alpha.get(target) == {"tags": {}}
    for tags in ({"foo": "bar", "key": "välue with space"}, {"foo": ""}, {}):
        answer = alpha.send("PUT", target, body={"tags": tags})
        assert (answer.status, answer.json()) == (200, {"tags": tags})
        assert alpha.get(target) == {"tags": tags}
    shown = alpha.get(f"/v2/{{p}}/volumes/{volume_id}")["volume"]
    assert shown["metadata"] == {"owner": "keeps this"}
    assert "tags" not in shown
    assert alpha.send("GET", f"/v2/{{p}}/os-vendor-tags/volumes/{UNKNOWN}").status == 404


@pytest.mark.parametrize(
    "tags",
    [[], "x", {"k": 1}, {"": "v"}, {"k" * 37: "v"}, {"k": "v" * 44}, {"a/b": "v"}, dict.fromkeys("abcdefghijk", "v")],
)
def test_tags_that_no_volume_may_have_change_nothing(alpha: Client, service: Service, tags: Any) -> None:
    target = f"/v2/{{p}}/os-vendor-tags/volumes/{add_volume(service, ALPHA)}"
    assert alpha.send("PUT", target, body={"tags": {"k": "v"}}).status == 200
    answer = alpha.send("PUT", target, body={"tags": tags})
    assert (answer.status, answer.json()["badRequest"]["code"]) == (400, 400)
    assert alpha.get(target) == {"tags": {"k": "v"}}
