"""The database of a running service is lost: what the store and the root key alone give back, told as it happens."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openvbs.units import MIB
from tests.support.images import write_image
from tests.support.parties import Parties, Party, log_in_all
from tests.support.records import Records
from tests.support.service import OPENVBS, RunningService
from tests.support.site import Content
from tests.support.steps import backup, cancel, delete_backup, new_backup, new_volume, share, start_restore, succeeded
from tests.support.waiting import until

pytestmark = pytest.mark.heavy
V39 = {"OpenStack-API-Version": "volume 3.9"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    service = RunningService(tmp_path_factory.mktemp("lost") / "data").start()
    try:
        yield service
    finally:
        if service.running:
            service.kill()


def run(*arguments: str, code: int = 0) -> Any:
    """What the command prints as JSON."""
    done = subprocess.run(
        [str(OPENVBS), *arguments, "--json"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, done
    return json.loads(done.stdout)


def filled(service: RunningService, owner: Party, name: str, seed: int) -> tuple[str, Content]:
    """A backup, and what is in its volume."""
    volume_id = new_volume(owner, name=f"disk of {name}")
    image = write_image(service.data_dir / "volumes" / volume_id, data_bytes=12 * MIB, seed=seed)
    return new_backup(owner, volume_id, name), Content(image)


def store_is_told(service: RunningService) -> None:
    records = Records(service.database_url)
    try:
        owed = "SELECT count(*) FROM store_records WHERE version <> stored_version"
        until(lambda: records.scalar(owed) == 0, what="the store knows of every change")
    finally:
        records.close()


def restored(service: RunningService, who: Party, backup_id: str) -> Content:
    volume_id = new_volume(who)
    succeeded(who, start_restore(who, backup_id, volume_id))
    return Content(service.data_dir / "volumes" / volume_id)


def lose_the_database(service: RunningService) -> None:
    service.kill()
    lost = [path for path in service.data_dir.iterdir() if path.name.startswith("openvbs.db")]
    assert lost
    for path in lost:
        path.unlink()


def test_everything_comes_back_but_what_was_cancelled(service: RunningService, tmp_path: Path) -> None:
    parties: Parties = log_in_all(service.clouds_file, service.url)
    alpha, beta, gamma = parties.alpha, parties.beta, parties.gamma
    kept, kept_bytes = filled(service, alpha, "kept", 1)
    ended, ended_bytes = filled(service, alpha, "ended", 2)
    gammas, gammas_bytes = filled(service, gamma, "gammas", 3)
    deleted, _ = filled(service, gamma, "deleted", 4)
    (kept_share,) = share(alpha, kept, beta)
    (ended_share,) = share(alpha, ended, beta)
    store_is_told(service)
    assert cancel(alpha, ended_share).status == 200
    renamed = {"backup": {"name": "renamed", "description": "after it was made"}}
    assert alpha.send("PUT", f"/v3/{{p}}/backups/{kept}", json_body=renamed, headers=V39).status == 200
    delete_backup(gamma, deleted)
    store_is_told(service)
    lose_the_database(service)

    listed = run("rescue", "list", str(service.data_dir))
    assert listed["problems"] == []
    names = {row["id"]: (row["project_id"], row["name"]) for row in listed["backups"]}
    assert names == {
        kept: (alpha.project_id, "renamed"),
        ended: (alpha.project_id, "ended"),
        gammas: (gamma.project_id, "gammas"),
    }
    wanted = {kept: kept_bytes, ended: ended_bytes, gammas: gammas_bytes}
    images = run("rescue", "restore", str(service.data_dir), str(tmp_path))["restored"]
    assert {row["backup_id"]: Content(Path(row["file"])) for row in images} == wanted

    rebuilt = run("rescue", "rebuild", *service.folder_flags)
    assert rebuilt["backups"] == {alpha.project_id: 2, gamma.project_id: 1}
    assert [row["id"] for row in rebuilt["suspended_shares"]] == [kept_share]
    service.start()
    parties = log_in_all(service.clouds_file, service.url)
    alpha, beta, gamma = parties.alpha, parties.beta, parties.gamma
    assert backup(alpha, kept)["name"] == "renamed"
    for backup_id in (kept, ended):
        assert beta.send("GET", f"/v2/{{p}}/backups/{backup_id}").status == 404
    accepted = run("rescue", "shares", *service.folder_flags, "--accept", kept_share)
    assert [row["to_project_id"] for row in accepted] == [beta.project_id]
    assert restored(service, beta, kept) == kept_bytes
    assert beta.send("GET", f"/v2/{{p}}/backups/{ended}").status == 404
    assert restored(service, alpha, ended) == ended_bytes
    assert restored(service, gamma, gammas) == gammas_bytes
    # From here on it is a service like any other.
    assert cancel(alpha, kept_share).status == 200
    assert beta.send("GET", f"/v2/{{p}}/backups/{kept}").status == 404
    delete_backup(alpha, kept)
    again, again_bytes = filled(service, alpha, "again", 5)
    assert restored(service, alpha, again) == again_bytes
    service.stop()
