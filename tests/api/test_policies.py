"""backuppolicy on the wire: making, listing, changing and deleting, with every rule and code of the contract."""

from typing import Any

import pytest

from openvbs.actions.service import Service
from tests.api.conftest import ALPHA, BETA, BODY_BYTES_MAX
from tests.support.actions import add_volume
from tests.support.policy_wire import POLICIES, RESOURCES, UNKNOWN, associate, body, change, create, listed, short
from tests.support.wsgi import Client


def schedule_of(client: Client) -> dict[str, Any]:
    return listed(client)[0]["scheduled_policy"]


def test_a_policy_is_shown_as_it_was_made(alpha: Client, service: Service) -> None:
    assert listed(alpha) == []
    policy_id = create(
        alpha,
        {
            "rentention_num": ..., "rentention_day": 45, "start_time": "21:00, 23:00",
            "week_frequency": ["THU", "MON", "THU"],
        },
        time_zone="UTC+01:00",
    )  # fmt: skip
    associate(alpha, policy_id, add_volume(service, ALPHA))
    newer = create(
        alpha, {"frequency": 3, "remain_first_backup_of_curMonth": "Y", "status": "OFF"}, time_zone="Europe/Berlin"
    )
    assert listed(alpha) == [
        {
            "backup_policy_id": newer,
            "backup_policy_name": "nightly-db",
            "scheduled_policy": {
                "start_time": "21:00,23:00", "frequency": 3, "rentention_num": 14,
                "remain_first_backup_of_curMonth": "Y", "status": "OFF",
            },
            "policy_resource_count": 0,
            "time_zone": "Europe/Berlin",
        },
        {
            "backup_policy_id": policy_id,
            "backup_policy_name": "nightly-db",
            "scheduled_policy": {
                "start_time": "21:00, 23:00", "week_frequency": ["THU", "MON"], "rentention_day": 45,
                "remain_first_backup_of_curMonth": "N", "status": "ON",
            },
            "policy_resource_count": 1,
            "time_zone": "UTC+01:00",
        },
    ]  # fmt: skip
    assert alpha.get(f"{POLICIES}?limit=1&offset=7&limit=2") == {"backup_policies": listed(alpha)}


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        ({"frequency": 10.0}, {"frequency": 10}),
        ({"frequency": 30}, {"frequency": 30, "week_frequency": None}),
        ({"rentention_num": 99, "rentention_day": 5}, {"rentention_num": 99, "rentention_day": None}),
        ({"rentention_num": ..., "retention_num": 2}, {"rentention_num": 2}),
        ({"rentention_num": 2, "retention_num": 2}, {"rentention_num": 2}),
        ({"rentention_num": ..., "rentention_day": 2.9}, {"rentention_day": 2}),
        ({"rentention_num": ..., "retention_day": 99999}, {"rentention_day": 99999}),
        ({"remain_first_backup_of_curMonth": True}, {"remain_first_backup_of_curMonth": "Y"}),
        ({"remain_first_backup_of_curMonth": "true"}, {"remain_first_backup_of_curMonth": "Y"}),
        ({"remain_first_backup_of_curMonth": False}, {"remain_first_backup_of_curMonth": "N"}),
        ({"remain_first_backup_of_curMonth": None}, {"remain_first_backup_of_curMonth": "N"}),
        ({"start_time": " 00:00 ,12:00 "}, {"start_time": " 00:00 ,12:00 "}),
        ({"unknown": 1}, {}),
    ],
    ids=repr,
)
def test_what_is_taken_and_how_it_is_shown(alpha: Client, schedule: dict[str, Any], shown: dict[str, Any]) -> None:
    create(alpha, schedule, tags=[{"key": "k", "value": ""}], unknown=1)
    found = schedule_of(alpha)
    assert {key: found.get(key) for key in shown} == shown


