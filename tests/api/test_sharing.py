"""os-vendor-backup-sharing on the wire. The decision table of cancelling is walked end to end in tests/e2e."""

from typing import Any

import pytest

from openvbs.actions.service import Service
from tests.api.conftest import ALPHA, BETA, GAMMA, PUBLIC_URL
from tests.support.actions import add_backup
from tests.support.native import at
from tests.support.wsgi import Client

SHARING = "/v2/{p}/os-vendor-backup-sharing"
UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"
T6 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"


def share(owner: Client, backup: str, *projects: str) -> list[dict[str, Any]]:
    body = {"shared": {"backup_id": backup, "to_project_ids": list(projects)}}
    answer = owner.send("POST", SHARING, body=body)
    assert answer.status == 200, answer
    return answer.json()["shared"]


def listed(client: Client, query: str = "") -> list[str]:
    return [row["id"] for row in client.get(f"{SHARING}/detail{query}")["shared"]]


def test_sharing_answers_one_row_per_project_in_request_order(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    rows = share(alpha, backup.upper(), GAMMA, BETA, GAMMA)
    assert [row["to_project_id"] for row in rows] == [GAMMA, BETA]
    assert set(rows[0]) == {
        "id", "backup_id", "from_project_id", "to_project_id", "created_at", "updated_at", "deleted", "deleted_at"
    }  # fmt: skip
    assert (rows[0]["deleted"], rows[0]["deleted_at"], rows[0]["from_project_id"]) == (None, None, ALPHA)
    assert share(alpha, backup, BETA)[0]["id"] == rows[1]["id"], "sharing again keeps the live share"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "VolumeBackup.0002"),
        (b"nope", "VolumeBackup.0002"),
        ({"shared": 1}, "VolumeBackup.0002"),
        ({"shared": {}}, "VolumeBackup.0203"),
        ({"shared": {"backup_id": "", "to_project_ids": 1}}, "VolumeBackup.0203"),
        ({"shared": {"backup_id": None}}, "VolumeBackup.0203"),
        ({"shared": {"backup_id": "x", "to_project_ids": 1}}, "VolumeBackup.0204"),
        ({"shared": {"backup_id": 1}}, "VolumeBackup.0204"),
        ({"shared": {"backup_id": UNKNOWN}}, "VolumeBackup.0002"),
        *[
            ({"shared": {"backup_id": UNKNOWN, "to_project_ids": projects}}, "VolumeBackup.0002")
            for projects in (None, "x", {}, [], [1], [""], ["sp ace"], ["x" * 65], ["a\n"], ["p"] * 101, [BETA, ALPHA])
        ],
    ],
    ids=lambda value: repr(value)[:70],
)
def test_what_is_wrong_with_a_request_to_share(alpha: Client, body: Any, code: str) -> None:
    answer = alpha.send("POST", SHARING, body=body)
    assert (answer.status, answer.code) == (400, code)


