"""A disk that fills up during a backup: the job says so, earlier backups are untouched, and the space comes back."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from openvbs.units import MIB
from tests.support.images import digest, write_image
from tests.support.parties import Party, log_in_all
from tests.support.service import RunningService
from tests.support.steps import (
    backup,
    ended,
    new_backup,
    new_volume,
    start_backup,
    start_restore,
    succeeded,
    volume_status,
)
from tests.support.waiting import until

pytestmark = pytest.mark.heavy

SMALL_BYTES = 64 * MIB
LARGE_BYTES = 256 * MIB
SLACK_BYTES = 24 * MIB
"""What a database, logs and an index may have grown by."""


@dataclass
class Site:
    service: RunningService
    alpha: Party
    disk: Path

    def free_bytes(self) -> int:
        status = os.statvfs(self.disk)
        return status.f_bavail * status.f_frsize

    def volume(self, data_bytes: int, seed: int) -> tuple[str, str]:
        """The id of a volume with that much in it, and its digest."""
        volume_id = new_volume(self.alpha)
        path = self.file(volume_id)
        return volume_id, digest(write_image(path, data_bytes=data_bytes, seed=seed))

    def file(self, volume_id: str) -> Path:
        return self.service.data_dir / "volumes" / volume_id


@pytest.fixture(params=["store", "everything"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A service whose store, or whose whole data directory, lies on a small disk of its own. Needs root to mount it."""
    disk, image = tmp_path / "disk", tmp_path / "disk.img"
    disk.mkdir()
    image.touch()
    os.truncate(image, (240 if request.param == "store" else 640) * MIB)
    subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        if request.param == "store":
            service = RunningService(tmp_path / "data", settings={"store": {"url": disk / "store"}})
        else:
            service = RunningService(disk / "data")
        with service:
            yield Site(service, log_in_all(service.clouds_file, service.url).alpha, disk)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_backup_that_does_not_fit(site: Site) -> None:
    small, wanted = site.volume(SMALL_BYTES, 1)
    earlier = new_backup(site.alpha, small, "earlier")
    large, _ = site.volume(LARGE_BYTES, 2)
    free_before = site.free_bytes()
    job_id, backup_id = start_backup(site.alpha, large, "too-large")
    end = ended(site.alpha, job_id)
    assert (end["status"], end["error_code"]) == ("FAIL", "VolumeBackup.0027")
    assert "space" in end["fail_reason"].lower()
    record = backup(site.alpha, backup_id)
    assert (record["status"], record["fail_reason"]) == ("error", end["fail_reason"])
    assert volume_status(site.alpha, large) == "available"

    until(lambda: site.free_bytes() > free_before - SLACK_BYTES, what="the space given back", seconds_max=90)
    target = new_volume(site.alpha)
    succeeded(site.alpha, start_restore(site.alpha, earlier, target))
    assert digest(site.file(target)) == wanted
    another, _ = site.volume(SMALL_BYTES // 2, 3)
    new_backup(site.alpha, another, "fits")
