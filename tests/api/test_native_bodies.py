"""Bodies of the native dialect: as strict as Cinder on /v3, as forgiving as ever on /v2."""

from typing import Any

import pytest

from openvbs.actions.service import Service
from tests.api.conftest import ALPHA, BODY_BYTES_MAX, GAMMA
from tests.support.actions import add_volume
from tests.support.native import UNKNOWN, at, bad_request
from tests.support.wsgi import Client

STRICT: list[tuple[str, str, Any]] = [
    ("3.0", "backups", {}),
    ("3.0", "backups", {"backup": {"volume_id": UNKNOWN}, "other": 1}),
    ("3.0", "backups", {"backup": {}}),
    ("3.0", "backups", {"backup": None}),
    ("3.0", "backups", {"backup": []}),
    ("3.0", "backups", {"backup": {"volume_id": None}}),
    ("3.0", "backups", {"backup": {"volume_id": "x"}}),
    ("3.0", "backups", {"backup": {"volume_id": UNKNOWN, "nme": "x"}}),
    ("3.0", "backups", {"backup": {"volume_id": UNKNOWN, "name": "x" * 256}}),
    ("3.0", "backups", {"backup": {"volume_id": UNKNOWN, "name": 1}}),
    ("3.0", "backups", {"backup": {"volume_id": UNKNOWN, "incremental": "maybe"}}),
    ("3.0", "backups", {"backup": {"volume_id": UNKNOWN, "force": 1}}),
    ("3.0", "backups", {"backup": {"volume_id": UNKNOWN, "snapshot_id": "x"}}),
    ("3.42", "backups", {"backup": {"volume_id": UNKNOWN, "metadata": {}}}),
    ("3.43", "backups", {"backup": {"volume_id": UNKNOWN, "metadata": {"bad*key": "v"}}}),
    ("3.43", "backups", {"backup": {"volume_id": UNKNOWN, "metadata": {"k": None}}}),
    ("3.43", "backups", {"backup": {"volume_id": UNKNOWN, "metadata": {"k": "v" * 256}}}),
    ("3.50", "backups", {"backup": {"volume_id": UNKNOWN, "availability_zone": "nova"}}),
    ("3.0", "volumes", {"volume": {}}),
    ("3.0", "volumes", {"volume": {"size": 0}}),
    ("3.0", "volumes", {"volume": {"size": "x"}}),
    ("3.0", "volumes", {"volume": {"size": 1.5}}),
    ("3.0", "volumes", {"volume": {"size": True}}),
    ("3.0", "volumes", {"volume": {"size": -1}}),
    ("3.0", "volumes", {"volume": {"size": 10**12}}),
    ("3.0", "volumes", {"volume": None}),
    ("3.53", "volumes", {"volume": {"size": 1, "nme": "x"}}),
    ("3.0", "volumes", {"volume": {"size": 1, "imageRef": UNKNOWN}}),
    ("3.0", "volumes", {"volume": {"size": 1, "multiattach": True}}),
    ("3.0", "volumes", {"volume": {"size": 1, "metadata": {"k": 1}}}),
    ("3.46", "volumes", {"volume": {"size": 1, "backup_id": UNKNOWN}}),
    ("3.47", "volumes", {"volume": {"backup_id": UNKNOWN, "source_volid": UNKNOWN}}),
    ("3.0", "snapshots", {"snapshot": {}}),
    ("3.0", "snapshots", {"snapshot": {"volume_id": UNKNOWN, "force": "maybe"}}),
    ("3.0", "snapshots", {"snapshot": {"volume_id": UNKNOWN, "x": 1}}),
    ("3.0", "snapshots", {"snapshot": {"volume_id": UNKNOWN, "display_description": "x"}}),
]
CHANGES: list[tuple[str, str, Any]] = [
    ("3.0", "PUT volumes", {"volume": None}),
    ("3.53", "PUT volumes", {"volume": {}}),
    ("3.0", "PUT volumes", {"volume": {"x": 1}}),
    ("3.0", "PUT volumes/metadata", {"metadata": None}),
    ("3.0", "POST volumes/metadata", {"metadata": None}),
    ("3.0", "POST volumes/action", {"os-extend": {"new_size": 2, "x": 1}}),
    ("3.0", "POST volumes/action", {"os-set_bootable": {"bootable": True, "x": 1}}),
    ("3.0", "PUT snapshots", {"snapshot": None}),
    ("3.0", "PUT snapshots", {"snapshot": {}}),
    ("3.0", "PUT snapshots", {"snapshot": {"metadata": {"k": "v"}}}),
]


