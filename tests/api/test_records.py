"""What administrators do natively to backups: export and import records, reset a status, delete by force."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from openvbs.actions.backups import delete_backup
from openvbs.actions.service import Service
from openvbs.db import backups
from tests.api.conftest import ALPHA, BETA, HOME
from tests.support.actions import add_backup, caller
from tests.support.wsgi import Client

NEW = "7c4fe218-a05d-4937-b86c-2e91d3f07ba5"
UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"
IMPORT = "/v3/{p}/backups/import_record"
SUMMARY = {"id", "name", "links"}
RESET = {"os-reset_status": {"status": "error"}}


def opened(url: str) -> dict[str, Any]:
    decoded = json.loads(base64.b64decode(url, validate=True))
    assert isinstance(decoded, dict)
    return decoded


def sealed(fields: object) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


@pytest.fixture
def record(admin: Client, service: Service) -> dict[str, str]:
    """The exported record of a backup of alpha's."""
    backup = add_backup(service, ALPHA, description="month end", container="c")
    exported = admin.get(f"/v3/{{p}}/backups/{backup}/export_record")
    assert list(exported) == ["backup-record"]
    return dict(exported["backup-record"])


def test_a_record_is_what_cinders_tools_expect(record: dict[str, str]) -> None:
    assert set(record) == {"backup_service", "backup_url"}
    assert record["backup_service"].startswith("cinder.backup.drivers")
    fields = opened(record["backup_url"])
    assert (fields["display_name"], fields["display_description"], fields["container"]) == ("b", "month end", "c")
    assert (fields["size"], fields["object_count"], fields["project_id"]) == (1, 0, ALPHA)
    assert (fields["repository_id"], fields["data_id"]) == (ALPHA, fields["id"])
    assert isinstance(json.loads(fields["service_metadata"]), dict)


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}", "/v3"])
def test_a_record_is_imported_under_its_id(admin: Client, record: dict[str, str], base: str, service: Service) -> None:
    fields = opened(record["backup_url"])
    body = {"backup-record": {**record, "backup_url": sealed({**fields, "id": NEW.upper()})}}
    answer = admin.send("POST", f"{base}/backups/import_record", body=body)
    assert answer.status == 201
    assert set(answer.json()["backup"]) == SUMMARY
    assert (answer.json()["backup"]["id"], answer.json()["backup"]["name"]) == (NEW, "b")
    job = admin.get(f"/v2/{{p}}/jobs/{answer.headers['x-openvbs-job-id']}")
    assert (job["job_type"], job["entities"]) == ("checkBackup", {"backup_id": NEW})
    shown = admin.get(f"/v3/{{p}}/backups/{NEW}")["backup"]
    assert (shown["status"], shown["size"], shown["description"]) == ("creating", 1, "month end")
    assert shown["volume_id"] == "00000000-0000-0000-0000-000000000000"
    again = admin.send("POST", f"{base}/backups/import_record", body=body)
    assert again.status == 400
    assert "already exists" in again.json()["badRequest"]["message"]
    second = {"backup-record": {**record, "backup_url": sealed({**fields, "id": UNKNOWN})}}
    assert admin.send("POST", f"{base}/backups/import_record", body=second).status == 201, "two of them at once"


def test_on_v2_the_record_goes_to_the_project_of_the_path(admin: Client, beta: Client, record: dict[str, str]) -> None:
    fields = opened(record["backup_url"])
    body = {"backup-record": {**record, "backup_url": sealed({**fields, "id": NEW})}}
    assert admin.send("POST", f"/v2/{BETA}/backups/import_record", body=body).status == 201
    assert [row["id"] for row in beta.get("/v3/{p}/backups")["backups"]] == [NEW]


def test_both_projects_read_of_it(admin: Client, alpha: Client, record: dict[str, str]) -> None:
    fields = opened(record["backup_url"])
    body = {"backup-record": {**record, "backup_url": sealed({**fields, "id": NEW})}}
    assert admin.send("POST", IMPORT, body=body).status == 201
    theirs = [event for event in alpha.get("/v2/{p}/audit-events")["audit_events"] if "record" in event["action"]]
    assert [(event["action"], event["to_project_id"]) for event in theirs] == [
        ("backup.import_record", HOME),
        ("backup.export_record", None),
    ]
    assert {event["backup_id"] for event in theirs} == {fields["id"]}
    (ours,) = admin.get("/v2/{p}/audit-events")["audit_events"]
    assert (ours["action"], ours["backup_id"]) == ("backup.import_record", NEW)


