"""Volumes and snapshots in the native dialect: Cinder's fields and codes."""

import pytest

from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from openvbs.db import volumes
from openvbs.domain.volume import VolumeStatus
from tests.api.conftest import ALPHA, BETA
from tests.support.actions import add_backup, add_volume, caller
from tests.support.native import EXTENDED, MADE_VOLUME, SNAPSHOT, VOLUME, at, bad_request
from tests.support.wsgi import Client


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