BAD_SCHEDULES = [
    *[({"start_time": bad}, "0103") for bad in (..., None, "", 21, "21", "21:30", "21:00,", "21:00,21:00", "x" * 300)],
    ({"start_time": "23:00,21:00"}, "0103"),
    *[({"frequency": bad}, "0106") for bad in (0, 31, -1, 1.5, "1", True, [], {}, 10**400)],
    *[({"week_frequency": bad}, "0106") for bad in (..., [], "MON", ["mon"], ["MON", 1], ["FOO"], {"MON": 1})],
    ({"frequency": 1, "week_frequency": ["FOO"]}, "0106"),
    *[({"rentention_num": bad}, "0107") for bad in (..., 1, 100, "2", 2.5, True, [2], -3)],
    *[
        ({"rentention_num": ..., "rentention_day": bad}, "0107")
        for bad in (1, 1.99, 100000, "5", True, 1e300, 10**400, -1e300)
    ],
    ({"rentention_num": 5, "rentention_day": 1}, "0107"),
    ({"rentention_num": 5, "retention_num": 6}, "0107"),
    *[({"remain_first_backup_of_curMonth": bad}, "0105") for bad in ("y", "yes", 1, "", [])],
    *[({"status": bad}, "0104") for bad in (..., None, "on", "", 1, True, ["ON"])],
    *[({"time_zone": bad}, "0226") for bad in ("UTC+1:00", "UTC+15:00", "Nowhere", 1, "")],
]  # fmt: skip
BAD_FIELDS = [
    *[({"backup_policy_name": bad}, "0101") for bad in (..., None, "", "x" * 65)],
    *[({"backup_policy_name": bad}, "0102") for bad in ("sp ace", "ü", "default", "default-1", 5, ["a"], "a/b", "a\n")],
    *[({"time_zone": bad}, "0226") for bad in ("utc+01:00", "UTC+01:10", "UTC+14:15", 5, {}, "../etc/passwd")],
    *[({"tags": bad}, "0214") for bad in (
        "x", {}, [1], [{}], [{"key": "k"}], [{"key": "", "value": "v"}], [{"key": "k" * 37, "value": "v"}],
        [{"key": "k", "value": "v" * 44}], [{"key": "a=b", "value": ""}], [{"key": "k", "value": "a,b"}],
        [{"key": "k", "value": 1}], [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}],
    )],
    ({"tags": [{"key": f"k{n}", "value": ""} for n in range(11)]}, "0215"),
    *[({name: bad}, "0221") for name in ("backup_policy_name", "unknown") for bad in ("a<b", ">", ["<"], {"<": 1})],
    ({"scheduled_policy": {"start_time": "<"}}, "0221"),
    *[({"scheduled_policy": bad}, "0001") for bad in (..., None, {}, "x", [])],
]  # fmt: skip


def says_something(fields: dict[str, Any]) -> bool:
    """As a change, where what is not said stays, and tags are not taken."""
    return not {"tags", "scheduled_policy"} & fields.keys() and not {..., None} & set(map(_hashable, fields.values()))


def _hashable(value: Any) -> Any:
    return value if value in (..., None) else "something"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        *[(body(schedule), code) for schedule, code in BAD_SCHEDULES],
        *[(body(**fields), code) for fields, code in BAD_FIELDS],
        (None, "0000"),
        (b"  ", "0000"),
        (b"nope", "0008"),
        (b'{"a": 1e999}', "0008"),
        (b'{"a": "\\u0000"}', "0008"),
        (b"\xff", "0008"),
        ([], "0008"),
        ("text", "0008"),
        (b"[" * 5000, "0008"),
        (b'{"scheduled_policy":' * 900 + b"1" + b"}" * 900, "0101"),
        (b" " * (BODY_BYTES_MAX + 1), "0008"),
        ({}, "0001"),
        (body(time_zone="UTC+01:00", schedule={"time_zone": "UTC+02:00"}), "0226"),
        (body(time_zone="UTC+02:00", schedule={"start_time": "21:00,23:00"}), None),
        (body(time_zone="UTC+08:00", schedule={"start_time": "16:00,02:00"}), None),
        (body(time_zone="UTC+08:00", schedule={"start_time": "02:00,20:00,16:00"}), "0103"),
    ],
    ids=short,
)
def test_what_is_wrong_with_a_new_policy(alpha: Client, wanted: Any, code: str | None) -> None:
    answer = alpha.send("POST", POLICIES, body=wanted)
    if code is None:
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (400, f"AutoBackup.{code}")
    assert listed(alpha) == []


