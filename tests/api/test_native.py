"""Backups in the native dialect, and its microversions: Cinder's fields and codes."""

import pytest

from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from tests.api.conftest import ALPHA, BETA, GAMMA, HOME, PUBLIC_URL
from tests.api.test_audit import events
from tests.api.test_sharing import share
from tests.support.actions import add_backup, add_volume, caller
from tests.support.native import DETAIL, SUMMARY, T6, UNKNOWN, at, bad_request
from tests.support.wsgi import Client


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


def test_incremental_needs_a_parent_and_is_remembered(alpha: Client, service: Service) -> None:
    volume = add_volume(service, ALPHA)
    body = {"backup": {"volume_id": volume, "incremental": True}}
    answer = alpha.send("POST", "/v3/{p}/backups", body=body)
    assert bad_request(answer)
    expected = "Invalid backup: No backups available to do an incremental backup."
    assert answer.json()["badRequest"]["message"] == expected
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


@pytest.mark.parametrize("way", ["into a new volume", "of a new volume"])
def test_an_admin_restores_what_is_shared_with_its_project_as_anybody_does(
    admin: Client, alpha: Client, service: Service, way: str
) -> None:
    backup = add_backup(service, ALPHA)
    share(alpha, backup, HOME)
    if way == "into a new volume":
        answer = admin.send("POST", f"/v3/{{p}}/backups/{backup}/restore", body={"restore": {}})
    else:
        answer = admin.send("POST", "/v3/{p}/volumes", body={"volume": {"backup_id": backup}}, **at("3.64"))
    assert answer.status == 202
    (event,) = events(alpha, "share.restore")
    assert (event["actor_project_id"], event["as_admin"]) == (HOME, False)
