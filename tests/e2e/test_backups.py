"""Backing up: what is read and shown, what may not happen at the same time, and how a backup is broken off."""

import json
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from openvbs.units import GIB, MIB
from tests.support.images import digest, write_image
from tests.support.midway import held_midway
from tests.support.parties import Party
from tests.support.service import OPENVBS
from tests.support.steps import (
    SHARING,
    backup,
    delete_backup,
    ended,
    events,
    gone,
    job,
    new_backup,
    new_volume,
    share,
    start_backup,
    start_restore,
    succeeded,
    volume_is,
    volume_status,
)

Stopped = Callable[[], AbstractContextManager[None]]


def in_store(data_dir: Path, owner: Party) -> set[str]:
    """Ids of the backups that the project's repository holds, asked of it without the service."""
    where = [data_dir / "store" / owner.project_id, "--key-file", data_dir / "root.key", "--json"]
    done = subprocess.run([OPENVBS, "repo", "list", *where], check=True, capture_output=True)
    return {row["backup_id"] for row in json.loads(done.stdout)}


def native(owner: Party, version: str, volume_id: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"backup": {"volume_id": volume_id, **fields}}
    answer = owner.send("POST", f"/{version}/{{p}}/backups", json_body=body)
    if answer.status == 202:
        succeeded(owner, answer.headers["x-openvbs-job-id"])
    return answer.status, answer.json()


def test_record_and_job_of_a_backup(alpha: Party, data_dir: Path) -> None:
    volume_id = new_volume(alpha, name="source")
    write_image(data_dir / "volumes" / volume_id, data_bytes=40 * MIB, seed=3)
    job_id, backup_id = start_backup(alpha, volume_id, "monday.1-a_B", description="month end")
    end = succeeded(alpha, job_id)
    assert end["job_type"] == "bksCreateBackup"
    assert end["progress"] == {"bytes_done": GIB, "bytes_total": GIB}
    assert end == job(alpha, job_id.replace("-", "")) == alpha.get(f"/v2/{{p}}/jobs/{job_id}")
    record = backup(alpha, backup_id)
    assert (record["name"], record["description"], record["status"]) == ("monday.1-a_B", "month end", "available")
    assert (record["size"], record["volume_id"], record["snapshot_id"]) == (1, volume_id, None)
    assert record["fail_reason"] is None
    service_metadata = json.loads(record["service_metadata"])
    assert service_metadata["progress"] == 100
    assert 40 * MIB <= service_metadata["BackupSize"] < 44 * MIB
    assert volume_status(alpha, volume_id) == "available"
    assert [e["action"] for e in events(alpha, backup_id=backup_id)] == ["backup.create_end", "backup.create"]
    assert backup_id in in_store(data_dir, alpha)


def test_jobs_are_listed_by_what_they_are_about(alpha: Party) -> None:
    volume_id = new_volume(alpha)
    made = [new_backup(alpha, volume_id, f"listed-{number}") for number in range(3)]
    delete_backup(alpha, made[0])
    of_first = alpha.get(f"/v2/{{p}}/jobs?backup_id={made[0]}")["jobs"]
    assert [row["job_type"] for row in of_first] == ["bksDeleteBackup", "bksCreateBackup"]
    assert {row["status"] for row in alpha.get("/v2/{p}/jobs?status=SUCCESS&limit=5")["jobs"]} == {"SUCCESS"}
    walked: list[str] = []
    target = "/v2/{p}/jobs?limit=3&status=SUCCESS"
    while target:
        page = alpha.get(target)
        walked += [row["job_id"] for row in page["jobs"]]
        links = {link["rel"]: link["href"] for link in page.get("jobs_links", [])}
        target = links.get("next", "").removeprefix(alpha.base)
    everything = alpha.get("/v2/{p}/jobs?status=SUCCESS")["jobs"]
    assert walked == [row["job_id"] for row in everything]


