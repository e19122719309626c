"""Lists of the native dialect: filters, order, pages, and what an admin may ask for."""

from urllib.parse import quote

import pytest

from openvbs.actions.service import Service
from tests.api.conftest import ALPHA, GAMMA, PUBLIC_URL
from tests.api.test_sharing import share
from tests.support.actions import add_backup
from tests.support.native import UNKNOWN, at, bad_request
from tests.support.wsgi import Client


def test_lists_filter_sort_page_and_count(alpha: Client, service: Service) -> None:
    ids = [add_backup(service, ALPHA) for _ in range(3)]
    add_backup(service, GAMMA)

    def found(query: str, version: str = "3.0") -> list[str]:
        return [row["id"] for row in alpha.get(f"/v3/{{p}}/backups?{query}", **at(version))["backups"]]

    assert found("") == ids[::-1]
    assert found("sort=created_at:asc") == ids
    assert found("sort_key=name,created_at&sort_dir=desc,asc", "3.37") == ids
    assert found("sort_key=display_name,created_at&sort_dir=desc,asc") == ids
    assert found("sort=name,size:asc&limit=1", "3.64") == [max(ids)]
    for key in ("availability_zone", "container", "snapshot_id", "project_id"):
        assert found(f"sort={key}:asc,created_at:asc") == ids
    assert found("status=available&limit=2&offset=1") == ids[1::-1]
    assert found("name=b&all_tenants=1") == ids[::-1]
    assert found("name=B") == []
    assert found("name~=B", "3.31") == ids[::-1]
    assert found("name~=zz") == ids[::-1], "below 3.31 an unknown key"
    assert found(f"limit=5&marker={ids[1].upper()}") == ids[:1]
    page = alpha.get("/v3/{p}/backups/detail?limit=2&with_count=true&name~=b&offset=0", **at("3.45"))
    assert page["count"] == 3
    assert page["backups_links"] == [
        {
            "rel": "next",
            "href": f"{PUBLIC_URL}/v3/{ALPHA}/backups/detail?limit=2&with_count=true&name~=b&marker={ids[1]}",
        }
    ]
    last = alpha.get(page["backups_links"][0]["href"].removeprefix(PUBLIC_URL), **at("3.45"))
    assert [row["id"] for row in last["backups"]] == ids[:1]
    assert "backups_links" not in last
    assert alpha.get("/v3/{p}/backups?limit=0") == {"backups": []}
    assert "backups_links" in alpha.get("/v3/{p}/backups?limit=3"), "as in Cinder, a full page has a link"
    assert "backups_links" not in alpha.get("/v3/{p}/backups?limit=4")
    assert "backups_links" not in alpha.get("/v2/{p}/backups?limit=3")
    assert alpha.get(f"/v3/{{p}}/backups?limit=3&marker={ids[0]}") == {"backups": []}
    assert "count" not in alpha.get("/v3/{p}/backups?with_count=true", **at("3.30"))


@pytest.mark.parametrize(
    ("query", "version", "status"),
    [
        ("limit=-1", "3.0", 400),
        ("limit=x", "3.0", 400),
        ("offset=-1", "3.0", 400),
        (f"marker={UNKNOWN}", "3.0", 404),
        ("sort=created_at&sort_key=name", "3.0", 400),
        ("sort_key=secret", "3.0", 400),
        ("sort_key=size&sort_dir=up", "3.0", 400),
        ("sort_key=size&sort_dir=asc,desc", "3.0", 400),
        ("sort_key=container_format", "3.0", 200),
        ("sort_key=display_name", "3.0", 200),
        ("sort_key=name", "3.36", 400),
        ("sort=name:asc", "3.37", 200),
        ("snapshot_id=x", "3.30", 200),
        ("snapshot_id=x", "3.31", 400),
        ("host=x", "3.30", 200),
        ("host=x", "3.31", 400),
        ("project_id=x", "3.31", 400),
        ("with_count=true", "3.44", 400),
        ("with_count=1", "3.45", 400),
        ("status~=avail", "3.31", 200),
        ("name=a&name=b", "3.0", 400),
    ],
)
def test_list_queries(alpha: Client, query: str, version: str, status: int) -> None:
    assert alpha.send("GET", f"/v3/{{p}}/backups/detail?{query}", **at(version)).status == status


def test_v2_ignores_unknown_sort_keys(alpha: Client) -> None:
    assert alpha.get("/v2/{p}/backups?sort_key=secret&host=x&name~=x") == {"backups": []}
    assert alpha.send("GET", "/v2/{p}/backups?sort_key=name&sort_dir=up").status == 400


def test_an_admin_lists_every_project_when_it_asks(admin: Client, alpha: Client, service: Service) -> None:
    mine, theirs = add_backup(service, ALPHA), add_backup(service, GAMMA)
    assert admin.get("/v3/{p}/backups")["backups"] == []
    rows = admin.get("/v3/{p}/backups?all_tenants=True")["backups"]
    assert [row["id"] for row in rows] == [theirs, mine]
    rows = admin.get(f"/v3/{{p}}/backups?all_tenants=1&project_id={ALPHA}", **at("3.64"))["backups"]
    assert [row["id"] for row in rows] == [mine]
    assert admin.get(f"/v3/{{p}}/backups?project_id={ALPHA}")["backups"] == [], "only those of its own project"
    assert len(admin.get("/v3/{p}/volumes?all_tenants=1")["volumes"]) == 2
    assert len(alpha.get("/v3/{p}/volumes?all_tenants=1")["volumes"]) == 1


@pytest.mark.parametrize("version", ["3.0", "3.64"])
def test_an_admin_filters_by_any_column(admin: Client, alpha: Client, service: Service, version: str) -> None:
    add_backup(service, GAMMA)
    mine = add_backup(service, ALPHA, container="tapes", availability_zone="hall-2")

    def found(query: str, client: Client = admin) -> list[str]:
        return [row["id"] for row in client.get(f"/v3/{{p}}/backups?all_tenants=1&{query}", **at(version))["backups"]]

    for query in (f"id={mine.upper()}", f"user_id=user-of-{ALPHA}", "container=tapes", "availability_zone=hall-2"):
        assert found(query) == [mine], query
    assert len(found("size=1")) == 2
    for query in ("size=2", f"parent_id={mine}", f"snapshot_id={UNKNOWN}", "container=x", "user_id=x"):
        assert found(query) == [], query
    assert bad_request(admin.send("GET", "/v3/{p}/backups?size=x", **at(version)))
    if version == "3.0":
        assert found("container=x", alpha) == [mine], "as anything unknown, it is ignored for others"


@pytest.mark.parametrize("name", ["ÄRGER ΟΔΟΣ", "Straße", "İstanbul", "100%_/sure"])
def test_a_name_is_found_by_each_piece_of_its_own_text(alpha: Client, service: Service, name: str) -> None:
    """Whatever the database takes for the lower case of such letters."""
    backup = add_backup(service, ALPHA)
    alpha.send("PUT", f"/v3/{{p}}/backups/{backup}", body={"backup": {"name": name}}, **at("3.9"))
    share(alpha, backup, GAMMA)
    add_backup(service, ALPHA)
    for piece in (name, *name.split(), name[1:4]):
        text = quote(piece)
        listed = alpha.get(f"/v3/{{p}}/backups?name~={text}", **at("3.64"))["backups"]
        assert [row["id"] for row in listed] == [backup]
        assert alpha.get(f"/v2/{{p}}/os-vendor-backup-sharing/count?name={text}") == {"count": 1}