@pytest.mark.parametrize(("version", "kind", "body"), STRICT, ids=lambda value: repr(value)[:70])
def test_v3_bodies_are_as_strict_as_cinders(alpha: Client, version: str, kind: str, body: Any) -> None:
    answer = alpha.send("POST", f"/v3/{{p}}/{kind}", body=body, **at(version))
    assert bad_request(answer), answer.body


@pytest.mark.parametrize(("version", "change", "body"), CHANGES, ids=lambda value: repr(value)[:70])
def test_v3_changes_are_as_strict_as_cinders(
    alpha: Client, service: Service, version: str, change: str, body: Any
) -> None:
    volume = add_volume(service, ALPHA)
    made = alpha.send("POST", "/v3/{p}/snapshots", body={"snapshot": {"volume_id": volume}}).json()["snapshot"]["id"]
    method, kind, *more = change.replace("/", " ").split()
    one = f"/v3/{{p}}/{kind}/{volume if kind == 'volumes' else made}"
    before = alpha.get(one)
    answer = alpha.send(method, "/".join([one, *more]), body=body, **at(version))
    assert bad_request(answer), answer.body
    assert alpha.get(one) == before


def test_null_removes_no_tags(alpha: Client, service: Service) -> None:
    tags = f"/v2/{{p}}/os-vendor-tags/volumes/{add_volume(service, ALPHA)}"
    assert alpha.send("PUT", tags, body={"tags": {"k": "v"}}).status == 200
    assert bad_request(alpha.send("PUT", tags, body={"tags": None}))
    assert alpha.get(tags) == {"tags": {"k": "v"}}


@pytest.mark.parametrize("version", ["3.0", "3.52"])
def test_unknown_keys_of_a_new_volume_pass_until_3_53(alpha: Client, version: str) -> None:
    answer = alpha.send("POST", "/v3/{p}/volumes", body={"volume": {"size": 1, "nme": "x"}}, **at(version))
    assert answer.status == 202


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("3.0", {"incremental": "False", "force": "TRUE", "name": None, "snapshot_id": None}),
        ("3.43", {"metadata": {"a b/c.d-e_f:g": ""}}),
        ("3.43", {"metadata": None}),
        ("3.51", {"availability_zone": None, "name": "x" * 255}),
        ("3.64", {"name": "ünïcode <&>", "description": "< fine here >"}),
    ],
)
def test_v3_bodies_that_are_fine(alpha: Client, version: str, fields: dict[str, Any]) -> None:
    answer = alpha.send("POST", "/v3/{p}/backups", body={"backup": {"volume_id": UNKNOWN, **fields}}, **at(version))
    assert answer.status == 404


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 5000, b"", b"   ", [], "x"])
def test_native_bodies_that_are_no_json_object(alpha: Client, body: Any) -> None:
    for target in ("/v2/{p}/backups", "/v3/{p}/volumes", f"/v3/{{p}}/volumes/{UNKNOWN}/action"):
        assert bad_request(alpha.send("POST", target, body=body))


def test_a_body_that_is_too_large_is_413(alpha: Client) -> None:
    answer = alpha.send("POST", "/v3/{p}/backups", body=b" " * (BODY_BYTES_MAX + 1))
    assert (answer.status, answer.json()["overLimit"]["code"]) == (413, 413)
    at_most = alpha.send("POST", "/v3/{p}/backups", body=b" " * BODY_BYTES_MAX)
    assert at_most.status == 400


def test_v2_ignores_unknown_keys_and_keeps_its_own_rules(alpha: Client, service: Service) -> None:
    wanted = {"volume_id": add_volume(service, ALPHA), "name": "", "x": 1, "incremental": "true"}
    refused = alpha.send("POST", "/v2/{p}/backups", body={"backup": {**wanted, "description": "<"}})
    assert (refused.status, refused.headers["x-vbs-error-code"]) == (400, "VolumeBackup.0006")
    assert bad_request(alpha.send("POST", "/v2/{p}/backups", body={"backup": {**wanted, "project_id": GAMMA}}))
    answer = alpha.send("POST", "/v2/{p}/backups", body={"backup": {**wanted, "project_id": ALPHA}, "y": 2})
    assert (answer.status, answer.json()["backup"]["name"]) == (202, None)
