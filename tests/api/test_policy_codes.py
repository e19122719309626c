"""Every code of the area AutoBackup: one request that meets it, or the reason why it cannot be met here."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import IdentityUnavailable
from openvbs.db.session import Database
from tests.api.conftest import ALPHA, BODY_BYTES_MAX, PUBLIC_URL
from tests.support.actions import add_volume
from tests.support.policy_wire import POLICIES, RESOURCES, UNKNOWN, associate, body, create
from tests.support.wsgi import Answer, Client

CANNOT_OCCUR = {
    "0005": "a token of Keystone's always carries the domain of its user",
    "0100": "no default policy is made",
    "0208": "the details of a disk lie beside its id; they can be read or the database is down",
    "0210": "there are no HANA disks",
    "0217": "a backup of a policy takes no snapshot of its owner's quota",
    "0220": "there is no dedicated storage",
    "1300": "removing a policy is one transaction; a failure is .0009",
    "1700": "starting a run is one transaction; a failure is .0009",
}


def app_of(service: Service, authenticate: Callable[[dict[str, Any]], None] = lambda _environ: None) -> Any:
    settings = Settings(public_url=PUBLIC_URL, body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    return create_app(service, settings, authenticate)


def limited(service: Service, **limits: int) -> Client:
    return Client(app_of(replace(service, limits=replace(service.limits, **limits))), ALPHA)


def without_identity(_environ: dict[str, Any]) -> None:
    raise IdentityUnavailable("Keystone does not answer.")


def post(client: Client, wanted: object, target: str = POLICIES) -> Answer:
    return client.send("POST", target, body=wanted)


def running(client: Client, service: Service) -> Answer:
    policy_id = create(client)
    associate(client, policy_id, add_volume(service, ALPHA))
    client.send("POST", f"{POLICIES}/{policy_id}/action")
    return client.send("POST", f"{POLICIES}/{policy_id}/action")


def without_room(_client: Client, service: Service) -> Answer:
    client = limited(service, backups_max=0)
    policy_id = create(client)
    associate(client, policy_id, add_volume(service, ALPHA))
    return client.send("POST", f"{POLICIES}/{policy_id}/action")


def with_too_many_disks(_client: Client, service: Service) -> Answer:
    client = limited(service, volumes_per_policy_max=0)
    resource = {"resource_id": add_volume(service, ALPHA), "resource_type": "volume"}
    return post(client, {"backup_policy_id": create(client), "resources": [resource]}, RESOURCES)


def with_a_broken_database(_client: Client, service: Service) -> Answer:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    return Client(app_of(replace(service, database=database)), ALPHA).send("GET", POLICIES)


def one(**fields: Any) -> dict[str, Any]:
    return {"backup_policy_id": UNKNOWN, "resources": [{"resource_id": UNKNOWN, "resource_type": "volume"} | fields]}


def of_policy(method: str, path: str, wanted: object = None) -> Callable[[Client, Service], Answer]:
    return lambda client, _: client.send(method, f"{POLICIES}/{create(client)}{path}", body=wanted)


REQUESTS: dict[str, tuple[int, Callable[[Client, Service], Answer]]] = {
    "0000": (400, lambda client, _: post(client, None)),
    "0001": (400, lambda client, _: post(client, {})),
    "0002": (401, lambda client, _: client.send("GET", POLICIES, X_Identity_Status="Invalid", X_Auth_Token="")),
    "0003": (401, lambda client, _: client.send("GET", POLICIES, X_Identity_Status="Invalid")),
    "0006": (400, lambda client, _: post(client, {"resources": []}, RESOURCES)),
    "0008": (400, lambda client, _: post(client, b"no json")),
    "0009": (503, with_a_broken_database),
    "0101": (400, lambda client, _: post(client, body(backup_policy_name=""))),
    "0102": (400, lambda client, _: post(client, body(backup_policy_name="default"))),
    "0103": (400, lambda client, _: post(client, body({"start_time": "21:30"}))),
    "0104": (400, lambda client, _: post(client, body({"status": "on"}))),
    "0105": (400, lambda client, _: post(client, body({"remain_first_backup_of_curMonth": "x"}))),
    "0106": (400, lambda client, _: post(client, body({"frequency": 31}))),
    "0107": (400, lambda client, _: post(client, body({"rentention_num": 1}))),
    "0203": (403, lambda _, service: post(limited(service, policies_max=0), body())),
    "0204": (403, with_too_many_disks),
    "0205": (404, lambda client, _: client.send("DELETE", f"{POLICIES}/{UNKNOWN}")),
    "0207": (400, of_policy("POST", "/action")),
    "0209": (400, lambda client, _: post(client, one(resource_id=""), RESOURCES)),
    "0211": (400, lambda client, _: post(client, one(resource_type="server"), RESOURCES)),
    "0213": (403, lambda client, _: client.send("GET", "/v2/another/backuppolicy")),
    "0214": (400, of_policy("POST", "/tags", {"tag": {"key": "a=b", "value": ""}})),
    "0215": (400, lambda client, _: post(client, body(tags=[{"key": str(n), "value": ""} for n in range(11)]))),
    "0216": (404, of_policy("DELETE", "/tags/k")),
    "0218": (403, without_room),
    "0221": (400, lambda client, _: post(client, body(backup_policy_name="<"))),
    "0222": (400, of_policy("POST", "/tags/action", {"action": "x"})),
    "0225": (409, running),
    "0226": (400, lambda client, _: post(client, body(time_zone="x"))),
    "1100": (404, lambda client, _: client.send("GET", f"{POLICIES}/{UNKNOWN}/tags")),
    "9002": (500, lambda _, service: Client(app_of(service, without_identity), ALPHA).send("GET", POLICIES)),
}
OF_DISKS = {
    "0206": lambda client, service: associate(client, create(client), add_volume(service, ALPHA, status="error")),
    "1400": lambda client, _: associate(client, create(client), UNKNOWN),
}
"""Codes of single disks in an answer that is a success."""
CONTRACT = """
    0000 0001 0002 0003 0005 0006 0008 0009 0100 0101 0102 0103 0104 0105 0106 0107 0203 0204 0205 0206 0207 0208 0209
    0210 0211 0213 0214 0215 0216 0217 0218 0220 0221 0222 0225 0226 1100 1300 1400 1700 9002
"""


@pytest.mark.parametrize("code", REQUESTS)
def test_the_code_is_met(alpha: Client, service: Service, code: str) -> None:
    status, request = REQUESTS[code]
    answer = request(alpha, service)
    assert (answer.status, answer.code) == (status, f"AutoBackup.{code}")
    assert list(answer.json()) == ["error"]
    assert list(answer.json()["error"]) == ["code", "message"]


@pytest.mark.parametrize("code", OF_DISKS)
def test_the_code_of_a_disk_is_met(alpha: Client, service: Service, code: str) -> None:
    assert [item["code"] for item in OF_DISKS[code](alpha, service)["fail_resources"]] == [f"AutoBackup.{code}"]


def test_no_code_of_the_contract_is_left_out() -> None:
    assert sorted([*REQUESTS, *OF_DISKS, *CANNOT_OCCUR]) == CONTRACT.split()