def test_who_may_share_what(alpha: Client, beta: Client, gamma: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    body = {"shared": {"backup_id": backup, "to_project_ids": ["e" * 32]}}
    share(alpha, backup, BETA)
    assert (answer := beta.send("POST", SHARING, body=body)).status == 403
    assert answer.code == "VolumeBackup.0042"
    assert (answer := gamma.send("POST", SHARING, body=body)).status == 404
    assert answer.code == "VolumeBackup.0110"
    creating = add_backup(service, ALPHA, status="creating")
    body["shared"]["backup_id"] = creating
    assert (answer := alpha.send("POST", SHARING, body=body)).status == 409
    assert answer.code == "VolumeBackup.0089"


def test_a_recipient_sees_less_than_the_owner(alpha: Client, beta: Client, gamma: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    (row,) = share(alpha, backup, BETA)
    of_owner = alpha.get(f"{SHARING}/{row['id']}")["shared"]
    of_recipient = beta.get(f"{SHARING}/{row['id'].upper()}")["shared"]
    assert of_owner["backup"]["service_metadata"] == (
        '{"bootable":true,"progress":100,"Type":0,"ST":0,"DL":3,"BackupSize":0}'
    )
    assert of_recipient["backup"]["service_metadata"] == '{"bootable":true,"progress":100,"Type":0,"ST":0}'
    for shown in (of_owner, of_recipient):
        del shown["backup"]["service_metadata"]
    assert of_owner == of_recipient
    assert set(of_owner["backup"]) == {
        "id", "name", "status", "description", "availability_zone", "volume_id", "snapshot_id", "size", "object_count",
        "container", "fail_reason", "created_at", "updated_at", "data_timestamp", "is_incremental",
        "has_dependent_backups",
    }  # fmt: skip
    assert listed(beta, "?share_to_me=true") == [row["id"]]
    assert listed(beta) == listed(gamma) == listed(gamma, "?share_to_me=True") == []
    stranger = gamma.send("GET", f"{SHARING}/{row['id']}")
    never = gamma.send("GET", f"{SHARING}/{UNKNOWN}")
    assert stranger.status == never.status == 404
    assert stranger.body.replace(row["id"].encode(), b"") == never.body.replace(UNKNOWN.encode(), b"")


def test_get_wants_a_sharing_id(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    share(alpha, backup, BETA)
    assert alpha.send("GET", f"{SHARING}/{backup}").code == "VolumeBackup.0110"
    assert alpha.send("GET", f"{SHARING}/x").code == "VolumeBackup.0204"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("share_to_me=", 400, "VolumeBackup.0002"),
        ("share_to_me=1", 400, "VolumeBackup.0002"),
        ("share_to_me=true&share_to_me=true", 400, "VolumeBackup.0002"),
        ("limit=-1", 400, "VolumeBackup.0002"),
        ("limit=%201", 400, "VolumeBackup.0002"),
        ("limit=1.0", 400, "VolumeBackup.0002"),
        ("limit=99999999999", 400, "VolumeBackup.0002"),
        ("limit=2147483648", 400, "VolumeBackup.0002"),
        ("limit=%D9%A1", 400, "VolumeBackup.0002"),
        ("offset=x", 400, "VolumeBackup.0002"),
        ("sort_key=secret", 400, "VolumeBackup.0002"),
        ("sort_dir=up", 400, "VolumeBackup.0002"),
        ("availability_zone=a&avalilability_zone=b", 400, "VolumeBackup.0002"),
        ("name=%00", 400, "VolumeBackup.0002"),
        ("name=%FF", 400, "VolumeBackup.0002"),
        (f"marker={UNKNOWN}", 404, "VolumeBackup.0110"),
    ],
)
def test_query_values_that_are_wrong(alpha: Client, query: str, status: int, code: str) -> None:
    answer = alpha.send("GET", f"{SHARING}/detail?{query}")
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    "query",
    [
        "limit=5000", "limit=2147483647", "sort_key=container_format", "sort_dir=asc", "name=", "unknown=1",
        "availability_zone=nova&avalilability_zone=nova", "Share_To_Me=1", "backup_id=not-an-id", "status=weird",
        f"backup_id={UNKNOWN}",
    ],
)  # fmt: skip
def test_query_values_that_are_fine(alpha: Client, query: str) -> None:
    assert alpha.get(f"{SHARING}/detail?{query}") == {"shared": []}


def test_pages_give_every_row_once_and_end(alpha: Client, service: Service) -> None:
    ids = [share(alpha, add_backup(service, ALPHA), BETA)[0]["id"] for _ in range(5)]
    assert alpha.get(f"{SHARING}/detail?limit=0") == {"shared": []}
    seen: list[str] = []
    target = f"{SHARING}/detail?limit=2&offset=0&name=b&sort_dir=asc"
    while target:
        page = alpha.get(target)
        seen += [row["id"] for row in page["shared"]]
        (link,) = page.get("shared_links", [{"href": ""}])
        href = link["href"]
        if href:
            assert link["rel"] == "next"
            base = f"{PUBLIC_URL}/v2/{ALPHA}/os-vendor-backup-sharing/detail"
            assert href == f"{base}?limit=2&name=b&sort_dir=asc&marker={seen[-1]}"
        target = href.removeprefix(PUBLIC_URL)
    assert seen == ids
    assert alpha.get(f"{SHARING}/count?limit=2&sort_key=nonsense&marker=x") == {"count": 5}
    assert alpha.send("GET", f"{SHARING}/count?share_to_me=1").code == "VolumeBackup.0002"