def test_the_first_rule_in_the_contracts_order_answers(alpha: Client) -> None:
    """With every field wrong, mending one after the other shows the next."""
    wrong: dict[str, Any] = body(
        {"start_time": "x", "frequency": 0, "rentention_num": 0, "remain_first_backup_of_curMonth": "x", "status": "x"},
        backup_policy_name="-" * 65,
        time_zone="x",
        tags="x",
        more="<",
    )
    schedule = wrong["scheduled_policy"]
    seen = []
    for target, key, right in (
        (wrong, "more", "-"),
        (wrong, "backup_policy_name", "name"),
        (schedule, "start_time", "01:00"),
        (schedule, "frequency", 1),
        (schedule, "rentention_num", 2),
        (schedule, "remain_first_backup_of_curMonth", "N"),
        (schedule, "status", "ON"),
        (wrong, "time_zone", "UTC+00:00"),
        (wrong, "tags", []),
    ):
        seen.append(alpha.send("POST", POLICIES, body=wrong).code)
        target[key] = right
    assert [str(code)[-4:] for code in seen] == ["0221", "0101", "0103", "0106", "0107", "0105", "0104", "0226", "0214"]
    assert alpha.send("POST", POLICIES, body=wrong).status == 200


def test_a_project_has_so_many_policies(alpha: Client, beta: Client) -> None:
    for _ in range(10):
        create(alpha)
    answer = alpha.send("POST", POLICIES, body=body())
    assert (answer.status, answer.code) == (403, "AutoBackup.0203")
    assert alpha.send("POST", POLICIES, body=body(backup_policy_name="")).code == "AutoBackup.0101", "rules come first"
    create(beta)


def test_changes_are_merged(alpha: Client) -> None:
    policy_id = create(alpha, {"remain_first_backup_of_curMonth": "Y"}, time_zone="UTC+01:00")
    before = listed(alpha)[0]
    for nothing in ({"scheduled_policy": {}}, {"scheduled_policy": None, "x": 1}, {"backup_policy_id": policy_id}):
        answer = change(alpha, policy_id.upper(), nothing)
        assert (answer.status, answer.json()) == (200, {"backup_policy_id": policy_id})
        assert listed(alpha)[0] == before
    change(alpha, policy_id, {"scheduled_policy": {"status": "OFF"}, "tags": "ignored"})
    assert schedule_of(alpha) == {**before["scheduled_policy"], "status": "OFF"}
    change(alpha, policy_id, {"scheduled_policy": {"frequency": 2}, "backup_policy_name": "new.name"})
    found = listed(alpha)[0]
    assert found["backup_policy_name"] == "new.name"
    assert (found["scheduled_policy"]["frequency"], "week_frequency" in found["scheduled_policy"]) == (2, False)
    change(alpha, policy_id, {"scheduled_policy": {"week_frequency": ["SUN"], "rentention_day": 9}})
    found = schedule_of(alpha)
    assert (found["week_frequency"], "frequency" in found) == (["SUN"], False)
    assert (found["rentention_day"], "rentention_num" in found) == (9, False)
    change(alpha, policy_id, {"scheduled_policy": {"frequency": 1, "week_frequency": ["SUN"]}})
    assert "week_frequency" not in schedule_of(alpha)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        *[({"scheduled_policy": said}, code) for said, code in BAD_SCHEDULES if says_something(said)],
        *[(said, code) for said, code in BAD_FIELDS if says_something(said)],
        (None, "0000"),
        (b"nope", "0008"),
        ([], "0008"),
        ({}, "0001"),
        ({"scheduled_policy": []}, "0001"),
        ({"time_zone": "UTC+07:00"}, "0103"),
    ],
    ids=short,
)  # fmt: skip
def test_what_is_wrong_with_a_change(alpha: Client, wanted: Any, code: str) -> None:
    policy_id = create(alpha, {"start_time": "16:00,02:00"}, time_zone="UTC+08:00")
    before = listed(alpha)
    answer = change(alpha, policy_id, wanted)
    assert (answer.status, answer.code) == (400, f"AutoBackup.{code}")
    assert listed(alpha) == before


