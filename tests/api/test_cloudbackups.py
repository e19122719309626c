"""cloudbackups: which broken field gives which code, in which order, and what an accepted request answers."""

from typing import Any

import pytest

from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from openvbs.db import volumes
from openvbs.domain.volume import VolumeStatus
from tests.api.conftest import ALPHA, BETA, BODY_BYTES_MAX, GAMMA
from tests.support.actions import add_backup, add_volume, caller
from tests.support.wsgi import Client

CREATE = "/v2/{p}/cloudbackups"
UNKNOWN = "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3"
GOOD = {"volume_id": UNKNOWN, "name": "monday"}


def set_status(service: Service, volume_id: str, status: str) -> None:
    with service.database.write() as connection:
        assert volumes.update_volume(connection, volume_id, now=service.clock(), status=status)


def job_of(alpha: Client, job_id: str) -> Any:
    return alpha.get(f"/v1/{{p}}/jobs/{job_id}")


def test_a_backup_is_there_and_its_job_readable_once_the_answer_is_sent(alpha: Client, service: Service) -> None:
    volume = add_volume(service, ALPHA)
    wanted = {"volume_id": volume, "name": "mon.day-1_x", "description": "as <3 not".replace("<", "")}
    answer = alpha.send("POST", CREATE, body={"backup": {**wanted, "snapshot_id": None, "unknown": 1}, "other": 2})
    assert answer.status == 200
    assert list(answer.json()) == ["job_id"]
    job = job_of(alpha, answer.json()["job_id"])
    assert job["status"] == "INIT"
    assert job["job_type"] == "bksCreateBackup"
    assert job["entities"]["volume_id"] == volume
    backup = alpha.get(f"/v2/{{p}}/backups/{job['entities']['backup_id']}")["backup"]
    assert backup["status"] == "creating"
    assert (backup["name"], backup["description"]) == ("mon.day-1_x", "as 3 not")


BAD_BODIES: list[tuple[Any, str]] = [
    (None, "VolumeBackup.0002"),
    (b"", "VolumeBackup.0002"),
    (b"   ", "VolumeBackup.0002"),
    (b"{", "VolumeBackup.0002"),
    (b'{"backup": {}} trailing', "VolumeBackup.0002"),
    (b'{"backup": NaN}', "VolumeBackup.0002"),
    (b"\xff\xfe{}", "VolumeBackup.0002"),
    ('{"backup": {}}'.encode("utf-16"), "VolumeBackup.0002"),
    (b'{"backup": {"name": "\xff"}}', "VolumeBackup.0002"),
    (b'{"backup": {"name": "\\ud800 lone"}}', "VolumeBackup.0002"),
    (b'{"backup": {"description": "nul \\u0000"}}', "VolumeBackup.0002"),
    (b"[" * (BODY_BYTES_MAX - 10), "VolumeBackup.0002"),
    (b'{"a":' * 3000 + b"1" + b"}" * 3000, "VolumeBackup.0002"),
    (b" " * (BODY_BYTES_MAX + 1), "VolumeBackup.0002"),
    ([], "VolumeBackup.0002"),
    ("text", "VolumeBackup.0002"),
    ({}, "VolumeBackup.0002"),
    ({"backup": None}, "VolumeBackup.0002"),
    ({"backup": []}, "VolumeBackup.0002"),
    ({"Backup": GOOD}, "VolumeBackup.0002"),
]


