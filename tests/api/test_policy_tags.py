"""Tags of policies on the wire, and the query for policies by their tags."""

from typing import Any

import pytest

from openvbs.actions.service import Service
from openvbs.jobs.scheduler import Scheduler
from tests.api.conftest import ALPHA
from tests.support.actions import add_volume
from tests.support.policy_wire import POLICIES, associate, create, short
from tests.support.wsgi import Client

QUERY = f"{POLICIES}/resource_instances/action"


def tags(**values: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def of(client: Client, policy_id: str) -> dict[str, str]:
    found = client.get(f"{POLICIES}/{policy_id}/tags")
    assert list(found) == ["tags"]
    assert [tag["key"] for tag in found["tags"]] == sorted(tag["key"] for tag in found["tags"])
    return {tag["key"]: tag["value"] for tag in found["tags"]}


def add(client: Client, policy_id: str, tag: object) -> Any:
    return client.send("POST", f"{POLICIES}/{policy_id}/tags", body={"tag": tag})


def batch(client: Client, policy_id: str, body: object) -> Any:
    return client.send("POST", f"{POLICIES}/{policy_id}/tags/action", body=body)


@pytest.fixture
def policy(alpha: Client) -> str:
    return create(alpha, tags=tags(team="core", tier=""))


def test_adding_replacing_and_removing(alpha: Client, policy: str) -> None:
    assert of(alpha, policy) == {"team": "core", "tier": ""}
    answer = add(alpha, policy, {"key": "team", "value": "billing"})
    assert (answer.status, answer.body) == (204, b"")
    assert add(alpha, policy, {"key": "Ü .", "value": "ß #%"}).status == 204
    assert of(alpha, policy) == {"team": "billing", "tier": "", "Ü .": "ß #%"}
    answer = alpha.send("DELETE", f"{POLICIES}/{policy}/tags/Ü .")
    assert (answer.status, answer.body) == (204, b"")
    answer = alpha.send("DELETE", f"{POLICIES}/{policy}/tags/Ü .")
    assert (answer.status, answer.code) == (404, "AutoBackup.0216")
    assert of(alpha, policy) == {"team": "billing", "tier": ""}


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("a/b", 404, "0216"),
        ("k" * 128, 400, "0214"),
        ("k" * 127, 404, "0216"),
        ("action", 404, "0216"),
        ("\0", 404, "0216"),
        ("a\0b", 404, "0216"),
    ],
)
def test_removing_what_is_not_there(alpha: Client, policy: str, key: str, status: int, code: str) -> None:
    answer = alpha.send("DELETE", f"{POLICIES}/{policy}/tags/{key}")
    assert (answer.status, answer.code) == (status, f"AutoBackup.{code}")


def test_a_tag_may_be_called_action(alpha: Client, policy: str) -> None:
    add(alpha, policy, {"key": "action", "value": "1"})
    assert alpha.send("DELETE", f"{POLICIES}/{policy}/tags/action").status == 204
    assert "action" not in of(alpha, policy)
    assert alpha.send("DELETE", f"{POLICIES}/{policy}/tags/").status == 404


BAD_TAGS = [
    {}, {"key": "k"}, {"value": "v"}, {"key": "", "value": "v"}, {"key": "k" * 37, "value": ""},
    {"key": 1, "value": ""}, {"key": "k", "value": "v" * 44}, {"key": "k", "value": None}, {"key": "a=b", "value": ""},
    {"key": "k", "value": "a|b"}, {"key": "a\tb", "value": ""}, {"key": "a/b", "value": ""},
    {"key": "a\\b", "value": ""}, {"key": "a*", "value": ""}, {"key": "a,b", "value": ""},
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        *[({"tag": tag}, "0214") for tag in BAD_TAGS],
        (None, "0000"),
        (b"x", "0008"),
        ([], "0008"),
        ({}, "0001"),
        ({"tag": None}, "0001"),
        ({"tag": []}, "0001"),
        ({"tag": {"key": "<", "value": ""}}, "0221"),
    ],
    ids=short,
)
def test_what_is_wrong_with_a_tag(alpha: Client, policy: str, body: object, code: str) -> None:
    answer = alpha.send("POST", f"{POLICIES}/{policy}/tags", body=body)
    assert (answer.status, answer.code) == (400, f"AutoBackup.{code}")
    assert of(alpha, policy) == {"team": "core", "tier": ""}


