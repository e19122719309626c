"""Tags that backups are made with: shown to the owner, and what v2 lists can be filtered by."""

from urllib.parse import quote

import pytest

from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from tests.api.conftest import ALPHA, BETA
from tests.support.actions import add_backup, add_volume, caller
from tests.support.wsgi import Client

CLOUD = "/v2/{p}/cloudbackups"
UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"


def test_tags_are_kept_and_shown_to_the_owner_alone(
    alpha: Client, beta: Client, gamma: Client, reader: Client, service: Service
) -> None:
    tags = [{"key": "tier", "value": ""}, {"key": 'a"$[0].b', "value": "x y"}]
    wanted = {"volume_id": add_volume(service, ALPHA), "name": "n", "tags": tags}
    job_id = alpha.send("POST", CLOUD, body={"backup": wanted}).json()["job_id"]
    backup_id = alpha.get(f"/v2/{{p}}/jobs/{job_id}")["entities"]["backup_id"]
    shown = {"tags": tags[::-1]}
    assert alpha.get(f"{CLOUD}/{backup_id.upper()}/tags") == shown
    assert reader.get(f"{CLOUD}/{backup_id}/tags") == shown
    with service.database.write() as connection:
        connection.exec_driver_sql("UPDATE backups SET status = 'available'")
    share_backup(service, caller(ALPHA), backup_id, [BETA])
    for client, wanted_id, status, code in (
        (beta, backup_id, 403, "0042"),
        (gamma, backup_id, 404, "0110"),
        (gamma, UNKNOWN, 404, "0110"),
        (alpha, "no-id", 400, "0204"),
        (alpha, "", 400, "0203"),
    ):
        answer = client.send("GET", f"{CLOUD}/{wanted_id}/tags")
        assert (answer.status, answer.code) == (status, f"VolumeBackup.{code}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("team=core", "ab"),
        ("team", "abc"),
        ("team=core,tier=", "a"),
        ("team,tier=gold", "b"),
        ("team=cor", ""),
        ("Team=core", ""),
        ("other", ""),
        ('a"$[0].b=x y', "c"),
        ('a"$[0].b', "c"),
        ("%", ""),
        ("", ""),
        ("=", ""),
    ],
)
def test_v2_lists_are_filtered_by_tags(alpha: Client, beta: Client, service: Service, query: str, found: str) -> None:
    ids = {
        add_backup(service, ALPHA, tags={"team": "core", "tier": ""}): "a",
        add_backup(service, ALPHA, tags={"team": "core", "tier": "gold"}): "b",
        add_backup(service, ALPHA, tags={"team": "edge", 'a"$[0].b': "x y"}): "c",
        add_backup(service, ALPHA): "d",
    }
    for kind in ("backups", "backups/detail"):
        rows = alpha.get(f"/v2/{{p}}/{kind}?tags={quote(query)}&sort=created_at:asc")["backups"]
        assert "".join(ids[row["id"]] for row in rows) == found
    assert beta.get(f"/v2/{{p}}/backups?tags={quote(query)}")["backups"] == []


def test_a_page_of_a_filtered_list_leads_to_the_next(alpha: Client, service: Service) -> None:
    ids = [add_backup(service, ALPHA, tags={"k": "v"}) for _ in range(3)]
    page = alpha.get("/v2/{p}/backups?tags=k%3Dv&limit=2")
    (link,) = page["backups_links"]
    rest = alpha.get(link["href"].partition("8776")[2])
    assert [row["id"] for row in page["backups"] + rest["backups"]] == ids[::-1]
    assert "backups_links" not in rest


@pytest.mark.parametrize("query", ["a,a=b", ",".join(map(str, range(11))), ",,", "k=" + "x" * 1000])
def test_queries_by_tags_that_are_refused_or_find_nothing(alpha: Client, service: Service, query: str) -> None:
    add_backup(service, ALPHA, tags={"a": "b"})
    answer = alpha.send("GET", f"/v2/{{p}}/backups?tags={query}")
    assert answer.status == (200 if query.startswith("k=") else 400)
    assert answer.json().get("backups", []) == []


def test_v3_knows_no_such_filter(alpha: Client) -> None:
    strict = alpha.send("GET", "/v3/{p}/backups?tags=a", OpenStack_API_Version="volume 3.31")
    assert strict.status == 400
    assert alpha.get("/v3/{p}/backups?tags=a")["backups"] == []
