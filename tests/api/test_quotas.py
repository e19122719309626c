"""Quota sets and limits as Cinder's clients use them, what they refuse, and that nobody overtakes them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import read_identity
from openvbs.db import backups, jobs, repositories, volumes
from tests.api.conftest import ALPHA, BETA, BODY_BYTES_MAX, GAMMA, HOME, PUBLIC_URL
from tests.support.actions import add_backup, add_volume, end_job
from tests.support.wsgi import Answer, Client

KEYS = {
    "volumes", "snapshots", "gigabytes", "per_volume_gigabytes", "backups", "backup_gigabytes", "groups",
}  # fmt: skip
DEFAULTS = {
    "volumes": -1, "snapshots": -1, "gigabytes": -1, "per_volume_gigabytes": 65536, "backups": -1,
    "backup_gigabytes": -1, "groups": 0,
}  # fmt: skip
OF_ALPHA = f"/v3/{{p}}/os-quota-sets/{ALPHA}"
CLOUD = "/v2/{p}/cloudbackups"


def put(admin: Client, limits: dict[str, Any], query: str = "") -> Answer:
    return admin.send("PUT", f"{OF_ALPHA}{query}", body={"quota_set": limits})


def limited(service: Service, **limits: int) -> Client:
    """Alpha, of an installation with other defaults."""
    settings = Settings(public_url=PUBLIC_URL, body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    other = replace(service, limits=replace(service.limits, **limits))
    return Client(create_app(other, settings, read_identity), ALPHA)


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}", "/v3"])
def test_show_update_and_delete(alpha: Client, admin: Client, base: str) -> None:
    own = f"{base}/os-quota-sets/{ALPHA}"
    assert alpha.get(own) == {"quota_set": {"id": ALPHA, **DEFAULTS}}
    changed = admin.send("PUT", own, body={"quota_set": {"tenant_id": ALPHA, "backups": 5, "groups": "7"}})
    assert (changed.status, changed.json()) == (200, {"quota_set": {**DEFAULTS, "backups": 5, "groups": 7}})
    again = admin.send("PUT", own, body={"quota_set": {"backups": -1, "volumes": 0}})
    assert again.json()["quota_set"] == {**DEFAULTS, "volumes": 0, "groups": 7}
    assert alpha.get(own)["quota_set"]["volumes"] == 0
    assert alpha.get(f"{own}/defaults") == {"quota_set": {"id": ALPHA, **DEFAULTS}}
    assert admin.get(f"{base}/os-quota-sets/{GAMMA}") == {"quota_set": {"id": GAMMA, **DEFAULTS}}, "others keep theirs"
    gone = admin.send("DELETE", own)
    assert (gone.status, gone.body) == (200, b"")
    assert alpha.get(own)["quota_set"]["volumes"] == -1


def test_usage(alpha: Client, admin: Client, service: Service) -> None:
    first = add_backup(service, ALPHA)
    add_backup(service, ALPHA, status="creating")
    volume = add_volume(service, ALPHA, size_gib=3)
    add_backup(service, GAMMA)
    assert alpha.send("POST", "/v3/{p}/snapshots", body={"snapshot": {"volume_id": volume}}).status == 202
    assert alpha.send("POST", "/v3/{p}/volumes", body={"volume": {"size": 2}}).status == 202

    def used(who: Client, flag: str = "True") -> dict[str, tuple[int, int]]:
        found = who.get(f"{OF_ALPHA}?usage={flag}")["quota_set"]
        assert found.pop("id") == ALPHA
        assert set(found) == KEYS
        assert all(set(row) == {"limit", "in_use", "reserved"} for row in found.values())
        return {name: (row["in_use"], row["reserved"]) for name, row in found.items()}

    expected = {
        "volumes": (3, 1), "snapshots": (0, 1), "gigabytes": (5, 5), "backups": (1, 1), "backup_gigabytes": (1, 1),
        "per_volume_gigabytes": (0, 0), "groups": (0, 0),
    }  # fmt: skip
    assert used(alpha) == used(admin, "1") == expected
    assert alpha.get(f"{OF_ALPHA}?usage=False")["quota_set"]["volumes"] == -1
    with service.database.write() as connection:
        backups.mark_deleted(connection, first, now=service.clock())
    assert used(alpha)["backups"] == (0, 1)
    put(admin, {"backups": 9})
    assert alpha.get(f"{OF_ALPHA}?usage=true")["quota_set"]["backups"] == {"limit": 9, "in_use": 0, "reserved": 1}
    resources = alpha.get(f"{CLOUD}/quota")["quotas"]["resources"]
    assert resources[0] == {"type": "backups", "used": 0, "reserved": 1, "quota": 9}


@pytest.mark.parametrize(
    "limits",
    [
        {"backups": -2},
        {"backups": 2**31},
        {"backups": 1.5},
        {"backups": None},
        {"backups": "x"},
        {"backups": ""},
        {"backups": True},
        {"backups": [1]},
        {"shares": 1},
        {"volumes_ssd": 1},
    ],
    ids=repr,
)
def test_limits_that_are_none_change_nothing(admin: Client, alpha: Client, limits: dict[str, Any]) -> None:
    answer = put(admin, {"volumes": 4, **limits})
    assert (answer.status, answer.json()["badRequest"]["code"]) == (400, 400)
    assert alpha.get(OF_ALPHA)["quota_set"] == {"id": ALPHA, **DEFAULTS}


@pytest.mark.parametrize(
    "body", [None, {}, {"quota_set": []}, {"quota_set": None}, {"quota_set": {}, "more": 1}, {"quota": {}}]
)
def test_bodies_that_are_no_quota_set(admin: Client, body: Any) -> None:
    assert admin.send("PUT", OF_ALPHA, body=body).status == 400


def test_a_limit_below_what_is_there_only_if_validation_is_skipped(
    alpha: Client, admin: Client, service: Service
) -> None:
    for _ in range(2):
        add_volume(service, ALPHA)
    refused = put(admin, {"volumes": 1}, "?skip_validation=False")
    assert refused.status == 400
    assert put(admin, {"volumes": 2, "snapshots": 0}, "?skip_validation=False").status == 200
    assert put(admin, {"volumes": 1}).status == 200
    assert alpha.send("POST", "/v3/{p}/volumes", body={"volume": {"size": 1}}).status == 413


def test_who_may(alpha: Client, reader: Client, beta: Client, admin: Client) -> None:
    for who in (alpha, reader):
        assert who.send("GET", OF_ALPHA).status == 200
        assert who.send("PUT", OF_ALPHA, body={"quota_set": {"backups": 1}}).status == 403
        assert who.send("DELETE", OF_ALPHA).status == 403
    for target in (OF_ALPHA, f"{OF_ALPHA}/defaults", f"{OF_ALPHA}?usage=True"):
        assert beta.send("GET", target).status == 403
        assert beta.send("GET", target.replace(ALPHA, "f" * 32)).status == 403, "whether it exists or not"
    assert admin.send("GET", "/v3/{p}/os-quota-sets/no*project").status == 400


@pytest.mark.parametrize("base", ["/v2/{p}", "/v3/{p}", "/v3"])
def test_limits(alpha: Client, admin: Client, service: Service, base: str) -> None:
    add_backup(service, ALPHA)
    put(admin, {"backups": 3, "gigabytes": 10})
    expected = {
        "maxTotalVolumes": -1, "maxTotalSnapshots": -1, "maxTotalVolumeGigabytes": 10, "maxTotalBackups": 3,
        "maxTotalBackupGigabytes": -1, "totalVolumesUsed": 1, "totalSnapshotsUsed": 0, "totalGigabytesUsed": 1,
        "totalBackupsUsed": 1, "totalBackupGigabytesUsed": 1,
    }  # fmt: skip
    assert alpha.get(f"{base}/limits") == {"limits": {"rate": [], "absolute": expected}}
    at = {"OpenStack_API_Version": "volume 3.39"}
    assert alpha.get(f"{base}/limits?project_id={BETA}", **at)["limits"]["absolute"] == expected, (
        "its own whatever it asks"
    )
    if base != "/v2/{p}":
        assert admin.get(f"{base}/limits?project_id={ALPHA}", **at)["limits"]["absolute"] == expected
        assert admin.get(f"{base}/limits?project_id={ALPHA}")["limits"]["absolute"]["maxTotalBackups"] == -1


def make_volume(alpha: Client, size: int = 1) -> Answer:
    return alpha.send("POST", "/v3/{p}/volumes", body={"volume": {"size": size}})


def refused(answer: Answer, code: str) -> bool:
    body = answer.json()["overLimit"]
    return (answer.status, answer.headers["x-vbs-error-code"], "exceed" in body["message"]) == (413, code, True)


def test_what_each_quota_refuses(alpha: Client, admin: Client, service: Service) -> None:
    volume = add_volume(service, ALPHA, size_gib=2)
    backup = add_backup(service, ALPHA)
    snapshot = {"snapshot": {"volume_id": volume}}
    restore = f"/v3/{{p}}/backups/{backup}/restore"
    from_backup = {"volume": {"backup_id": backup}}
    at = {"OpenStack_API_Version": "volume 3.47"}

    put(admin, {"volumes": 2})
    assert refused(make_volume(alpha), "VolumeBackup.0082")
    assert refused(alpha.send("POST", restore, body={"restore": {}}), "VolumeBackup.0082")
    assert refused(alpha.send("POST", "/v3/{p}/volumes", body=from_backup, **at), "VolumeBackup.0082")
    assert alpha.send("POST", "/v3/{p}/volumes", body={"volume": {"source_volid": volume}}).status == 413
    assert alpha.get(f"/v3/{{p}}/volumes/{volume}")["volume"]["status"] == "available", "a refusal locks nothing"

    put(admin, {"volumes": -1, "gigabytes": 4, "per_volume_gigabytes": 3})
    assert refused(make_volume(alpha, 2), "VolumeBackup.0083")
    assert refused(alpha.send("POST", "/v3/{p}/snapshots", body=snapshot), "VolumeBackup.0083")
    extend = {"os-extend": {"new_size": 4}}
    assert refused(alpha.send("POST", f"/v3/{{p}}/volumes/{volume}/action", body=extend), "VolumeBackup.0083")
    put(admin, {"gigabytes": -1})
    assert refused(make_volume(alpha, 4), "VolumeBackup.0083")
    assert refused(alpha.send("POST", f"/v3/{{p}}/volumes/{volume}/action", body=extend), "VolumeBackup.0083")
    assert make_volume(alpha, 3).status == 202

    put(admin, {"snapshots": 0})
    assert refused(alpha.send("POST", "/v3/{p}/snapshots", body=snapshot), "VolumeBackup.0084")

    wanted = {"backup": {"volume_id": volume, "name": "n"}}
    for limits, code in (({"backups": 1}, "VolumeBackup.0080"), ({"backup_gigabytes": 2}, "VolumeBackup.0081")):
        put(admin, {"backups": -1, **limits})
        answer = alpha.send("POST", CLOUD, body=wanted)
        assert (answer.status, answer.code) == (403, code)
        assert refused(alpha.send("POST", "/v3/{p}/backups", body={"backup": {"volume_id": volume}}), code)
    put(admin, {"backup_gigabytes": 3})
    assert alpha.send("POST", CLOUD, body=wanted).status == 200


def test_a_backup_of_a_snapshot_counts_with_the_snapshots_size(alpha: Client, admin: Client, service: Service) -> None:
    volume = add_volume(service, ALPHA)
    made = alpha.send("POST", "/v3/{p}/snapshots", body={"snapshot": {"volume_id": volume}}).json()["snapshot"]["id"]
    with service.database.write() as connection:
        volumes.update_snapshot(connection, made, now=service.clock(), status="available")
        volumes.update_volume(connection, volume, now=service.clock(), status="available", size_gib=9)
    put(admin, {"backup_gigabytes": 1})
    body = {"backup": {"volume_id": volume, "snapshot_id": made}}
    assert alpha.send("POST", "/v3/{p}/backups", body=body).status == 202


def test_an_imported_record_counts(admin: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    record = admin.get(f"/v3/{{p}}/backups/{backup}/export_record")
    admin.send("PUT", f"/v3/{{p}}/os-quota-sets/{HOME}", body={"quota_set": {"backups": 0}})
    with service.database.write() as connection:
        backups.mark_deleted(connection, backup, now=service.clock())
        backups.mark_purged(connection, backup, now=service.clock())
    assert refused(admin.send("POST", "/v3/{p}/backups/import_record", body=record), "VolumeBackup.0080")


def test_the_operators_defaults(service: Service) -> None:
    alpha = limited(service, volumes_max=1, backups_max=0, shares_per_backup_max=2)
    assert alpha.get(OF_ALPHA)["quota_set"]["volumes"] == 1
    assert make_volume(alpha).status == 202
    assert make_volume(alpha).status == 413


def test_shares_of_one_backup_have_a_ceiling(service: Service) -> None:
    alpha = limited(service, shares_per_backup_max=2)
    backup = add_backup(service, ALPHA)

    def share(*projects: str) -> tuple[int, str | None]:
        body = {"shared": {"backup_id": backup, "to_project_ids": list(projects)}}
        answer = alpha.send("POST", "/v2/{p}/os-vendor-backup-sharing", body=body)
        return answer.status, None if answer.status == 200 else answer.code

    assert share("one", "two", "three") == (403, "VolumeBackup.0042")
    assert alpha.get("/v2/{p}/os-vendor-backup-sharing/count") == {"count": 0}
    assert share("one", "two") == (200, None)
    assert share("two") == (200, None), "it has that share already"
    assert share("three") == (403, "VolumeBackup.0042")


def test_a_copy_of_ones_own_is_one_more_backup_of_the_volume(service: Service) -> None:
    copy = f"/v2/{{p}}/cloudbackups/{add_backup(service, ALPHA)}/copy"
    assert limited(service, backups_per_volume_max=2).send("POST", copy).status == 200
    answer = limited(service, backups_per_volume_max=1).send("POST", copy)
    assert (answer.status, answer.code) == (403, "VolumeBackup.0040")


RACES: dict[str, tuple[dict[str, int], int]] = {
    "volumes": ({"volumes": 3}, 413),
    "gigabytes": ({"gigabytes": 5}, 413),
    "backups": ({"backups": 3}, 403),
    "backup_gigabytes": ({"backup_gigabytes": 3}, 403),
    "snapshots": ({"snapshots": 3}, 413),
}


@pytest.mark.parametrize("resource", RACES)
def test_of_many_at_once_none_gets_a_place_that_is_not_there(
    alpha: Client, admin: Client, service: Service, at_once: Callable[..., list[int]], resource: str
) -> None:
    """Two requests cannot both take the last place."""
    number = 8
    disks = [add_volume(service, ALPHA) for _ in range(number)] if resource not in {"volumes", "gigabytes"} else []
    limits, status = RACES[resource]
    put(admin, limits)

    def attempt(turn: int) -> int:
        if resource == "volumes":
            return make_volume(alpha).status
        if resource == "gigabytes":
            return make_volume(alpha, 2).status
        if resource == "snapshots":
            return alpha.send("POST", "/v3/{p}/snapshots", body={"snapshot": {"volume_id": disks[turn]}}).status
        return alpha.send("POST", CLOUD, body={"backup": {"volume_id": disks[turn], "name": "n"}}).status

    outcomes = at_once(attempt, number)
    allowed = 2 if resource == "gigabytes" else 3
    assert sorted(outcomes) == sorted([200 if status == 403 else 202] * allowed + [status] * (number - allowed))


def test_what_volumes_are_being_extended_by_is_taken(alpha: Client, admin: Client, service: Service) -> None:
    first, second = add_volume(service, ALPHA), add_volume(service, ALPHA)
    put(admin, {"gigabytes": 3})

    def extend(who: Client, volume: str) -> Answer:
        return who.send("POST", f"/v3/{{p}}/volumes/{volume}/action", body={"os-extend": {"new_size": 2}})

    def used() -> dict[str, int]:
        return alpha.get(f"{OF_ALPHA}?usage=True")["quota_set"]["gigabytes"]

    by_admin = extend(admin, first)  # whoever asks, it is the volume's project that it counts for
    assert by_admin.status == 202
    assert used() == {"limit": 3, "in_use": 2, "reserved": 1}
    assert refused(extend(alpha, second), "VolumeBackup.0083")
    assert alpha.get(f"/v3/{{p}}/volumes/{second}")["volume"]["status"] == "available"
    with service.database.write() as connection:
        job = jobs.find(connection, by_admin.headers["x-openvbs-job-id"], project_id=HOME)
        assert job is not None
    end_job(service, job, status="FAIL")
    assert used() == {"limit": 3, "in_use": 2, "reserved": 0}
    assert extend(alpha, second).status == 202


def test_usage_in_the_store(alpha: Client, gamma: Client, service: Service) -> None:
    assert alpha.get("/v2/{p}/usage") == {
        "usage": {"backups": 0, "backup_gigabytes": 0, "data_bytes": 0, "stored_bytes": 0}
    }
    add_backup(service, ALPHA)
    now = service.clock()
    with service.database.write() as connection:
        repositories.add_bytes(connection, ALPHA, 700, now=now)
        repositories.put_measured(connection, ALPHA, 5000, added_before=700, now=now)
        repositories.add_bytes(connection, ALPHA, 60, now=now)
    assert alpha.get("/v2/{p}/usage")["usage"] == {
        "backups": 1, "backup_gigabytes": 1, "data_bytes": 2**30, "stored_bytes": 5060
    }  # fmt: skip
    assert gamma.get("/v2/{p}/usage")["usage"]["stored_bytes"] == 0
    assert gamma.send("GET", f"/v2/{ALPHA}/usage").code == "VolumeBackup.0042"
