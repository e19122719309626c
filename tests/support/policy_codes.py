"""A request for each code of the area AutoBackup that can be met."""

from collections.abc import Callable
from typing import Any

from openvbs.actions.service import Service
from tests.api.conftest import ALPHA
from tests.support.actions import add_volume
from tests.support.broken import Request, limited, with_a_bug, without_identity
from tests.support.policy_wire import POLICIES, RESOURCES, UNKNOWN, associate, body, create
from tests.support.wsgi import Answer, Client


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


def one(**fields: Any) -> dict[str, Any]:
    return {"backup_policy_id": UNKNOWN, "resources": [{"resource_id": UNKNOWN, "resource_type": "volume"} | fields]}


def of_policy(method: str, path: str, wanted: object = None) -> Request:
    return lambda client, _: client.send(method, f"{POLICIES}/{create(client)}{path}", body=wanted)


POLICY_REQUESTS: dict[str, Request] = {
    "AutoBackup.0000": lambda client, _: post(client, None),
    "AutoBackup.0001": lambda client, _: post(client, {}),
    "AutoBackup.0002": lambda client, _: client.send("GET", POLICIES, X_Identity_Status="Invalid", X_Auth_Token=""),
    "AutoBackup.0003": lambda client, _: client.send("GET", POLICIES, X_Identity_Status="Invalid"),
    "AutoBackup.0006": lambda client, _: post(client, {"resources": []}, RESOURCES),
    "AutoBackup.0008": lambda client, _: post(client, b"no json"),
    "AutoBackup.0009": lambda _, service: with_a_bug(service).send("GET", POLICIES),
    "AutoBackup.0101": lambda client, _: post(client, body(backup_policy_name="")),
    "AutoBackup.0102": lambda client, _: post(client, body(backup_policy_name="default")),
    "AutoBackup.0103": lambda client, _: post(client, body({"start_time": "21:30"})),
    "AutoBackup.0104": lambda client, _: post(client, body({"status": "on"})),
    "AutoBackup.0105": lambda client, _: post(client, body({"remain_first_backup_of_curMonth": "x"})),
    "AutoBackup.0106": lambda client, _: post(client, body({"frequency": 31})),
    "AutoBackup.0107": lambda client, _: post(client, body({"rentention_num": 1})),
    "AutoBackup.0203": lambda _, service: post(limited(service, policies_max=0), body()),
    "AutoBackup.0204": with_too_many_disks,
    "AutoBackup.0205": lambda client, _: client.send("DELETE", f"{POLICIES}/{UNKNOWN}"),
    "AutoBackup.0207": of_policy("POST", "/action"),
    "AutoBackup.0209": lambda client, _: post(client, one(resource_id=""), RESOURCES),
    "AutoBackup.0211": lambda client, _: post(client, one(resource_type="server"), RESOURCES),
    "AutoBackup.0213": lambda client, _: client.send("GET", "/v2/another/backuppolicy"),
    "AutoBackup.0214": of_policy("POST", "/tags", {"tag": {"key": "a=b", "value": ""}}),
    "AutoBackup.0215": lambda client, _: post(client, body(tags=[{"key": str(n), "value": ""} for n in range(11)])),
    "AutoBackup.0216": of_policy("DELETE", "/tags/k"),
    "AutoBackup.0218": without_room,
    "AutoBackup.0221": lambda client, _: post(client, body(backup_policy_name="<")),
    "AutoBackup.0222": of_policy("POST", "/tags/action", {"action": "x"}),
    "AutoBackup.0225": running,
    "AutoBackup.0226": lambda client, _: post(client, body(time_zone="x")),
    "AutoBackup.1100": lambda client, _: client.send("GET", f"{POLICIES}/{UNKNOWN}/tags"),
    "AutoBackup.9002": lambda _, service: without_identity(service).send("GET", POLICIES),
}
OF_DISKS: dict[str, Callable[[Client, Service], dict[str, Any]]] = {
    "AutoBackup.0206": lambda client, service: associate(
        client, create(client), add_volume(service, ALPHA, status="error")
    ),
    "AutoBackup.1400": lambda client, _: associate(client, create(client), UNKNOWN),
}
"""Codes of single disks in an answer that is a success."""
