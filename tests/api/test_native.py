"""The native dialect on the wire: Cinder's fields, codes, strictness and microversions."""

import re
from typing import Any

import pytest

from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from openvbs.db import volumes
from openvbs.domain.volume import VolumeStatus
from tests.api.conftest import ALPHA, BETA, BODY_BYTES_MAX, GAMMA, PUBLIC_URL
from tests.support.actions import add_backup, add_volume, caller
from tests.support.wsgi import Answer, Client

UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"
T6 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
SUMMARY = {"id", "name", "links"}
DETAIL = SUMMARY | {
    "status", "size", "object_count", "availability_zone", "container", "created_at", "updated_at", "description",
    "fail_reason", "volume_id", "is_incremental", "has_dependent_backups", "snapshot_id", "data_timestamp",
}  # fmt: skip
MADE_VOLUME = {
    "attachments", "links", "encrypted", "updated_at", "replication_status", "id", "size", "user_id",
    "availability_zone", "metadata", "status", "description", "multiattach", "consistencygroup_id", "name", "bootable",
    "created_at", "volume_type", "snapshot_id", "source_volid",
}  # fmt: skip
VOLUME = MADE_VOLUME | {"os-vol-tenant-attr:tenant_id"}
SNAPSHOT = {"status", "description", "created_at", "name", "volume_id", "metadata", "id", "size", "updated_at"}
EXTENDED = {"os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id"}


def at(version: str) -> dict[str, str]:
    return {"OpenStack_API_Version": f"volume {version}"}


def bad_request(answer: Answer) -> bool:
    return answer.status == 400 and answer.json()["badRequest"]["code"] == 400


@pytest.mark.parametrize(
    ("asked", "status", "used"),
    [
        (None, 200, "3.0"),
        ("volume 3.45", 200, "3.45"),
        ("VOLUME 3.64", 200, "3.64"),
        ("compute 2.1, volume 3.9", 200, "3.9"),
        ("compute 2.1", 200, "3.0"),
        ("volume latest", 200, "3.64"),
        ("volume 3.65", 406, "3.0"),
        ("volume 2.0", 406, "3.0"),
        ("volume", 400, "3.0"),
        ("volume 3", 400, "3.0"),
        ("volume 3.045", 400, "3.0"),
        ("volume 3.x", 400, "3.0"),
    ],
)
def test_the_microversion_is_read_and_named(alpha: Client, asked: str | None, status: int, used: str) -> None:
    for target in ("/v3/{p}/backups", "/v3/{p}/volumes/detail"):
        answer = alpha.send("GET", target, **({"OpenStack_API_Version": asked} if asked else {}))
        assert answer.status == status
        assert answer.headers["openstack-api-version"] == f"volume {used}"
        assert answer.headers["vary"] == "OpenStack-API-Version"
    v2 = alpha.send("GET", "/v2/{p}/backups", **({"OpenStack_API_Version": asked} if asked else {}))
    assert v2.status == 200
    assert "openstack-api-version" not in v2.headers


@pytest.mark.parametrize("target", ["/v3/nowhere", f"/v3/{ALPHA}/backups/{UNKNOWN}", f"/v3/{GAMMA}/backups"])
def test_errors_name_the_microversion_too(alpha: Client, target: str) -> None:
    answer = alpha.send("GET", target, **at("3.50"))
    assert answer.status in {400, 404}
    assert answer.headers["openstack-api-version"] == "volume 3.50"


@pytest.mark.parametrize(("target", "status"), [("/", 300), ("/v3", 200), ("/v3/", 200)])
def test_discovery_needs_no_token(alpha: Client, target: str, status: int) -> None:
    answer = alpha.send("GET", target, X_Auth_Token="", X_Identity_Status="")
    assert answer.status == status
    (version,) = answer.json()["versions"]
    assert (version["id"], version["status"], version["min_version"], version["version"]) == (
        "v3.0", "CURRENT", "3.0", "3.64"
    )  # fmt: skip
    assert {"rel": "self", "href": f"{PUBLIC_URL}/v3/"} in version["links"]
    assert version["media-types"]
    assert version["updated"]


