"""kill -9 of the whole service at a random moment of a backup, a restore and a delete.

After the next start every job ends, every committed backup restores byte for byte, and nothing stays in between.
OPENVBS_KILLS says how many of each kind per database, OPENVBS_SEED repeats a run.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from openvbs.units import MIB
from tests.support.images import digest, write_image
from tests.support.parties import Party, log_in_all
from tests.support.service import OPENVBS, RunningKeystone, RunningService, free_port_pair
from tests.support.steps import (
    ended,
    new_backup,
    new_volume,
    start_backup,
    start_delete,
    start_restore,
    succeeded,
    volume_status,
)

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("OPENVBS_KILLS", "5"))
SEED = int(os.environ["OPENVBS_SEED"])
DATA_BYTES = 160 * MIB


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKeystone]:
    keystone = RunningKeystone(tmp_path_factory.mktemp("keystone") / "data", service_port=free_port_pair()).start()
    yield keystone
    keystone.stop()


@dataclass
class Site:
    """A service with volumes in it, what their backups must hold, and chance."""

    service: RunningService
    alpha: Party
    chance: random.Random
    committed: dict[str, str] = field(default_factory=dict)
    """Digest of what each committed backup holds, by its id."""
    notes: list[str] = field(default_factory=list)

    def fresh_volume(self) -> tuple[str, str]:
        """The id of a new volume with new contents, and their digest."""
        volume_id = new_volume(self.alpha)
        path = self.file(volume_id)
        write_image(path, data_bytes=DATA_BYTES, seed=self.chance.randrange(10**9))
        return volume_id, digest(path)

    def file(self, volume_id: str) -> Path:
        return self.service.data_dir / "volumes" / volume_id

    def kill_and_restart(self, *, within_seconds: float) -> None:
        """Kill at a moment drawn evenly from the duration of an unharmed run, which the caller has just begun."""
        wait = self.chance.uniform(0, within_seconds)
        time.sleep(wait)
        self.service.kill()
        self.notes.append(f"{wait:.3f}")
        self.service.start()

    def check_all(self, target: str) -> None:
        """Every committed backup restores byte for byte, and no record is on its way to anywhere."""
        for backup_id, wanted in self.committed.items():
            succeeded(self.alpha, start_restore(self.alpha, backup_id, target))
            assert digest(self.file(target)) == wanted, backup_id
        self.check_settled()

    def check_settled(self) -> None:
        for kind in ("volumes", "backups", "snapshots"):
            rows = self.alpha.get(f"/v3/{{p}}/{kind}/detail")[kind]
            assert {row["status"] for row in rows} <= {"available"}, rows
        jobs = self.alpha.get("/v2/{p}/jobs")["jobs"]
        assert {job["status"] for job in jobs if job["job_type"] != "collectRepository"} <= {"SUCCESS"}, jobs

    def check_repository(self) -> None:
        where = [
            self.service.data_dir / "store" / self.alpha.project_id,
            "--key-file",
            self.service.data_dir / "root.key",
        ]
        done = subprocess.run([OPENVBS, "repo", "check", *where], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, keystone: RunningKeystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    url = request.getfixturevalue("postgres").create_database() if request.param == "postgresql" else None
    data_dir = tmp_path_factory.mktemp(request.param) / "data"
    with RunningService(data_dir, database_url=url, external_keystone=keystone) as service:
        yield Site(service, log_in_all(service.clouds_file, service.url).alpha, random.Random(SEED))


@pytest.fixture(autouse=True)
def told(site: Site, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Iterator[None]:
    site.chance.seed(f"{SEED} {request.node.name}")
    site.notes.clear()
    yield
    story = f"\n{request.node.name}: OPENVBS_SEED={SEED}, {KILLS} kills, seconds after the start: {site.notes}"
    with capsys.disabled():
        print(story, file=sys.stderr)  # what a worker process of pytest writes to stdout is lost


def measured(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_backup_survives_kills(site: Site) -> None:
    volume_id, wanted = site.fresh_volume()
    target = new_volume(site.alpha)
    made: list[str] = []
    seconds = measured(lambda: made.append(new_backup(site.alpha, volume_id, "unharmed")))
    site.committed[made[0]] = wanted
    for number in range(KILLS):
        volume_id, wanted = site.fresh_volume()
        job_id, backup_id = start_backup(site.alpha, volume_id, f"killed-{number}")
        site.kill_and_restart(within_seconds=seconds)
        succeeded(site.alpha, job_id)
        assert volume_status(site.alpha, volume_id) == "available"
        site.committed[backup_id] = wanted
        succeeded(site.alpha, start_restore(site.alpha, backup_id, target))
        assert digest(site.file(target)) == wanted
    site.check_all(target)
    site.check_repository()


def test_restore_survives_kills(site: Site) -> None:
    """Each restore goes over what another one left in the same volume, so every block must be written."""
    while len(site.committed) < 2:
        volume_id, wanted = site.fresh_volume()
        site.committed[new_backup(site.alpha, volume_id, "source")] = wanted
    target = new_volume(site.alpha)
    sources = list(site.committed)[:2]
    succeeded(site.alpha, start_restore(site.alpha, sources[0], target))
    seconds = measured(lambda: succeeded(site.alpha, start_restore(site.alpha, sources[1], target)))
    for number in range(KILLS):
        source = sources[number % 2]
        job_id = start_restore(site.alpha, source, target)
        site.kill_and_restart(within_seconds=seconds)
        succeeded(site.alpha, job_id)
        assert volume_status(site.alpha, target) == "available"
        assert digest(site.file(target)) == site.committed[source]
        site.check_settled()
    site.check_all(target)
    site.check_repository()


def test_delete_survives_kills(site: Site) -> None:
    volume_id, wanted = site.fresh_volume()
    site.committed[new_backup(site.alpha, volume_id, "kept")] = wanted
    target = new_volume(site.alpha)
    unharmed = new_backup(site.alpha, volume_id, "unharmed")
    seconds = measured(lambda: ended(site.alpha, start_delete(site.alpha, unharmed)))
    for number in range(KILLS):
        doomed = new_backup(site.alpha, volume_id, f"doomed-{number}")
        job_id = start_delete(site.alpha, doomed)
        site.kill_and_restart(within_seconds=seconds)
        succeeded(site.alpha, job_id)
        assert site.alpha.send("GET", f"/v2/{{p}}/backups/{doomed}").status == 404
        site.check_settled()
    site.check_all(target)
    site.check_repository()