def test_ten_tags_are_the_most(alpha: Client) -> None:
    policy = create(alpha, tags=tags(**{f"k{n}": "" for n in range(10)}))
    answer = add(alpha, policy, {"key": "more", "value": ""})
    assert (answer.status, answer.code) == (400, "AutoBackup.0215")
    assert add(alpha, policy, {"key": "k3", "value": "new"}).status == 204
    answer = batch(alpha, policy, {"action": "create", "tags": tags(k1="x", more="")})
    assert (answer.status, answer.code) == (400, "AutoBackup.0215")
    assert of(alpha, policy)["k1"] == "", "all or none"


def test_batches(alpha: Client, policy: str) -> None:
    for action in ("create", "update", "delete"):
        for nothing in ({}, {"tags": None}, {"tags": []}):
            answer = batch(alpha, policy, {"action": action, **nothing})
            assert (answer.status, answer.body) == (204, b"")
    assert of(alpha, policy) == {"team": "core", "tier": ""}
    batch(alpha, policy, {"action": "create", "tags": tags(team="a", new="b")})
    batch(alpha, policy, {"action": "update", "tags": tags(tier="c", newer="d")})
    assert of(alpha, policy) == {"team": "a", "new": "b", "tier": "c", "newer": "d"}
    gone = [{"key": "team", "value": "another value"}, {"key": "tier"}, {"key": "k" * 127, "value": "v" * 255}]
    assert batch(alpha, policy, {"action": "delete", "tags": gone}).status == 204
    assert of(alpha, policy) == {"new": "b", "newer": "d"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "0000"),
        (b"x", "0008"),
        ([], "0008"),
        *[({"action": action, "tags": "x"}, "0222") for action in (..., None, "", "Create", "remove", 1, ["create"])],
        ({"action": "<"}, "0221"),
        *[({"action": "create", "tags": [tag]}, "0214") for tag in BAD_TAGS],
        *[({"action": "update", "tags": bad}, "0214") for bad in ("x", {}, [1], tags(a="1") + tags(a="2"))],
        *[
            ({"action": "delete", "tags": [bad]}, "0214")
            for bad in (
                {},
                {"key": ""},
                {"key": "k" * 128},
                {"key": "k", "value": "v" * 256},
                {"key": "a=b"},
                {"key": 1},
            )
        ],
        ({"action": "delete", "tags": [{"key": "team"}, {"key": "team"}]}, "0214"),
    ],
    ids=short,
)
def test_what_is_wrong_with_a_batch(alpha: Client, policy: str, body: Any, code: str) -> None:
    if isinstance(body, dict):
        body = {key: value for key, value in body.items() if value is not ...}
    answer = batch(alpha, policy, body)
    assert (answer.status, answer.code) == (400, f"AutoBackup.{code}")
    assert of(alpha, policy) == {"team": "core", "tier": ""}


def test_all_tags_of_a_project(alpha: Client, beta: Client, policy: str) -> None:
    create(alpha, tags=tags(team="billing", zone="z"))
    create(alpha, tags=tags(team="core"))
    create(beta, tags=tags(secret="s"))
    assert alpha.get(f"{POLICIES}/tags") == {
        "tags": [
            {"key": "team", "values": ["billing", "core"]},
            {"key": "tier", "values": [""]},
            {"key": "zone", "values": ["z"]},
        ]
    }
    assert beta.get(f"{POLICIES}/tags") == {"tags": [{"key": "secret", "values": ["s"]}]}
    answer = alpha.send("POST", f"{POLICIES}/tags", body={})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_backups_carry_the_tags_that_the_policy_has_then(alpha: Client, service: Service, policy: str) -> None:
    associate(alpha, policy, add_volume(service, ALPHA))
    alpha.send("POST", f"{POLICIES}/{policy}/action")
    add(alpha, policy, {"key": "team", "value": "late"})
    Scheduler(service).look()
    (job,) = service.queue.jobs
    with service.database.read() as connection:
        found = connection.exec_driver_sql("SELECT tags FROM backups").scalar()
    assert job.kind == "bksCreateBackup"
    assert str(found).replace("'", '"') == '{"team": "late", "tier": ""}'


@pytest.fixture
def four(alpha: Client, beta: Client) -> dict[str, str]:
    """Policies by id with their names."""
    create(beta, backup_policy_name="foreign", tags=tags(team="core"))
    wanted = {
        "web": {"team": "core", "tier": "1"},
        "db": {"team": "core", "tier": "2"},
        "mail": {"team": "it"},
        "Web-2": {},
    }
    return {create(alpha, backup_policy_name=name, tags=tags(**its)): name for name, its in wanted.items()}