def test_a_backup_on_v2(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    shown = alpha.get(f"/v2/{{p}}/backups/{backup}")["backup"]
    assert set(shown) == DETAIL | {"os-bak-tenant-attr:tenant_id", "service_metadata"}
    assert shown["os-bak-tenant-attr:tenant_id"] == ALPHA
    for key in ("created_at", "updated_at", "data_timestamp"):
        assert T6.fullmatch(shown[key])
    assert shown["links"] == [
        {"rel": "self", "href": f"{PUBLIC_URL}/v2/{ALPHA}/backups/{backup}"},
        {"rel": "bookmark", "href": f"{PUBLIC_URL}/{ALPHA}/backups/{backup}"},
    ]
    assert alpha.get("/v2/{p}/backups/detail") == {"backups": [shown]}
    assert alpha.get("/v2/{p}/backups") == {"backups": [{key: shown[key] for key in ("id", "name", "links")}]}


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("3.0", set()),
        ("3.18", {"os-backup-project-attr:project_id"}),
        ("3.43", {"os-backup-project-attr:project_id", "metadata"}),
        ("3.64", {"os-backup-project-attr:project_id", "metadata"}),
    ],
)
def test_a_backup_on_v3_has_the_fields_of_its_microversion(
    alpha: Client, admin: Client, service: Service, version: str, more: set[str]
) -> None:
    backup = add_backup(service, ALPHA)
    assert set(alpha.get(f"/v3/{{p}}/backups/{backup}", **at(version))["backup"]) == DETAIL | more
    (row,) = alpha.get("/v3/{p}/backups/detail", **at(version))["backups"]
    assert set(row) == DETAIL | more
    for_admin = {"user_id"} if version == "3.64" else set()
    assert set(admin.get(f"/v3/{{p}}/backups/{backup}", **at(version))["backup"]) == DETAIL | more | for_admin


def test_without_a_project_in_the_path_links_have_none_either(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    shown = alpha.get(f"/v3/backups/{backup}")["backup"]
    assert shown["links"][0]["href"] == f"{PUBLIC_URL}/v3/backups/{backup}"
    assert alpha.get("/v3/backups/detail")["backups"][0]["id"] == backup
    assert alpha.get("/v3/volumes")["volumes"][0]["name"] == "disk"


def test_what_a_recipient_reads(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA, description="month end", metadata={"a": "b"})
    assert beta.send("GET", f"/v3/{{p}}/backups/{backup}").status == 404
    share_backup(service, caller(ALPHA), backup, [BETA])
    v2 = beta.get(f"/v2/{{p}}/backups/{backup}")["backup"]
    assert set(v2) == DETAIL | {"service_metadata"}
    assert "DL" not in v2["service_metadata"]
    v3 = beta.get(f"/v3/{{p}}/backups/{backup}", **at("3.64"))["backup"]
    assert set(v3) == DETAIL | {"metadata"}
    assert v3["metadata"] == {}
    assert v3["description"] == "month end"
    assert beta.get("/v3/{p}/backups") == beta.get("/v2/{p}/backups/detail") == {"backups": []}
    for method, target, body in [
        ("DELETE", f"/v3/{{p}}/backups/{backup}", None),
        ("DELETE", f"/v2/{{p}}/backups/{backup}", None),
        ("PUT", f"/v3/{{p}}/backups/{backup}", {"backup": {"name": "mine"}}),
    ]:
        answer = beta.send(method, target, body=body, **at("3.64"))
        assert (answer.status, answer.json()["forbidden"]["code"]) == (403, 403)
    assert alpha.get(f"/v3/{{p}}/backups/{backup}")["backup"]["name"] == "b"


@pytest.mark.parametrize("bad", [UNKNOWN, "monday", "detail2", UNKNOWN.replace("-", "")])
def test_an_unknown_or_malformed_id_is_404_in_cinders_words(alpha: Client, bad: str) -> None:
    for version in ("v2", "v3"):
        for kind, name in (("backups", "Backup"), ("volumes", "Volume"), ("snapshots", "Snapshot")):
            answer = alpha.send("GET", f"/{version}/{{p}}/{kind}/{bad}")
            assert answer.status == 404
            assert answer.json() == {"itemNotFound": {"code": 404, "message": f"{name} {bad} could not be found."}}


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}", "/v3"])
def test_create_restore_and_delete_a_backup(alpha: Client, service: Service, base: str) -> None:
    volume = add_volume(service, ALPHA)
    body = {"volume_id": volume, "name": " n ", "description": None, "container": "c", "force": "yes"}
    created = alpha.send("POST", f"{base}/backups", body={"backup": body})
    assert created.status == 202
    assert set(created.json()["backup"]) == SUMMARY
    assert created.json()["backup"]["name"] == "n"
    job = alpha.get(f"/v2/{{p}}/jobs/{created.headers['x-openvbs-job-id']}")
    assert job["entities"]["backup_id"] == created.json()["backup"]["id"]
    backup = add_backup(service, ALPHA)
    restored = alpha.send("POST", f"{base}/backups/{backup}/restore", body={"restore": {}})
    assert restored.status == 202
    answer = restored.json()["restore"]
    assert (set(answer), answer["volume_name"]) == (
        {"backup_id", "volume_id", "volume_name"},
        f"restore_backup_{backup}",
    )
    busy = alpha.send("DELETE", f"{base}/backups/{backup}")
    assert bad_request(busy)
    assert busy.headers["x-vbs-error-code"] == "VolumeBackup.0125"
    other = add_backup(service, ALPHA)
    gone = alpha.send("DELETE", f"{base}/backups/{other}")
    assert (gone.status, gone.body) == (202, b"")
    assert alpha.get(f"/v2/{{p}}/jobs/{gone.headers['x-openvbs-job-id']}")["job_type"] == "bksDeleteBackup"