@pytest.mark.parametrize(("body", "code"), BAD_BODIES, ids=lambda value: repr(value)[:40])
def test_bodies_that_are_no_request_at_all(alpha: Client, body: Any, code: str) -> None:
    answer = alpha.send("POST", CREATE, body=body)
    assert (answer.status, answer.code) == (400, code)


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    # A type that is wrong comes before everything else.
    ({"name": 1}, "VolumeBackup.0002"),
    ({"name": ["a"], "volume_id": "x"}, "VolumeBackup.0002"),
    ({"description": {}, "volume_id": "x"}, "VolumeBackup.0002"),
    ({"extend_param": [], "volume_id": "x"}, "VolumeBackup.0002"),
    ({"volume_id": None, "name": ""}, "VolumeBackup.0010"),
    ({"volume_id": ""}, "VolumeBackup.0010"),
    ({"volume_id": "x", "name": ""}, "VolumeBackup.0011"),
    ({"volume_id": 7}, "VolumeBackup.0011"),
    ({"volume_id": []}, "VolumeBackup.0011"),
    ({"volume_id": UNKNOWN.replace("-", "")}, "VolumeBackup.0011"),
    ({"volume_id": UNKNOWN + "\n"}, "VolumeBackup.0011"),
    ({"name": None}, "VolumeBackup.0007"),
    ({"name": "", "description": "<"}, "VolumeBackup.0007"),
    ({"name": "auto " + "x" * 60}, "VolumeBackup.0003"),
    ({"name": "auto x"}, "VolumeBackup.0004"),
    ({"name": "ümlaut"}, "VolumeBackup.0004"),
    ({"name": "end\n"}, "VolumeBackup.0004"),
    ({"name": "automatic", "description": "<"}, "VolumeBackup.0005"),
    ({"description": "x" * 65}, "VolumeBackup.0006"),
    ({"description": "a<b"}, "VolumeBackup.0006"),
    ({"description": "a>b", "snapshot_id": "x"}, "VolumeBackup.0006"),
    ({"description": "bell \x07"}, "VolumeBackup.0006"),
    ({"snapshot_id": "x", "tags": 1}, "VolumeBackup.0002"),
    ({"snapshot_id": 1}, "VolumeBackup.0002"),
    ({"extend_param": {"FullBackup": "yes"}}, "VolumeBackup.0002"),
    ({"extend_param": {"FullBackup": 1}}, "VolumeBackup.0002"),
    ({"tags": {}}, "VolumeBackup.0049"),
    ({"tags": ["a"]}, "VolumeBackup.0049"),
    ({"tags": [{"key": "a"}]}, "VolumeBackup.0049"),
    ({"tags": [{"key": "", "value": "v"}]}, "VolumeBackup.0049"),
    ({"tags": [{"key": "k" * 37, "value": "v"}]}, "VolumeBackup.0049"),
    ({"tags": [{"key": "k", "value": "v" * 44}]}, "VolumeBackup.0049"),
    *[({"tags": [{"key": f"k{char}", "value": "v"}]}, "VolumeBackup.0049") for char in "=*<>\\,|/\n"],
    ({"tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}, "VolumeBackup.0049"),
    ({"tags": [{"key": "k", "value": 1}] * 11}, "VolumeBackup.0050"),
]


@pytest.mark.parametrize(("change", "code"), BAD_FIELDS, ids=lambda value: repr(value)[:60])
def test_the_first_rule_that_a_field_breaks_gives_the_code(alpha: Client, change: dict[str, Any], code: str) -> None:
    answer = alpha.send("POST", CREATE, body={"backup": {**GOOD, **change}})
    assert (answer.status, answer.code) == (400, code), answer.body


@pytest.mark.parametrize(
    ("change", "is_incremental"),
    [
        ({}, True),
        ({"extend_param": None}, True),
        ({"extend_param": ""}, True),
        ({"extend_param": {}}, True),
        ({"extend_param": {"FullBackup": ""}}, True),
        ({"extend_param": {"FullBackup": "FALSE"}}, True),
        ({"extend_param": {"FullBackup": "True", "x": 1}}, False),
        ({"extend_param": {"FullBackup": True}}, False),
    ],
)
def test_full_is_what_was_asked_for(
    alpha: Client, service: Service, change: dict[str, Any], *, is_incremental: bool
) -> None:
    first = add_backup(service, ALPHA)
    volume = alpha.get(f"/v2/{{p}}/backups/{first}")["backup"]["volume_id"]
    answer = alpha.send("POST", CREATE, body={"backup": {"volume_id": volume.upper(), "name": "n", **change}})
    backup_id = job_of(alpha, answer.json()["job_id"])["entities"]["backup_id"]
    assert alpha.get(f"/v2/{{p}}/backups/{backup_id}")["backup"]["is_incremental"] is is_incremental


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_other_media_types_are_400_here_and_415_natively(alpha: Client, content_type: str) -> None:
    answer = alpha.send("POST", CREATE, body={"backup": GOOD}, Content_Type=content_type)
    assert (answer.status, answer.code) == (400, "VolumeBackup.0002")
    assert alpha.send("POST", "/v3/{p}/backups", body={"backup": GOOD}, Content_Type=content_type).status == 415


@pytest.mark.parametrize("content_type", ["", "application/json;charset=UTF-8", "application/json"])
def test_json_with_or_without_saying_so(alpha: Client, content_type: str) -> None:
    assert alpha.send("POST", CREATE, body={"backup": GOOD}, Content_Type=content_type).code == "VolumeBackup.0021"


def test_states_and_ceilings(alpha: Client, service: Service) -> None:
    volume = add_volume(service, ALPHA)
    wanted = {"backup": {"volume_id": volume, "name": "n"}}
    set_status(service, volume, VolumeStatus.DELETING)
    assert (alpha.send("POST", CREATE, body=wanted).code) == "VolumeBackup.0012"
    assert alpha.send("POST", CREATE, body={"backup": {**wanted["backup"], "snapshot_id": UNKNOWN}}).code == (
        "VolumeBackup.0020"
    )
    set_status(service, volume, VolumeStatus.AVAILABLE)
    assert alpha.send("POST", CREATE, body=wanted).status == 200
    second = alpha.send("POST", CREATE, body=wanted)
    assert (second.status, second.code) == (409, "VolumeBackup.0013")
    foreign = {"backup": {"volume_id": add_volume(service, GAMMA), "name": "n"}}
    stranger = alpha.send("POST", CREATE, body=foreign)
    assert (stranger.status, stranger.code) == (404, "VolumeBackup.0021")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_delete(alpha: Client, beta: Client, gamma: Client, service: Service, method: str) -> None:
    backup = add_backup(service, ALPHA)
    share_backup(service, caller(ALPHA), backup, [BETA])
    for bad in ("x", "quota", backup[:-1], backup.replace("-", "")):
        answer = alpha.send(method, f"{CREATE}/{bad}")
        assert (answer.status, answer.code) == (400, "VolumeBackup.0105")
    assert (beta.send(method, f"{CREATE}/{backup}").code) == "VolumeBackup.0042"
    assert (gamma.send(method, f"{CREATE}/{backup}").code) == "VolumeBackup.0110"
    answer = alpha.send(method, f"{CREATE}/{backup.upper()}", body=b"ignored")
    assert answer.status == 200
    assert job_of(alpha, answer.json()["job_id"])["job_type"] == "bksDeleteBackup"
    assert alpha.get(f"/v2/{{p}}/backups/{backup}")["backup"]["status"] == "deleting"
    assert alpha.get("/v2/{p}/os-vendor-backup-sharing/count") == {"count": 0}
    again = alpha.send(method, f"{CREATE}/{backup}")
    assert (again.status, again.code) == (409, "VolumeBackup.0125")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "VolumeBackup.0210"),
        (b"{", "VolumeBackup.0210"),
        ({}, "VolumeBackup.0210"),
        ({"restore": None}, "VolumeBackup.0210"),
        ({"restore": {}}, "VolumeBackup.0208"),
        ({"restore": {"volume_id": ""}}, "VolumeBackup.0208"),
        ({"restore": {"volume_id": "x"}}, "VolumeBackup.0208"),
        (b" " * (BODY_BYTES_MAX + 1), "VolumeBackup.0002"),
        ({"restore": {"volume_id": UNKNOWN}}, "VolumeBackup.0204"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_restore_checks_body_then_field_then_id(alpha: Client, body: Any, code: str) -> None:
    answer = alpha.send("POST", f"{CREATE}/not-an-id/restore", body=body)
    assert (answer.status, answer.code) == (400, code)


def test_restore_states(alpha: Client, beta: Client, gamma: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    target = add_volume(service, ALPHA)

    def restore(client: Client, volume: str, backup_id: str = backup) -> tuple[int, str | None]:
        answer = client.send("POST", f"{CREATE}/{backup_id}/restore", body={"restore": {"volume_id": volume}})
        return answer.status, None if answer.status == 200 else answer.code

    assert alpha.send("POST", f"{CREATE}//restore", body={"restore": {"volume_id": target}}).code == "VolumeBackup.0203"
    assert restore(alpha, target, UNKNOWN) == (404, "VolumeBackup.0111")
    assert restore(gamma, target) == (404, "VolumeBackup.0111")
    assert restore(alpha, add_volume(service, GAMMA)) == (404, "VolumeBackup.0207")
    for status, code in [
        (VolumeStatus.ERROR, "VolumeBackup.0202"),
        (VolumeStatus.BACKING_UP, "VolumeBackup.0206"),
        (VolumeStatus.EXTENDING, "VolumeBackup.0205"),
    ]:
        set_status(service, target, status)
        assert restore(alpha, target) == (409, code)
    set_status(service, target, VolumeStatus.AVAILABLE)
    assert restore(alpha, target) == (200, None)
    share_backup(service, caller(ALPHA), backup, [BETA])
    assert restore(beta, add_volume(service, BETA)) == (200, None)
    assert alpha.get(f"/v2/{{p}}/backups/{backup}")["backup"]["status"] == "restoring"
    assert beta.get(f"/v2/{{p}}/backups/{backup}")["backup"]["status"] == "restoring"


def test_quota(alpha: Client, service: Service) -> None:
    add_backup(service, ALPHA)
    add_backup(service, ALPHA, status="creating")
    assert alpha.get(f"{CREATE}/quota") == {
        "quotas": {
            "resources": [
                {"type": "backups", "used": 1, "reserved": 1, "quota": -1},
                {"type": "backup_gigabytes", "used": 1, "reserved": 1, "quota": -1},
            ]
        }
    }


def test_a_ceiling_is_403_here_and_413_natively(alpha: Client, service: Service) -> None:
    first = add_backup(service, ALPHA)
    volume = alpha.get(f"/v2/{{p}}/backups/{first}")["backup"]["volume_id"]
    with service.database.write() as connection:
        connection.exec_driver_sql("UPDATE backups SET status = 'available'")
    for _ in range(2):
        assert alpha.send("POST", CREATE, body={"backup": {"volume_id": volume, "name": "n"}}).status == 200
        with service.database.write() as connection:
            connection.exec_driver_sql("UPDATE backups SET status = 'available'")
            connection.exec_driver_sql("UPDATE volumes SET status = 'available'")
    answer = alpha.send("POST", CREATE, body={"backup": {"volume_id": volume, "name": "n"}})
    assert (answer.status, answer.code) == (403, "VolumeBackup.0040")
    native = alpha.send("POST", "/v3/{p}/backups", body={"backup": {"volume_id": volume}})
    assert (native.status, native.headers["retry-after"]) == (413, "0")
    assert native.headers["x-vbs-error-code"] == "VolumeBackup.0040"
    assert "exceed" in native.json()["overLimit"]["message"]
    assert native.json()["overLimit"]["retryAfter"] == "0"