def sets(**values: list[str]) -> list[dict[str, Any]]:
    return [{"key": key, "values": its} for key, its in values.items()]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ({}, "Web-2 mail db web"),
        ({"tags": []}, "Web-2 mail db web"),
        ({"tags": None}, "Web-2 mail db web"),
        ({"tags": sets(team=["core"])}, "db web"),
        ({"tags": sets(team=["core", "it"])}, "mail db web"),
        ({"tags": sets(team=[])}, "mail db web"),
        ({"tags": sets(team=["core"], tier=["1"])}, "web"),
        ({"tags": sets(team=["core"], tier=["3"])}, ""),
        ({"tags_any": sets(team=["it"], tier=["1"])}, "mail web"),
        ({"not_tags": sets(team=["core"], tier=["1"])}, "Web-2 mail db"),
        ({"not_tags_any": sets(team=["it"], tier=["1"])}, "Web-2 db"),
        ({"not_tags_any": sets(team=[])}, "Web-2"),
        ({"matches": [{"key": "resource_name", "value": "WEB"}]}, "Web-2 web"),
        ({"matches": [{"key": "resource_name", "value": ""}]}, "Web-2 mail db web"),
        ({"matches": [{"key": "resource_name", "value": "eb"}, {"key": "resource_name", "value": "-"}]}, "Web-2"),
        (
            {
                "tags": sets(team=["core"]), "not_tags": sets(tier=["2"]),
                "matches": [{"key": "resource_name", "value": "w"}],
            },
            "web",
        ),
        ({"limit": "2"}, "Web-2 mail"),
        ({"limit": 2, "offset": "1"}, "mail db"),
        ({"offset": 9}, ""),
    ],
    ids=short,
)  # fmt: skip
def test_finding_policies(
    alpha: Client, reader: Client, four: dict[str, str], condition: dict[str, Any], names: str
) -> None:
    answer = reader.send("POST", QUERY, body={"action": "filter", **condition})
    assert answer.status == 200, answer
    found = answer.json()
    assert [four[row["resource_id"]] for row in found["resources"]] == names.split()
    assert [row["resource_name"] for row in found["resources"]] == names.split()
    unpaged = {key: value for key, value in condition.items() if key not in {"limit", "offset"}}
    count = alpha.send("POST", QUERY, body={"action": "count", "limit": "x", **unpaged}).json()
    assert count == {"total_count": found["total_count"]}
    assert found["total_count"] == (len(names.split()) if unpaged == condition else 4)


def test_what_is_found_is_shown_with_its_tags(alpha: Client, policy: str) -> None:
    answer = alpha.send("POST", QUERY, body={"action": "filter"})
    assert answer.json() == {
        "total_count": 1,
        "resources": [
            {
                "resource_id": policy,
                "resource_name": "nightly-db",
                "resource_detail": None,
                "tags": tags(team="core", tier=""),
            }
        ],
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "0000"),
        (b"x", "0008"),
        ([], "0008"),
        *[({"action": action}, "0222") for action in (..., None, "FILTER", "", 1)],
        ({"action": "filter", "tags": sets(**{"<": []})}, "0221"),
        *[
            ({"action": "filter", name: bad}, "0214")
            for name in ("tags", "tags_any", "not_tags", "not_tags_any")
            for bad in (
                "x", [1], [{}], [{"key": "k"}], [{"key": "", "values": []}], [{"key": "k" * 128, "values": []}],
                [{"key": "k", "values": ["v" * 256]}], [{"key": "k", "values": [1]}],
                [{"key": "k", "values": ["a", "a"]}],
                [{"key": "k", "values": [str(n) for n in range(11)]}], [{"key": "k", "values": None}],
                sets(k=["1"]) + sets(k=["2"]), sets(**{f"k{n}": [] for n in range(11)}),
            )
        ],
        *[({"action": "count", name: []}, "0214") for name in ("tags_any", "not_tags", "not_tags_any")],
        *[
            ({"action": "filter", "matches": bad}, "0214")
            for bad in (
                "x", [1], [{"key": "name", "value": "x"}], [{"key": "resource_name"}],
                [{"key": "resource_name", "value": 1}],
            )
        ],
        *[
            ({"action": "filter", "limit": bad}, "0214")
            for bad in ("0", 0, "1001", "x", "-1", 1.5, True, "", "٣", "1" * 5000)
        ],
        *[({"action": "filter", "offset": bad}, "0214") for bad in ("-1", "x", -1, 2**31, [], "")],
    ],
    ids=short,
)  # fmt: skip
def test_what_is_wrong_with_a_query(alpha: Client, body: Any, code: str) -> None:
    if isinstance(body, dict):
        body = {key: value for key, value in body.items() if value is not ...}
    answer = alpha.send("POST", QUERY, body=body)
    assert (answer.status, answer.code) == (400, f"AutoBackup.{code}")