def test_restore_into_a_named_or_given_volume(alpha: Client, service: Service) -> None:
    backup, target = add_backup(service, ALPHA), add_volume(service, ALPHA)
    into = f"/v3/{{p}}/backups/{backup}/restore"
    assert (
        alpha.send("POST", into, body={"restore": {"volume_id": target, "name": None}}).json()["restore"]["volume_id"]
        == target
    )
    assert alpha.send("POST", into, body={"restore": {"name": "mine"}}).json()["restore"]["volume_name"] == "mine"
    again = alpha.send("POST", into, body={"restore": {"volume_id": target}})
    assert bad_request(again)
    assert again.headers["x-vbs-error-code"] == "VolumeBackup.0205"
    lost = alpha.send("POST", f"/v3/{{p}}/backups/{UNKNOWN}/restore", body={"restore": {}})
    assert (lost.status, lost.headers["x-vbs-error-code"]) == (404, "VolumeBackup.0111")


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
    ("3.0", "volumes", {"volume": {"size": 1, "nme": "x"}}),
    ("3.0", "volumes", {"volume": {"size": 1, "imageRef": UNKNOWN}}),
    ("3.0", "volumes", {"volume": {"size": 1, "multiattach": True}}),
    ("3.0", "volumes", {"volume": {"size": 1, "metadata": {"k": 1}}}),
    ("3.46", "volumes", {"volume": {"size": 1, "backup_id": UNKNOWN}}),
    ("3.47", "volumes", {"volume": {"backup_id": UNKNOWN, "source_volid": UNKNOWN}}),
    ("3.0", "snapshots", {"snapshot": {}}),
    ("3.0", "snapshots", {"snapshot": {"volume_id": UNKNOWN, "force": "maybe"}}),
    ("3.0", "snapshots", {"snapshot": {"volume_id": UNKNOWN, "x": 1}}),
]


@pytest.mark.parametrize(("version", "kind", "body"), STRICT, ids=lambda value: repr(value)[:70])
def test_v3_bodies_are_as_strict_as_cinders(alpha: Client, version: str, kind: str, body: Any) -> None:
    answer = alpha.send("POST", f"/v3/{{p}}/{kind}", body=body, **at(version))
    assert bad_request(answer), answer.body


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


def test_incremental_needs_a_parent_and_is_remembered(alpha: Client, service: Service) -> None:
    volume = add_volume(service, ALPHA)
    body = {"backup": {"volume_id": volume, "incremental": True}}
    answer = alpha.send("POST", "/v3/{p}/backups", body=body)
    assert bad_request(answer)
    assert "No backups available to do an incremental backup." in answer.json()["badRequest"]["message"]
    first = alpha.get(f"/v3/{{p}}/backups/{add_backup(service, ALPHA)}")["backup"]
    assert first["is_incremental"] is False
    body["backup"]["volume_id"] = first["volume_id"]
    second = alpha.send("POST", "/v3/{p}/backups", body=body).json()["backup"]["id"]
    assert alpha.get(f"/v3/{{p}}/backups/{second}")["backup"]["is_incremental"] is True