BAD_RECORDS: list[Any] = [
    {},
    {"backup-record": None},
    {"backup-record": {"backup_service": "{service}"}},
    {"backup-record": {"backup_service": "{service}", "backup_url": None}},
    {"backup-record": {"backup_service": "{service}", "backup_url": ""}},
    {"backup-record": {"backup_service": "x" * 256, "backup_url": "{url}"}},
    {"backup-record": {"backup_service": "cinder.backup.drivers.ceph", "backup_url": "{url}"}},
    {"backup-record": {"backup_service": "{service}", "backup_url": "{url}", "more": 1}},
    {"backup-record": {"backup_service": "{service}", "backup_url": "{url}"}, "more": 1},
]


@pytest.mark.parametrize("body", BAD_RECORDS, ids=lambda body: repr(body)[:70])
def test_bodies_that_are_no_import(admin: Client, record: dict[str, str], body: Any) -> None:
    text = json.dumps(body).replace("{service}", record["backup_service"]).replace("{url}", record["backup_url"])
    answer = admin.send("POST", IMPORT, body=text.encode())
    assert (answer.status, answer.json()["badRequest"]["code"]) == (400, 400)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "monday"},
        {"size": None},
        {"size": -1},
        {"size": "1"},
        {"size": 2**31},
        {"repository_id": None},
        {"repository_id": "../x"},
        {"repository_id": "Upper"},
        {"repository_id": ""},
        {"data_id": "x"},
        {"display_name": "x" * 256},
        {"display_name": "a\0b"},
        {"container": 1},
    ],
    ids=repr,
)
def test_records_that_say_something_impossible(admin: Client, record: dict[str, str], change: dict[str, Any]) -> None:
    fields = {**opened(record["backup_url"]), "id": NEW, **change}
    url = sealed({key: value for key, value in fields.items() if value is not None})
    answer = admin.send("POST", IMPORT, body={"backup-record": {**record, "backup_url": url}})
    assert answer.status == 400, answer
    assert admin.send("GET", f"/v3/{{p}}/backups/{NEW}").status == 404


@pytest.mark.parametrize(
    "url", ["%%%", "eA=", sealed([]), sealed("x"), base64.b64encode(b"\xff").decode(), sealed({}) + "!"]
)
def test_urls_that_hold_no_record(admin: Client, record: dict[str, str], url: str) -> None:
    assert admin.send("POST", IMPORT, body={"backup-record": {**record, "backup_url": url}}).status == 400


def test_of_two_imports_of_one_id_at_once_one_succeeds(
    admin: Client, record: dict[str, str], at_once: Callable[..., list[int]]
) -> None:
    url = sealed({**opened(record["backup_url"]), "id": NEW})

    def attempt(_turn: int) -> int:
        return admin.send("POST", IMPORT, body={"backup-record": {**record, "backup_url": url}}).status

    assert sorted(at_once(attempt, 4)) == [201, 400, 400, 400]