def test_second_backup_stores_only_what_changed(alpha: Party, data_dir: Path) -> None:
    volume_id = new_volume(alpha)
    path = write_image(data_dir / "volumes" / volume_id, data_bytes=64 * MIB, seed=4)
    first = new_backup(alpha, volume_id, "first")
    unchanged = digest(path)
    with path.open("r+b") as file:
        file.write(b"changed")
    second = new_backup(alpha, volume_id, "second")
    full = new_backup(alpha, volume_id, "full", extend_param={"FullBackup": "true"})
    stored = {i: json.loads(backup(alpha, i)["service_metadata"])["BackupSize"] for i in (first, second, full)}
    assert stored[first] > 64 * MIB
    assert stored[second] < 8 * MIB
    assert stored[full] < 1 * MIB, "known blocks are not stored twice, however carefully they were read"
    assert [backup(alpha, i)["is_incremental"] for i in (first, second, full)] == [False, True, False]
    # There are no chains: the first can go, and the second is whole by itself.
    assert backup(alpha, first)["has_dependent_backups"] is False
    target = new_volume(alpha)
    succeeded(alpha, start_restore(alpha, first, target))
    assert digest(data_dir / "volumes" / target) == unchanged
    delete_backup(alpha, first)
    succeeded(alpha, start_restore(alpha, second, target))
    assert digest(data_dir / "volumes" / target) == digest(path)


def test_incremental_on_v3_is_what_was_asked_for(alpha: Party) -> None:
    volume_id = new_volume(alpha)
    status, refused = native(alpha, "v3", volume_id, incremental=True)
    assert status == 400
    assert "No backups available to do an incremental backup." in refused["badRequest"]["message"]
    assert alpha.get(f"/v3/{{p}}/backups?volume_id={volume_id}")["backups"] == []
    shown = {}
    for name, incremental in (("first", False), ("second", True), ("third", False)):
        status, document = native(alpha, "v3", volume_id, name=name, incremental=incremental)
        assert status == 202
        backup_id = document["backup"]["id"]
        shown[name] = alpha.get(f"/v3/{{p}}/backups/{backup_id}")["backup"]["is_incremental"]
    assert shown == {"first": False, "second": True, "third": False}


def test_backup_of_a_snapshot_is_of_its_moment(alpha: Party, data_dir: Path) -> None:
    volume_id = new_volume(alpha)
    path = write_image(data_dir / "volumes" / volume_id, data_bytes=16 * MIB, seed=5)
    before = digest(path)
    answer = alpha.send("POST", "/v3/{p}/snapshots", json_body={"snapshot": {"volume_id": volume_id, "name": "noon"}})
    assert answer.status == 202
    snapshot_id = answer.json()["snapshot"]["id"]
    succeeded(alpha, answer.headers["x-openvbs-job-id"])
    volume_is(alpha, volume_id, "available")
    with path.open("r+b") as file:
        file.write(b"afternoon")
    backup_id = new_backup(alpha, volume_id, "noon", snapshot_id=snapshot_id)
    assert backup(alpha, backup_id)["snapshot_id"] == snapshot_id
    target = new_volume(alpha)
    succeeded(alpha, start_restore(alpha, backup_id, target))
    assert digest(data_dir / "volumes" / target) == before
    assert alpha.send("DELETE", f"/v3/{{p}}/volumes/{volume_id}").status == 400, "it has a snapshot"
    assert alpha.send("DELETE", f"/v3/{{p}}/volumes/{volume_id}?cascade=true").status == 202
    gone(alpha, f"/v3/{{p}}/snapshots/{snapshot_id}")


def test_one_backup_of_a_volume_at_a_time(alpha: Party, worker_stopped: Stopped) -> None:
    volume_id, other = new_volume(alpha), new_volume(alpha)
    with worker_stopped():
        job_id, backup_id = start_backup(alpha, volume_id, "first")
        other_job_id, _ = start_backup(alpha, other, "other")
        assert volume_status(alpha, volume_id) == "backing-up"
        body = {"backup": {"volume_id": volume_id, "name": "second"}}
        second = alpha.send("POST", "/v2/{p}/cloudbackups", json_body=body)
        assert (second.status, second.code) == (409, "VolumeBackup.0013")
        assert native(alpha, "v3", volume_id)[0] == 400
        for method, target, refusal in (
            ("DELETE", f"/v2/{{p}}/backups/{backup_id}", 400),
            ("POST", f"/v2/{{p}}/cloudbackups/{backup_id}", 409),
            ("DELETE", f"/v3/{{p}}/volumes/{volume_id}", 400),
        ):
            assert alpha.send(method, target).status == refusal
        unusable = alpha.send(
            "POST", f"/v2/{{p}}/cloudbackups/{backup_id}/restore", json_body={"restore": {"volume_id": other}}
        )
        assert (unusable.status, unusable.code) == (409, "VolumeBackup.0089")
        to_itself = {"shared": {"backup_id": backup_id, "to_project_ids": ["somebody"]}}
        assert alpha.send("POST", SHARING, json_body=to_itself).code == "VolumeBackup.0089"
    succeeded(alpha, job_id)
    succeeded(alpha, other_job_id)
    assert len(alpha.get(f"/v2/{{p}}/backups?volume_id={volume_id}")["backups"]) == 1


