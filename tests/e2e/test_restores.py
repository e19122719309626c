"""Restoring: the bytes, what the volume gets beside them, who sees that it runs, and what may happen meanwhile."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from openvbs.units import GIB, MIB
from tests.support.images import digest, write_image
from tests.support.midway import held_midway
from tests.support.parties import Parties, Party
from tests.support.records import Records
from tests.support.steps import (
    SHARING,
    backup,
    cancel_all,
    delete_backup,
    ended,
    events,
    gone,
    job,
    new_backup,
    new_volume,
    share,
    start_delete,
    start_restore,
    succeeded,
    volume_is,
    volume_status,
)

Stopped = Callable[[], AbstractContextManager[None]]
LARGE_BYTES = 512 * MIB
V347 = {"OpenStack-API-Version": "volume 3.47"}


@pytest.fixture(scope="module")
def large(alpha: Party, data_dir: Path) -> dict[str, str]:
    """A backup that takes a while to restore: its id, its volume's id and the digest of its bytes."""
    volume_id = new_volume(alpha, name="owner's name", description="owner's words", metadata={"owner": "alpha"})
    path = write_image(data_dir / "volumes" / volume_id, data_bytes=LARGE_BYTES, seed=7)
    return {"id": new_backup(alpha, volume_id, "large"), "volume": volume_id, "digest": digest(path)}


@pytest.fixture
def restored(data_dir: Path, large: dict[str, str]) -> Callable[[str], bool]:
    """Says whether a volume holds the large backup's bytes."""
    return lambda volume_id: digest(data_dir / "volumes" / volume_id) == large["digest"]


def volume(owner: Party, volume_id: str) -> dict[str, Any]:
    found: dict[str, Any] = owner.get(f"/v3/{{p}}/volumes/{volume_id}")["volume"]
    return found


def test_recipient_restores_into_its_own_and_into_a_new_volume(
    alpha: Party, beta: Party, large: dict[str, str], restored: Callable[[str], bool]
) -> None:
    (share_id,) = share(alpha, large["id"], beta)
    own = new_volume(beta, name="betas own", metadata={"mine": "yes"})
    succeeded(beta, start_restore(beta, large["id"], own))
    assert restored(own)
    assert (volume(beta, own)["name"], volume(beta, own)["metadata"]) == ("betas own", {"mine": "yes"})

    answer = beta.send("POST", f"/v3/{{p}}/backups/{large['id']}/restore", json_body={"restore": {}})
    assert answer.status == 202
    made = answer.json()["restore"]["volume_id"]
    succeeded(beta, answer.headers["x-openvbs-job-id"])
    assert restored(made)
    record = volume(beta, made)
    assert record["name"] == f"restore_backup_{large['id']}"
    assert record["description"] == "auto-created_from_restore_from_backup"
    assert record["metadata"] == {}
    for volume_id in (own, made):
        assert alpha.send("GET", f"/v3/{{p}}/volumes/{volume_id}").status == 404

    written = [(event["action"], event["actor_project_id"]) for event in events(alpha, share_id=share_id)]
    assert sorted(written) == [
        ("share.create", alpha.project_id),
        ("share.restore", beta.project_id),
        ("share.restore", beta.project_id),
        ("share.restore_end", beta.project_id),
        ("share.restore_end", beta.project_id),
    ]
    cancel_all(alpha, large["id"])
    assert restored(own), "volumes that were made stay when the share ends"
    assert beta.send("DELETE", f"/v3/{{p}}/volumes/{made}").status == 202