def test_the_id_of_a_backup_whose_data_still_goes_is_taken(admin: Client, alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    record = admin.get(f"/v3/{{p}}/backups/{backup}/export_record")
    delete_backup(service, caller(ALPHA), backup)
    with service.database.write() as connection:
        backups.mark_deleted(connection, backup, now=service.clock())
    assert alpha.send("GET", f"/v3/{{p}}/backups/{backup}").status == 404
    assert admin.send("POST", IMPORT, body=record).status == 400
    with service.database.write() as connection:
        backups.mark_purged(connection, backup, now=service.clock())
    assert admin.send("POST", IMPORT, body=record).status == 201


def test_only_an_available_backup_is_exported(admin: Client, service: Service) -> None:
    for status in ("creating", "error"):
        backup = add_backup(service, ALPHA, status=status)
        answer = admin.send("GET", f"/v3/{{p}}/backups/{backup}/export_record")
        assert (answer.status, answer.headers["x-vbs-error-code"]) == (400, "VolumeBackup.0089")
    assert admin.send("GET", f"/v3/{{p}}/backups/{UNKNOWN}/export_record").status == 404
    assert admin.send("GET", "/v3/{p}/backups/monday/export_record").status == 404


def test_administrators_alone(alpha: Client, reader: Client, service: Service) -> None:
    one = f"/v3/{{p}}/backups/{add_backup(service, ALPHA)}"
    for who in (alpha, reader):
        assert who.send("GET", f"{one}/export_record").status == 403
        assert who.send("POST", f"{one}/action", body=RESET).status == 403
        assert who.send("POST", IMPORT, body={}).status == 403
    assert alpha.get(one)["backup"]["status"] == "available"


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}", "/v3"])
def test_reset_status(admin: Client, alpha: Client, service: Service, base: str) -> None:
    backup = add_backup(service, ALPHA)
    one = f"{base.replace('{p}', ALPHA) if base.startswith('/v2') else base}/backups/{backup}/action"
    answer = admin.send("POST", one, body={"os-reset_status": {"status": "ERROR"}})
    assert (answer.status, answer.body) == (202, b"")
    assert alpha.get(f"/v3/{{p}}/backups/{backup}")["backup"]["status"] == "error"
    assert admin.send("POST", one, body=RESET).status == 202, "it is already"
    answer = admin.send("POST", one, body={"os-reset_status": {"status": "available"}})
    assert answer.status == 202
    assert answer.headers["x-openvbs-job-id"]
    assert alpha.get(f"/v3/{{p}}/backups/{backup}")["backup"]["status"] == "error", "until a job has seen the data"
    busy = admin.send("POST", one, body=RESET)
    assert (busy.status, busy.headers["x-vbs-error-code"]) == (400, "VolumeBackup.0014")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"os-reset_status": {}},
        {"os-reset_status": {"status": "restoring"}},
        {"os-reset_status": {"status": None}},
        {"os-reset_status": {"status": "error", "more": 1}},
        {"os-reset_status": {"status": "error"}, "os-force_delete": None},
        {"os-force_delete": {"now": True}},
        {"os-force_delete": "yes"},
        {"os-unknown": {}},
    ],
    ids=repr,
)
def test_what_is_no_action_changes_nothing(admin: Client, alpha: Client, service: Service, body: Any) -> None:
    backup = add_backup(service, ALPHA)
    answer = admin.send("POST", f"/v3/{{p}}/backups/{backup}/action", body=body)
    assert (answer.status, answer.json()["badRequest"]["code"]) == (400, 400)
    assert alpha.get(f"/v3/{{p}}/backups/{backup}")["backup"]["status"] == "available"


@pytest.mark.parametrize("status", ["creating", "available", "error", "deleting"])
@pytest.mark.parametrize("value", [None, {}])
def test_force_delete_whatever_the_status(
    admin: Client, alpha: Client, service: Service, status: str, value: Any
) -> None:
    backup = add_backup(service, ALPHA, status=status)
    answer = admin.send("POST", f"/v3/{{p}}/backups/{backup}/action", body={"os-force_delete": value})
    assert (answer.status, answer.body) == (202, b"")
    assert alpha.get(f"/v3/{{p}}/backups/{backup}")["backup"]["status"] == "deleting"
    job = admin.get(f"/v2/{{p}}/jobs/{answer.headers['x-openvbs-job-id']}")
    assert job["job_type"] == "bksDeleteBackup"
    again = admin.send("POST", f"/v3/{{p}}/backups/{backup}/action", body={"os-force_delete": value})
    assert again.headers["x-openvbs-job-id"] == job["job_id"]
    assert admin.send("POST", f"/v3/{{p}}/backups/{UNKNOWN}/action", body={"os-force_delete": value}).status == 404


def test_force_delete_during_a_restore_of_the_owners(admin: Client, alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    assert alpha.send("POST", f"/v3/{{p}}/backups/{backup}/restore", body={"restore": {}}).status == 202
    assert alpha.send("DELETE", f"/v3/{{p}}/backups/{backup}").status == 400
    forced = admin.send("POST", f"/v3/{{p}}/backups/{backup}/action", body={"os-force_delete": None})
    assert forced.status == 202
