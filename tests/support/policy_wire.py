"""Policies on the wire, as tests make them."""

from typing import Any

from tests.support.wsgi import Client

POLICIES = "/v2/{p}/backuppolicy"
RESOURCES = "/v2/{p}/backuppolicyresources"
UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"


def body(schedule: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a policy; "..." takes a key out."""
    base = {"start_time": "21:00,23:00", "week_frequency": ["MON", "THU"], "rentention_num": 14, "status": "ON"}
    whole = {"backup_policy_name": "nightly-db", "scheduled_policy": {**base, **(schedule or {})}, **fields}
    if isinstance(whole["scheduled_policy"], dict):
        whole["scheduled_policy"] = {k: v for k, v in whole["scheduled_policy"].items() if v is not ...}
    return {key: value for key, value in whole.items() if value is not ...}


def create(client: Client, schedule: dict[str, Any] | None = None, **fields: Any) -> str:
    answer = client.send("POST", POLICIES, body=body(schedule, **fields))
    assert answer.status == 200, answer
    assert list(answer.json()) == ["backup_policy_id"]
    return answer.json()["backup_policy_id"]


def listed(client: Client) -> list[dict[str, Any]]:
    answer = client.get(POLICIES)
    assert list(answer) == ["backup_policies"]
    return answer["backup_policies"]


def change(client: Client, policy_id: str, wanted: object) -> Any:
    return client.send("PUT", f"{POLICIES}/{policy_id}", body=wanted)


def associate(client: Client, policy_id: str, *volume_ids: str) -> dict[str, Any]:
    wanted = [{"resource_id": volume_id, "resource_type": "volume"} for volume_id in volume_ids]
    answer = client.send("POST", RESOURCES, body={"backup_policy_id": policy_id, "resources": wanted})
    assert answer.status == 200, answer
    return answer.json()


def short(value: Any) -> str:
    """The name of a test's case."""
    return repr(value)[:60]