def test_update_a_backup_from_3_9_on(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA, description="old")
    one = f"/v3/{{p}}/backups/{backup}"
    assert alpha.send("PUT", one, body={"backup": {"name": "x"}}, **at("3.8")).status == 404
    answer = alpha.send("PUT", one, body={"backup": {"name": " new "}}, **at("3.9"))
    assert (answer.status, set(answer.json()["backup"])) == (200, SUMMARY)
    assert alpha.send("PUT", one, body={"backup": {}}, **at("3.9")).status == 200
    assert bad_request(alpha.send("PUT", one, body={"backup": {"metadata": {}}}, **at("3.42")))
    assert bad_request(alpha.send("PUT", one, body={"backup": {"metadata": None}}, **at("3.43")))
    assert (
        alpha.send("PUT", one, body={"backup": {"metadata": {"k": "v"}, "description": None}}, **at("3.43")).status
        == 200
    )
    shown = alpha.get(one, **at("3.43"))["backup"]
    assert (shown["name"], shown["description"], shown["metadata"]) == ("new", None, {"k": "v"})


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


def test_an_admin_reads_and_deletes_what_is_anothers_but_changes_nothing(
    admin: Client, alpha: Client, beta: Client, service: Service
) -> None:
    backup = add_backup(service, ALPHA)
    one = f"/v3/{{p}}/backups/{backup}"
    answer = admin.send("PUT", one, body={"backup": {"name": "x"}}, **at("3.64"))
    assert (answer.status, answer.code, list(answer.json())) == (403, "VolumeBackup.0042", ["forbidden"])
    assert admin.send("POST", f"{one}/restore", body={"restore": {}}).status == 404
    assert alpha.get(one)["backup"]["name"] == "b"
    assert beta.send("PUT", one, body={"backup": {"name": "x"}}, **at("3.64")).status == 404
    assert admin.get(one)["backup"]["id"] == backup
    assert admin.send("DELETE", one).status == 202


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}"])
def test_volumes(alpha: Client, gamma: Client, service: Service, base: str) -> None:
    created = alpha.send("POST", f"{base}/volumes", body={"volume": {"size": "2", "name": "v", "metadata": {"a": "b"}}})
    assert created.status == 202
    shown = created.json()["volume"]
    assert set(shown) == MADE_VOLUME
    assert (shown["size"], shown["bootable"], shown["status"], shown["metadata"]) == (
        2,
        "false",
        "creating",
        {"a": "b"},
    )
    assert alpha.get(f"/v2/{{p}}/jobs/{created.headers['x-openvbs-job-id']}")["job_type"] == "createVolume"
    volume = add_volume(service, ALPHA)
    one = f"{base}/volumes/{volume}"
    detail = alpha.get(one)["volume"]
    assert set(detail) == VOLUME | {"volume_image_metadata"}
    assert alpha.get(f"{base}/volumes/detail?name=disk")["volumes"] == [detail]
    assert alpha.get(f"{base}/volumes?metadata=%7B%27a%27%3A+%27b%27%7D")["volumes"][0]["id"] == shown["id"]
    assert alpha.send("GET", f"{base}/volumes?metadata=nonsense").status == 400
    assert alpha.send("GET", f"{base}/volumes?group_id=x").status == 400
    for query, there in (("bootable=true", 1), ("bootable=F", 1), ("size=2", 1), ("size=3&availability_zone=nova", 0)):
        assert len(alpha.get(f"{base}/volumes?{query}")["volumes"]) == there, query
    for bad in ("bootable=maybe", "size=large"):
        assert bad_request(alpha.send("GET", f"{base}/volumes?{bad}"))
    changed = alpha.send("PUT", one, body={"volume": {"display_name": "w", "description": None}})
    assert (changed.status, changed.json()["volume"]["name"], set(changed.json()["volume"])) == (200, "w", MADE_VOLUME)
    assert gamma.send("GET", one).status == 404
    assert gamma.send("DELETE", one).status == 404
    for size, status in ((1, 400), ("2", 202), (3, 400)):
        answer = alpha.send("POST", f"{one}/action", body={"os-extend": {"new_size": size}})
        assert answer.status == status, "too small, accepted, busy"
    for bad in ({"os-reset_status": {"status": "available"}}, {}, {"os-extend": None}, {"os-set_bootable": {}}):
        assert bad_request(alpha.send("POST", f"{one}/action", body=bad)), bad
    assert alpha.send("POST", f"{one}/action", body={"os-set_bootable": {"bootable": "false"}}).status == 200
    assert alpha.get(one)["volume"]["bootable"] == "false"
    assert bad_request(alpha.send("DELETE", one))


