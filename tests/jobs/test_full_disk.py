"""A disk that is full to the last byte, with database, store and volumes on it. Needs root, to mount one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from openvbs.actions.backups import create_backup
from openvbs.actions.restores import restore_backup
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.site import Site
from tests.support.waiting import until

ALPHA = caller("alpha")
DISK_BYTES = 200 * MIB

pytestmark = pytest.mark.heavy


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Site]:
    """A site on a disk of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", tmp_path], check=True)
    try:
        directory = tmp_path / "site"
        directory.mkdir()
        site = Site(directory, f"sqlite:///{directory}/openvbs.db")
        try:
            yield site
        finally:
            site.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def used_bytes(site: Site) -> int:
    status = os.statvfs(site.directory)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_a_backup_that_fills_the_disk_says_so_and_gives_the_space_back(small: Site) -> None:
    with small.worker():
        volume = small.new_volume(data_bytes=20 * MIB)
        then = small.content(volume.id)
        kept, job = create_backup(small.service, ALPHA, NewBackup(volume_id=volume.id, name="kept"))
        small.succeeded(job)
        large = small.new_volume(data_bytes=85 * MIB)
        before = used_bytes(small)
        _, job = create_backup(small.service, ALPHA, NewBackup(volume_id=large.id, name="large"))
        ended = small.failed(job)
        assert ended.error_code == "VolumeBackup.0027"
        assert "No space is left" in str(ended.fail_reason)
        until(lambda: used_bytes(small) < before + MIB, what="the space comes back")
        small.files.volume(large.id).unlink()
        _, target, job = restore_backup(small.service, ALPHA, kept.id, NewRestore())
        small.succeeded(job)
        assert small.content(target.id) == then


def test_a_restore_that_fills_the_disk_says_so_and_gives_the_space_back(small: Site) -> None:
    with small.worker():
        volume = small.new_volume(data_bytes=20 * MIB)
        backup, job = create_backup(small.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        small.succeeded(job)
        with (small.directory / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, DISK_BYTES - used_bytes(small) - 10 * MIB)
        _, target, job = restore_backup(small.service, ALPHA, backup.id, NewRestore())
        ended = small.failed(job)
        assert ended.error_code == "VolumeBackup.0200"
        assert "No space is left" in str(ended.fail_reason)
        assert small.volume(target.id).status == "error"
        until(lambda: not small.files.volume(target.id).exists(), what="its file goes")
        (small.directory / "filler").unlink()
        _, target, job = restore_backup(small.service, ALPHA, backup.id, NewRestore())
        small.succeeded(job)
        assert small.content(target.id) == small.content(volume.id)