@pytest.mark.parametrize("who", ["owner", "recipient"])
def test_what_a_restored_volume_gets_from_the_source(alpha: Party, beta: Party, records: Records, who: str) -> None:
    """Bootable flag and image metadata go along; names, description and metadata only within the owner's project."""
    source = new_volume(alpha, name="web root", description="of the web", metadata={"tier": "gold"})
    image = '{"os_type": "linux"}'
    records.execute(
        "UPDATE volumes SET bootable = :yes, image_metadata = :image WHERE id = :id", yes=True, image=image, id=source
    )
    backup_id = new_backup(alpha, source, "properties")
    share(alpha, backup_id, beta)
    caller = alpha if who == "owner" else beta
    answer = caller.send("POST", f"/v3/{{p}}/backups/{backup_id}/restore", json_body={"restore": {}})
    succeeded(caller, answer.headers["x-openvbs-job-id"])
    record = volume(caller, answer.json()["restore"]["volume_id"])
    assert record["bootable"] == "true"
    assert record["volume_image_metadata"] == {"os_type": "linux"}
    if who == "owner":
        assert (record["name"], record["description"]) == ("web root", "of the web")
        assert record["metadata"] == {"tier": "gold", "src_backup_id": backup_id}
    else:
        assert "web" not in f"{record['name']} {record['description']}"
        assert record["metadata"] == {}
    delete_backup(alpha, backup_id)


def test_volume_made_of_a_backup(
    alpha: Party, large: dict[str, str], restored: Callable[[str], bool], data_dir: Path
) -> None:
    body = {"volume": {"backup_id": large["id"], "name": "of backup", "size": 2}}
    answer = alpha.send("POST", "/v3/{p}/volumes", json_body=body, headers=V347)
    assert answer.status == 202, answer
    made = answer.json()["volume"]["id"]
    volume_is(alpha, made, "available")
    record = volume(alpha, made)
    assert (record["name"], record["size"]) == ("of backup", 2)
    path = data_dir / "volumes" / made
    assert path.stat().st_size == 2 * GIB
    with path.open("r+b") as file:
        file.truncate(GIB)
    assert restored(made)


def test_larger_volume_keeps_its_tail_and_holes_become_zeros(
    alpha: Party, large: dict[str, str], restored: Callable[[str], bool], data_dir: Path
) -> None:
    target = new_volume(alpha, size=2)
    path = data_dir / "volumes" / target
    with path.open("r+b") as file:
        for place in range(0, 2 * GIB, 64 * MIB):
            file.seek(place)
            file.write(b"old" * MIB)
    succeeded(alpha, start_restore(alpha, large["id"], target))
    with path.open("r+b") as file:
        file.seek(GIB)
        assert file.read(3 * MIB) == b"old" * MIB
        file.truncate(GIB)
    assert restored(target)


def test_recipients_running_restore_outlives_cancel_and_deletion(
    alpha: Party, beta: Party, data_dir: Path, worker_stopped: Stopped
) -> None:
    """The grant was valid when the work was accepted; nobody but the recipient learns that it still runs."""
    source = new_volume(alpha)
    wanted = digest(write_image(data_dir / "volumes" / source, data_bytes=LARGE_BYTES, seed=8))
    backup_id = new_backup(alpha, source, "doomed")
    share(alpha, backup_id, beta)
    target = new_volume(beta)
    with held_midway(beta, lambda: start_restore(beta, backup_id, target), worker_stopped) as job_id:
        assert backup(alpha, backup_id)["status"] == "available"
        assert backup(beta, backup_id)["status"] == "restoring"
        cancel_all(alpha, backup_id)
        assert beta.send("GET", f"/v3/{{p}}/backups/{backup_id}").status == 404
        delete_id = start_delete(alpha, backup_id)
        late = beta.send(
            "POST", f"/v2/{{p}}/cloudbackups/{backup_id}/restore", json_body={"restore": {"volume_id": target}}
        )
        assert (late.status, late.code) == (404, "VolumeBackup.0111")
    assert succeeded(beta, job_id)["fail_reason"] is None
    succeeded(alpha, delete_id)
    gone(alpha, f"/v2/{{p}}/backups/{backup_id}")
    assert volume_status(beta, target) == "available"
    assert digest(data_dir / "volumes" / target) == wanted
    ends = [event for event in events(alpha, backup_id=backup_id) if event["action"] == "share.restore_end"]
    assert ends[0]["outcome"] == "restored"
    assert ends[0]["actor_project_id"] == beta.project_id