@pytest.mark.parametrize("when", ["before it begins", "in the middle"])
def test_cancelled_backup(alpha: Party, data_dir: Path, worker_stopped: Stopped, when: str) -> None:
    volume_id = new_volume(alpha)
    path = data_dir / "volumes" / volume_id
    seeds = iter(range(100, 200))

    def begin() -> str:
        write_image(path, data_bytes=256 * MIB, seed=next(seeds))
        return start_backup(alpha, volume_id, "broken-off")[0]

    if when == "in the middle":
        with held_midway(alpha, begin, worker_stopped) as job_id:
            answer = alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
    else:
        with worker_stopped():
            job_id = begin()
            answer = alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
    assert answer.status == 202
    end = ended(alpha, job_id)
    assert (end["status"], end["error_code"]) == ("FAIL", "VolumeBackup.0027")
    assert end["fail_reason"].startswith("cancelled by ")
    backup_id = end["entities"]["backup_id"]
    record = backup(alpha, backup_id)
    assert (record["status"], record["fail_reason"]) == ("error", end["fail_reason"])
    assert volume_status(alpha, volume_id) == "available"
    assert backup_id not in in_store(data_dir, alpha)
    unusable = alpha.send(
        "POST", f"/v2/{{p}}/cloudbackups/{backup_id}/restore", json_body={"restore": {"volume_id": volume_id}}
    )
    assert unusable.code == "VolumeBackup.0089"
    retried = new_backup(alpha, volume_id, "retried")
    target = new_volume(alpha)
    succeeded(alpha, start_restore(alpha, retried, target))
    assert digest(data_dir / "volumes" / target) == digest(path)
    delete_backup(alpha, backup_id)


def test_backups_outlive_their_volume(alpha: Party, beta: Party, data_dir: Path) -> None:
    volume_id = new_volume(alpha)
    wanted = digest(write_image(data_dir / "volumes" / volume_id, data_bytes=8 * MIB, seed=6))
    backup_id = new_backup(alpha, volume_id, "orphan")
    assert alpha.send("DELETE", f"/v3/{{p}}/volumes/{volume_id}").status == 202
    gone(alpha, f"/v3/{{p}}/volumes/{volume_id}")
    assert not (data_dir / "volumes" / volume_id).exists()
    assert backup(alpha, backup_id)["status"] == "available"
    assert backup_id in {row["id"] for row in alpha.get("/v3/{p}/backups")["backups"]}
    share(alpha, backup_id, beta)
    for owner in (alpha, beta):
        target = new_volume(owner)
        succeeded(owner, start_restore(owner, backup_id, target))
        assert digest(data_dir / "volumes" / target) == wanted


def test_ceiling_of_backups_of_a_volume(alpha: Party) -> None:
    volume_id = new_volume(alpha)
    made = [new_backup(alpha, volume_id, f"n{number}") for number in range(20)]
    body = {"backup": {"volume_id": volume_id, "name": "n20"}}
    over = alpha.send("POST", "/v2/{p}/cloudbackups", json_body=body)
    assert (over.status, over.code) == (403, "VolumeBackup.0040")
    over = alpha.send("POST", "/v3/{p}/backups", json_body={"backup": {"volume_id": volume_id}})
    assert (over.status, list(over.json()), over.headers["retry-after"]) == (413, ["overLimit"], "0")
    assert "exceed" in over.json()["overLimit"]["message"]
    delete_backup(alpha, made[0])
    new_backup(alpha, volume_id, "n20")