def test_unknown_policies(alpha: Client, beta: Client, service: Service) -> None:
    policy_id = create(alpha)
    resources = {"resources": [{"resource_id": add_volume(service, BETA), "resource_type": "volume"}]}
    calls = {
        ("PUT", POLICIES + "/{}"): ({"scheduled_policy": {}}, "0205"),
        ("DELETE", POLICIES + "/{}"): (None, "0205"),
        ("POST", POLICIES + "/{}/action"): (None, "0205"),
        ("POST", POLICIES + "/{}/tags"): ({"tag": {"key": "k", "value": "v"}}, "0205"),
        ("POST", POLICIES + "/{}/tags/action"): ({"action": "create"}, "0205"),
        ("DELETE", POLICIES + "/{}/tags/k"): (None, "0205"),
        ("DELETE", POLICIES + "/{}/tags/action"): (None, "0205"),
        ("POST", RESOURCES + "/{}/deleted_resources"): (resources, "0205"),
        ("GET", POLICIES + "/{}/tags"): (None, "1100"),
        ("GET", POLICIES + "/{}/backuptasks"): (None, "1100"),
        ("GET", POLICIES + "/{}/retention-preview"): (None, "1100"),
    }
    for (method, path), (wanted, code) in calls.items():
        answers = {}
        for policy in (policy_id, UNKNOWN, "not-an-id"):
            answer = beta.send(method, path.replace("{}", policy), body=wanted)
            assert (answer.status, answer.code) == (404, f"AutoBackup.{code}"), (method, path)
            answers[policy] = answer.body.replace(policy.encode(), b"")
        assert len(set(answers.values())) == 1, "a stranger's answer for one that is and one that never was"
    for policy in (policy_id, UNKNOWN, "not-an-id"):
        answer = beta.send("POST", RESOURCES, body={"backup_policy_id": policy, **resources})
        assert (answer.status, answer.code) == (404, "AutoBackup.0205")
    assert beta.get(POLICIES) == {"backup_policies": []}
    assert len(listed(alpha)) == 1


def test_methods_routes_and_roles(alpha: Client, reader: Client, beta: Client, admin: Client) -> None:
    policy_id = create(alpha)
    answer = alpha.send("GET", f"{POLICIES}/{policy_id}")
    assert (answer.status, answer.code, answer.headers["allow"]) == (405, "AutoBackup.0008", "PUT, DELETE")
    answer = alpha.send("GET", f"{POLICIES}/{policy_id}/nothing")
    assert (answer.status, answer.code) == (404, "AutoBackup.0008")
    assert (answer := alpha.send("GET", POLICIES, Accept="text/html")).status == 406
    assert answer.code == "AutoBackup.0008"
    answer = reader.send("POST", POLICIES, body=body())
    assert (answer.status, answer.code) == (403, "AutoBackup.0213")
    assert len(listed(reader)) == 1
    answer = Client(beta.app, beta.project_id).send("GET", f"/v2/{ALPHA}/backuppolicy")
    assert (answer.status, answer.code) == (403, "AutoBackup.0213")
    assert [row["backup_policy_id"] for row in admin.get(f"/v2/{ALPHA}/backuppolicy")["backup_policies"]] == [policy_id]


def test_deleting_a_policy(alpha: Client, service: Service) -> None:
    policy_id = create(alpha, tags=[{"key": "k", "value": "v"}])
    volume = add_volume(service, ALPHA)
    associate(alpha, policy_id, volume)
    answer = alpha.send("DELETE", f"{POLICIES}/{policy_id}")
    assert (answer.status, answer.body, "content-type" in answer.headers) == (204, b"", False)
    assert alpha.send("DELETE", f"{POLICIES}/{policy_id}").code == "AutoBackup.0205"
    assert alpha.get(f"{POLICIES}/tags") == {"tags": []}
    other = create(alpha)
    assert associate(alpha, other, volume)["fail_resources"] == []


def test_a_standing_share_is_shown_where_there_is_one(alpha: Client) -> None:
    plain = create(alpha, share_with=[])
    sharing = create(alpha, share_with=[BETA, "some-project", BETA])
    shown = {policy["backup_policy_id"]: policy for policy in listed(alpha)}
    assert shown[sharing]["share_with"] == [BETA, "some-project"]
    assert "share_with" not in shown[plain]
    assert change(alpha, plain, {"share_with": [BETA]}).status == 200
    assert change(alpha, sharing, {"share_with": []}).status == 200
    assert change(alpha, plain, {"share_with": None, "backup_policy_name": "renamed"}).status == 200
    shown = {policy["backup_policy_id"]: policy for policy in listed(alpha)}
    assert (shown[plain].get("share_with"), shown[sharing].get("share_with")) == ([BETA], None)


@pytest.mark.parametrize(
    "value", [BETA, {}, 1, [1], [None], [""], ["a b"], ["x" * 65], ["p"] * 101, [BETA, ALPHA]], ids=short
)
def test_what_is_no_standing_share(alpha: Client, value: Any) -> None:
    answer = alpha.send("POST", POLICIES, body=body(share_with=value))
    assert (answer.status, answer.code) == (400, "AutoBackup.0008")
    assert "share_with" in answer.json()["error"]["message"]
    policy_id = create(alpha)
    assert change(alpha, policy_id, {"share_with": value}).code == "AutoBackup.0008"
    assert "share_with" not in listed(alpha)[0]