def test_restoring_is_seen_by_the_project_that_restores_and_blocks_its_own_deletion_only(
    parties: Parties, large: dict[str, str], worker_stopped: Stopped
) -> None:
    alpha, beta = parties.alpha, parties.beta
    (share_id,) = share(alpha, large["id"], beta)
    target, second = new_volume(alpha), new_volume(alpha)
    with worker_stopped():
        first_id = start_restore(alpha, large["id"], target)
        for viewer in (alpha, parties.reader):
            assert backup(viewer, large["id"])["status"] == "restoring"
            shown = viewer.get(f"/v2/{{p}}/backups?status=restoring&volume_id={large['volume']}")["backups"]
            assert [row["id"] for row in shown] == [large["id"]]
            assert viewer.get(f"{SHARING}/{share_id}")["shared"]["backup"]["status"] == "restoring"
        assert backup(beta, large["id"])["status"] == "available"
        assert beta.get(f"{SHARING}/{share_id}")["shared"]["backup"]["status"] == "available"

        vbs = alpha.send("POST", f"/v2/{{p}}/cloudbackups/{large['id']}")
        assert (vbs.status, vbs.code) == (409, "VolumeBackup.0125")
        native = alpha.send("DELETE", f"/v3/{{p}}/backups/{large['id']}")
        assert (native.status, list(native.json())) == (400, ["badRequest"])
        assert backup(alpha, large["id"])["status"] == "restoring"
        # Any number of restores of one backup run together.
        second_id = start_restore(alpha, large["id"], second)
        busy = alpha.send(
            "POST", f"/v2/{{p}}/cloudbackups/{large['id']}/restore", json_body={"restore": {"volume_id": target}}
        )
        assert (busy.status, busy.code) == (409, "VolumeBackup.0205")
    succeeded(alpha, first_id)
    succeeded(alpha, second_id)
    assert backup(alpha, large["id"])["status"] == "available"
    cancel_all(alpha, large["id"])


@pytest.mark.parametrize("when", ["before it begins", "in the middle"])
def test_cancelled_restore(
    alpha: Party, large: dict[str, str], restored: Callable[[str], bool], worker_stopped: Stopped, when: str
) -> None:
    target = new_volume(alpha)
    begin = partial(start_restore, alpha, large["id"], target)
    if when == "in the middle":
        with held_midway(alpha, begin, worker_stopped) as job_id:
            answer = alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
    else:
        with worker_stopped():
            job_id = begin()
            answer = alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
    assert answer.status == 202
    end = ended(alpha, job_id)
    assert (end["status"], end["error_code"]) == ("FAIL", "VolumeBackup.0200")
    assert end["fail_reason"].startswith("cancelled by ")
    assert volume_status(alpha, target) == "error_restoring"
    assert backup(alpha, large["id"])["status"] == "available"
    again = alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
    assert again.status == 409
    succeeded(alpha, start_restore(alpha, large["id"], target))
    assert volume_status(alpha, target) == "available"
    assert restored(target)


def test_cancelled_restore_into_a_new_volume(alpha: Party, large: dict[str, str], worker_stopped: Stopped) -> None:
    with worker_stopped():
        answer = alpha.send("POST", f"/v3/{{p}}/backups/{large['id']}/restore", json_body={"restore": {"name": "new"}})
        made, job_id = answer.json()["restore"]["volume_id"], answer.headers["x-openvbs-job-id"]
        assert volume_status(alpha, made) == "restoring-backup"
        assert alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}").status == 202
    assert ended(alpha, job_id)["error_code"] == "VolumeBackup.0200"
    assert volume_status(alpha, made) == "error"
    assert job(alpha, job_id)["status"] == "FAIL"
    assert alpha.send("DELETE", f"/v3/{{p}}/volumes/{made}").status == 202
    gone(alpha, f"/v3/{{p}}/volumes/{made}")
