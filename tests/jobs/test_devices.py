"""Devices of the operator: frozen while they are read, and thawed whatever happens."""

import dataclasses
import os
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from openvbs.actions.backups import create_backup
from openvbs.actions.images import export_image
from openvbs.actions.restores import restore_backup
from openvbs.actions.snapshots import create_snapshot
from openvbs.actions.volumes import create_volume
from openvbs.db import jobs
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.domain.job import Job
from openvbs.domain.volume import NewVolume
from openvbs.jobs.worker import LOST_ATTEMPTS_MAX
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.site import Content, Site, WorkerProcess
from tests.support.waiting import until

ALPHA = caller("alpha")
READERS: dict[str, Callable[[Site, str], Job]] = {
    "backup": lambda site, volume_id: create_backup(site.service, ALPHA, NewBackup(volume_id=volume_id, name="b"))[1],
    "snapshot": lambda site, volume_id: create_snapshot(site.service, ALPHA, volume_id=volume_id)[1],
    "clone": lambda site, volume_id: create_volume(site.service, ALPHA, NewVolume(size_gib=1, source_volid=volume_id))[
        1
    ],
    "export": lambda site, volume_id: export_image(
        site.service, ALPHA, volume_id, path=str(site.directory / "out.img")
    ),
}
"""What reads a device."""


def test_a_frozen_device_is_thawed_after_a_backup_and_after_a_failure(site: Site) -> None:
    device = site.directory / "device"
    device.write_bytes(b"x" * MIB)
    log = site.directory / "log"
    script = site.directory / "told"
    script.write_text(f"#!/bin/sh\necho $1 >> {log}\n")
    script.chmod(0o700)
    with site.worker():
        volume = site.register(device, freeze_command=f"{script} freeze", thaw_command=f"{script} thaw")
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
        assert log.read_text().split() == ["freeze", "thaw"]
        found = site.backup(backup.id)
        assert found is not None
        assert found.is_frozen
        device.unlink()
        _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        assert site.failed(job).error_code == "VolumeBackup.0024"
        assert log.read_text().split() == ["freeze", "thaw"] * 2


def test_a_freeze_command_that_fails_fails_the_backup(site: Site) -> None:
    device = site.directory / "device"
    device.write_bytes(b"x" * MIB)
    with site.worker():
        volume = site.register(device, freeze_command="/bin/sh -c 'echo busy >&2; exit 3'", thaw_command=None)
        _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        ended = site.failed(job)
        assert ended.error_code == "VolumeBackup.0017"
        assert "exit code 3: busy" in str(ended.fail_reason)


def test_a_device_without_a_freeze_command_is_backed_up_and_marked(site: Site) -> None:
    device = site.directory / "device"
    device.write_bytes(b"x" * (MIB + 5))
    with site.worker():
        volume = site.register(device, freeze_command=None, thaw_command=None)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
        found = site.backup(backup.id)
        assert found is not None
        assert (found.is_frozen, found.bytes_total) == (False, MIB + 5)
        _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id).pieces == Content(device).pieces
        assert dataclasses.replace(site.volume(volume.id), updated_at=None) == dataclasses.replace(
            volume, updated_at=None
        )


def test_a_device_that_a_killed_attempt_left_frozen_is_thawed_and_read_anew(site: Site) -> None:
    device, log, script = (site.directory / name for name in ("device", "log", "told"))
    device.write_bytes(b"x" * MIB)
    script.write_text(f"#!/bin/sh\necho $1 >> {log}\n")
    script.chmod(0o700)
    volume = site.register(device, freeze_command=f"{script} freeze", thaw_command=f"{script} thaw")
    _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    with site.database.write() as connection:
        jobs.begin(connection, job.id, now=site.service.clock())
    with site.worker():
        site.succeeded(job)
        assert log.read_text().split() == ["thaw", "freeze", "thaw"]
    _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    with site.database.write() as connection:
        for _ in range(LOST_ATTEMPTS_MAX):
            jobs.begin(connection, job.id, now=site.service.clock())
    log.unlink()
    with site.worker():
        site.failed(job)
        assert log.read_text().split() == ["thaw"]


@pytest.mark.parametrize("reader", READERS)
def test_a_device_is_thawed_though_the_worker_was_killed_when_all_was_read(site: Site, reader: str) -> None:
    """The next attempt finds what the first one made, and has nothing to read any more."""
    device, log = site.directory / "device", site.directory / "log"
    device.write_bytes(b"x" * MIB)
    script = site.directory / "told"
    script.write_text(
        f"#!/bin/sh\nif [ $1 = thaw ] && ! grep -q killed {log}; then echo killed >> {log}; kill -9 $PPID; exit; fi\n"
        f"echo $1 >> {log}\n"
    )
    script.chmod(0o700)
    volume = site.register(device, freeze_command=f"{script} freeze", thaw_command=f"{script} thaw")
    job = READERS[reader](site, volume.id)
    with closing(WorkerProcess(site)) as worker:
        worker.process.wait(60)
    assert log.read_text().split() == ["freeze", "killed"]
    with site.worker():
        site.succeeded(job)
    assert log.read_text().split()[2:] == ["thaw"]
    assert [path.name for path in site.directory.glob("*.img")] == (["out.img"] if reader == "export" else [])
    assert not list(site.directory.glob(".tmp-*"))


def test_a_freeze_of_a_killed_worker_does_not_come_after_the_next_thaw(site: Site) -> None:
    device, log, begun, held = (site.directory / name for name in ("device", "log", "begun", "held"))
    device.write_bytes(b"x" * MIB)
    script = site.directory / "told"
    os.mkfifo(held)
    script.write_text(
        f"#!/bin/sh\nif [ $1 = freeze ] && [ ! -e {begun} ]; then touch {begun}; read x < {held}; fi\n"
        f"echo $1 >> {log}\n"
    )
    script.chmod(0o700)
    volume = site.register(device, freeze_command=f"{script} freeze", thaw_command=f"{script} thaw")
    with closing(WorkerProcess(site)) as worker:
        _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        until(begun.exists, what="the freeze command running")
        worker.kill()
    with site.worker():
        site.succeeded(job)
    with suppress(OSError):  # ENXIO: nobody waits there any more
        os.close(os.open(held, os.O_WRONLY | os.O_NONBLOCK))
        until(lambda: log.read_text().split()[-1] == "freeze", what="the end of the orphan")
    assert log.read_text().split() == ["thaw", "freeze", "thaw"]