def test_filters_narrow_and_never_widen(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    row_b, row_c = share(alpha, backup, BETA, GAMMA)
    assert listed(alpha, f"?to_project_id={GAMMA}") == [row_c["id"]]
    assert listed(beta, f"?share_to_me=true&to_project_id={GAMMA}") == []
    assert listed(beta, f"?share_to_me=true&from_project_id={ALPHA}&backup_id={backup.upper()}") == [row_b["id"]]
    assert listed(alpha, "?name=%25") == []
    assert len(listed(alpha, "?name=B&status=available&avalilability_zone=nova")) == 2
    assert listed(alpha, "?status=creating") == []


@pytest.mark.parametrize("value", ["", "1", "0", "yes", "t", "%20true", "null", "true&is_backup_id=true"])
def test_a_flag_that_is_neither_true_nor_false_is_400_before_the_id(alpha: Client, value: str) -> None:
    answer = alpha.send("DELETE", f"{SHARING}/not-an-id?is_backup_id={value}")
    assert (answer.status, answer.code) == (400, "VolumeBackup.0002")


@pytest.mark.parametrize("bad", ["x", UNKNOWN.replace("-", ""), f"{UNKNOWN}0", "%20", "%FF%00"])
def test_an_id_that_is_no_uuid_is_400(alpha: Client, bad: str) -> None:
    for query in ("", "?is_backup_id=true"):
        answer = alpha.send("DELETE", f"{SHARING}/{bad}{query}")
        assert (answer.status, answer.code) == (400, "VolumeBackup.0204")


@pytest.mark.parametrize(
    "target", [SHARING, f"{SHARING}/", f"{SHARING}?is_backup_id=true", f"{SHARING}/?is_backup_id=true"]
)
def test_without_an_id_nothing_is_cancelled(alpha: Client, service: Service, target: str) -> None:
    share(alpha, add_backup(service, ALPHA), BETA)
    answer = alpha.send("DELETE", target)
    assert (answer.status, answer.code) == (400, "VolumeBackup.0203")
    assert alpha.get(f"{SHARING}/count") == {"count": 1}


@pytest.mark.parametrize(
    "query", ["", "?is_backup_id=false", "?is_backup_id=FALSE", "?Is_Backup_Id=true", "?isbackupid=true"]
)
def test_false_cancels_the_one_share(alpha: Client, service: Service, query: str) -> None:
    backup = add_backup(service, ALPHA)
    first, second = share(alpha, backup, BETA, GAMMA)
    assert alpha.send("DELETE", f"{SHARING}/{backup}{query}").code == "VolumeBackup.0110"
    answer = alpha.send("DELETE", f"{SHARING}/{first['id'].upper()}{query}", body=b'{"is_backup_id": true}')
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    assert listed(alpha) == [second["id"]]
    again = alpha.send("DELETE", f"{SHARING}/{first['id']}{query}")
    assert (again.status, again.json()) == (
        404,
        {"error": {"code": "VolumeBackup.0110", "message": f"No backup sharing {first['id']}."}},
    )


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_true_cancels_all_shares_of_the_backup(alpha: Client, beta: Client, service: Service, value: str) -> None:
    backup = add_backup(service, ALPHA)
    first, _ = share(alpha, backup, BETA, GAMMA)
    assert alpha.send("DELETE", f"{SHARING}/{first['id']}?is_backup_id={value}").code == "VolumeBackup.0110"
    assert beta.send("DELETE", f"{SHARING}/{backup}?is_backup_id={value}").code == "VolumeBackup.0042"
    for _ in range(2):
        assert alpha.send("DELETE", f"{SHARING}/{backup}?is_backup_id={value}").status == 200
    assert listed(alpha) == listed(beta, "?share_to_me=true") == []
    missing = beta.send("DELETE", f"{SHARING}/{backup}?is_backup_id={value}")
    assert missing.json() == {"error": {"code": "VolumeBackup.0110", "message": f"No backup {backup}."}}
    assert beta.send("GET", f"/v2/{{p}}/backups/{backup}").status == 404


def test_what_the_audit_tells_the_owner(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    (row,) = share(alpha, backup, BETA)
    assert beta.send("DELETE", f"{SHARING}/{row['id']}").status == 200
    events = alpha.get(f"/v2/{{p}}/audit-events?share_id={row['id'].upper()}&limit=1")
    (event,) = events["audit_events"]
    assert (event["action"], event["actor_project_id"], event["to_project_id"]) == ("share.decline", BETA, BETA)
    (link,) = events["audit_events_links"]
    (first,) = alpha.get(link["href"].removeprefix(PUBLIC_URL))["audit_events"]
    assert first["action"] == "share.create"
    assert beta.get("/v2/{p}/audit-events")["audit_events"] == []


def test_an_empty_name_is_no_filter(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    nameless = alpha.send("PUT", f"/v3/{{p}}/backups/{backup}", body={"backup": {"name": None}}, **at("3.9"))
    assert nameless.status == 200
    (row,) = share(alpha, backup, BETA)
    for who, to_me in ((alpha, "false"), (beta, "true")):
        assert listed(who, f"?name=&share_to_me={to_me}") == [row["id"]]
        assert who.get(f"{SHARING}/count?name=&share_to_me={to_me}") == {"count": 1}
