"""The whole service, and ``openvbs repo``, on a real S3 server: from backup to collected space, with kills and outages.

OPENVBS_KILLS says how often each command is killed, OPENVBS_SEED repeats a run.
"""

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from openvbs.stores.s3 import S3Store
from openvbs.units import MIB
from tests.support.ceph import Gateway
from tests.support.images import digest, write_image
from tests.support.parties import Parties, log_in_all
from tests.support.service import OPENVBS, RunningService
from tests.support.steps import (
    cancel_all,
    delete_backup,
    new_backup,
    new_volume,
    share,
    start_backup,
    start_restore,
    succeeded,
)
from tests.support.waiting import until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("OPENVBS_KILLS", "1"))
SEED = os.environ["OPENVBS_SEED"]
DATA_BYTES = 64 * MIB


@pytest.fixture(scope="module")
def bucket(s3_server: Gateway) -> Iterator[str]:
    """A bucket that the commands started here reach."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        yield s3_server.create_bucket()


@dataclass
class Site:
    """A service with its store in a bucket."""

    service: RunningService
    parties: Parties
    url: str
    bucket: str

    def volume(self, seed: int) -> tuple[str, str]:
        """The id of alpha's new volume and the digest of what is in it."""
        volume_id = new_volume(self.parties.alpha)
        return volume_id, digest(write_image(self.file(volume_id), data_bytes=DATA_BYTES, seed=seed))

    def file(self, volume_id: str) -> Path:
        return self.service.data_dir / "volumes" / volume_id

    def repo(self, *arguments: str) -> str:
        """What an operator finds out about alpha's repository from outside."""
        where = [f"{self.url}/{self.parties.alpha.project_id}", "--key-file", str(self.service.data_dir / "root.key")]
        return run("repo", *arguments, *where)


@pytest.fixture(scope="module")
def site(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    url = f"s3://{bucket}/service"
    settings = {"store": {"url": url}}
    with RunningService(tmp_path_factory.mktemp("s3") / "data", settings=settings) as service:
        yield Site(service, log_in_all(service.clouds_file, service.url), url, bucket)


def run(*arguments: str) -> str:
    """A command that must succeed; what it printed."""
    done = subprocess.run([OPENVBS, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stored(bucket: str, prefix: str) -> dict[str, int]:
    return {info.name: info.size_bytes for info in S3Store(bucket, None).list(prefix)}


def test_backup_share_restore_cancel_delete_and_collect(site: Site) -> None:
    alpha, beta = site.parties.alpha, site.parties.beta
    volume_id, wanted = site.volume(1)
    backup_id = new_backup(alpha, volume_id, "in-a-bucket")
    again = new_backup(alpha, volume_id, "again")
    packs = f"service/{alpha.project_id}/packs/"
    size = sum(stored(site.bucket, packs).values())
    assert DATA_BYTES <= size < DATA_BYTES * 1.1
    assert not (site.service.data_dir / "store").exists()

    share(alpha, backup_id, beta)
    for owner in (alpha, beta):
        target = new_volume(owner)
        succeeded(owner, start_restore(owner, backup_id, target))
        assert digest(site.file(target)) == wanted
    cancel_all(alpha, backup_id)
    assert beta.send("GET", f"/v2/{{p}}/backups/{backup_id}").status == 404

    delete_backup(alpha, backup_id)
    assert [row["name"] for row in json.loads(site.repo("list", "--json"))] == ["again"]
    assert json.loads(site.repo("check", "--full", "--json"))["ok"]
    delete_backup(alpha, again)
    site.repo("collect")
    assert stored(site.bucket, packs) == {}


def test_an_outage_during_a_backup_is_waited_for(site: Site, s3_server: Gateway) -> None:
    alpha = site.parties.alpha
    volume_id, wanted = site.volume(2)
    packs = f"service/{alpha.project_id}/packs/"
    before = stored(site.bucket, packs)
    job_id, backup_id = start_backup(alpha, volume_id, "outage")
    until(lambda: stored(site.bucket, packs) != before, what="the first pack")
    s3_server.stop_gateway()
    until(lambda: "trying again" in site.service.log(), what="a refused request")
    s3_server.start_gateway()
    succeeded(alpha, job_id)
    target = new_volume(alpha)
    succeeded(alpha, start_restore(alpha, backup_id, target))
    assert digest(site.file(target)) == wanted


def test_a_killed_service_goes_on_where_it_was(site: Site) -> None:
    alpha = site.parties.alpha
    volume_id, wanted = site.volume(3)
    packs = f"service/{alpha.project_id}/packs/"
    before = stored(site.bucket, packs)
    job_id, backup_id = start_backup(alpha, volume_id, "killed")
    until(lambda: stored(site.bucket, packs) != before, what="the first pack")
    site.service.kill()
    site.service.start()
    succeeded(alpha, job_id)
    target = new_volume(alpha)
    succeeded(alpha, start_restore(alpha, backup_id, target))
    assert digest(site.file(target)) == wanted
    assert json.loads(site.repo("check", "--json"))["ok"]


@dataclass
class Shell:
    """``openvbs repo`` on a repository in a bucket, and what its backups must hold."""

    folder: Path
    url: str
    chance: random.Random
    wanted: dict[str, str] = field(default_factory=dict)
    """Digest by name."""

    def image(self, name: str, *, data_bytes: int = DATA_BYTES) -> Path:
        path = self.folder / name
        write_image(path, data_bytes=data_bytes, seed=self.chance.randrange(10**9))
        self.wanted[name] = digest(path)
        return path

    def arguments(self, verb: str, *more: str) -> list[str]:
        return ["repo", verb, self.url, *more, "--key-file", str(self.folder / "key")]

    def __call__(self, verb: str, *more: str) -> str:
        return run(*self.arguments(verb, *more))

    def backups(self) -> dict[str, str]:
        """Id by name of what is committed."""
        return {row["name"]: row["backup_id"] for row in json.loads(self("list", "--json"))}

    def kill(self, seconds: float, verb: str, *more: str) -> None:
        """Start a command and kill it after so many seconds, unless it has ended by then."""
        process = subprocess.Popen([OPENVBS, *self.arguments(verb, *more)], stdout=subprocess.DEVNULL)
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        process.wait()
        killer.cancel()

    def check_all(self) -> None:
        """The repository is whole, and every committed backup gives its bytes."""
        assert json.loads(self("check", "--json"))["ok"]
        for name, backup_id in self.backups().items():
            target = self.folder / "restored"
            target.unlink(missing_ok=True)
            self("restore", backup_id, str(target))
            assert digest(target) == self.wanted[name]


def test_killed_commands_leave_a_whole_repository(bucket: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path, f"s3://{bucket}/kills", random.Random(SEED))
    shell("init")
    start = time.monotonic()
    shell("backup", str(shell.image("kept")))
    seconds = time.monotonic() - start
    for number in range(KILLS):
        for verb in ("backup", "delete", "restore", "collect"):
            moment = shell.chance.uniform(seconds / 3, seconds)  # the first third is Python's start
            if verb == "backup":
                shell.kill(moment, verb, str(shell.image(f"killed-{number}")))
            elif verb == "delete":
                shell("backup", str(shell.image(f"doomed-{number}")))
                shell.kill(moment, verb, shell.backups()[f"doomed-{number}"])
            elif verb == "restore":
                shell.kill(moment, verb, shell.backups()["kept"], str(tmp_path / "cut-short"))
                (tmp_path / "cut-short").unlink(missing_ok=True)
            else:
                shell.kill(moment, verb)
        shell.check_all()
    assert "kept" in shell.backups()