def test_a_volume_of_a_backup_from_3_47_on(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    answer = alpha.send("POST", "/v3/{p}/volumes", body={"volume": {"backup_id": backup, "size": None}}, **at("3.47"))
    assert (answer.status, answer.json()["volume"]["size"]) == (202, 1)
    assert beta.send("POST", "/v3/{p}/volumes", body={"volume": {"backup_id": backup}}, **at("3.47")).status == 404
    share_backup(service, caller(ALPHA), backup, [BETA])
    assert beta.send("POST", "/v3/{p}/volumes", body={"volume": {"backup_id": backup}}, **at("3.47")).status == 202


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}"])
def test_snapshots(alpha: Client, gamma: Client, service: Service, base: str) -> None:
    volume = add_volume(service, ALPHA)
    body = {"snapshot": {"volume_id": volume, "name": "s", "force": False}}
    created = alpha.send("POST", f"{base}/snapshots", body=body)
    assert created.status == 202
    shown = created.json()["snapshot"]
    assert (set(shown), shown["status"]) == (SNAPSHOT, "creating")
    nothing = alpha.send("POST", f"{base}/snapshots", body={"snapshot": {"volume_id": None}})
    assert (nothing.status, nothing.code) == (404, "VolumeBackup.0021")
    one = f"{base}/snapshots/{shown['id']}"
    assert set(alpha.get(one)["snapshot"]) == SNAPSHOT | EXTENDED
    assert alpha.get(f"{base}/snapshots?volume_id={volume.upper()}")["snapshots"][0]["id"] == shown["id"]
    assert alpha.get(f"{base}/snapshots/detail?name=t") == {"snapshots": []}
    assert alpha.send("PUT", one, body={"snapshot": {"name": "t"}}).json()["snapshot"]["name"] == "t"
    assert gamma.send("GET", one).status == 404
    assert bad_request(alpha.send("DELETE", one))
    with service.database.write() as connection:
        volumes.update_snapshot(connection, shown["id"], now=service.clock(), status="available")
        volumes.update_volume(connection, volume, now=service.clock(), status=VolumeStatus.AVAILABLE)
    assert bad_request(alpha.send("DELETE", f"{base}/volumes/{volume}"))
    assert alpha.send("DELETE", f"{base}/volumes/{volume}?cascade=maybe").status == 400
    assert alpha.send("DELETE", f"{base}/volumes/{volume}?cascade=True").status == 202
    assert alpha.get(one)["snapshot"]["status"] == "deleting"


def test_volume_fields_by_microversion(alpha: Client, admin: Client, service: Service) -> None:
    one = f"/v3/{{p}}/volumes/{add_volume(service, ALPHA)}"
    whole = VOLUME | {"volume_image_metadata"}
    since = {"3.12": set(), "3.13": {"group_id"}, "3.21": {"provider_id"}, "3.48": {"service_uuid", "shared_targets"}}
    for version, more in {**since, "3.63": {"volume_type_id"}}.items():
        whole = whole | more
        assert set(alpha.get(one, **at(version))["volume"]) == whole
    assert set(admin.get(one, **at("3.63"))["volume"]) == whole | {"cluster_name"}


def test_snapshot_fields_by_microversion(alpha: Client, service: Service) -> None:
    body = {"snapshot": {"volume_id": add_volume(service, ALPHA)}}
    made = alpha.send("POST", "/v3/{p}/snapshots", body=body).json()["snapshot"]["id"]
    for version, more in (("3.13", set()), ("3.14", {"group_snapshot_id"}), ("3.41", {"group_snapshot_id", "user_id"})):
        shown = alpha.get(f"/v3/{{p}}/snapshots/{made}", **at(version))["snapshot"]
        assert set(shown) == SNAPSHOT | EXTENDED | more
