"""kill -9 of the worker at random moments: every job ends, what was committed restores, nothing stays half done."""

import random
import time

import pytest

from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.copies import copy_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.shares import share_backup
from openvbs.actions.snapshots import create_snapshot
from openvbs.actions.volumes import create_volume, delete_volume
from openvbs.db import jobs
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.domain.job import Job
from openvbs.domain.volume import NewVolume
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.site import Content, Site, WorkerProcess
from tests.support.waiting import until

ALPHA, BETA = caller("alpha"), caller("beta")
DATA_BYTES = 150 * MIB
SECONDS_MAX = 0.8
"""Longer than any of the jobs takes."""


class Killer:
    """Asks for work while a worker runs, kills it at some moment, and lets the next one go on."""

    def __init__(self, site: Site, seed: int) -> None:
        print(f"seed {seed}")
        self.site = site
        self.random = random.Random(seed)
        self.worker = WorkerProcess(site)

    def let_it_live(self, seconds_max: float) -> None:
        time.sleep(self.random.uniform(0, seconds_max))
        self.worker.close()
        self.worker = WorkerProcess(self.site)

    def finish(self) -> None:
        """Every job has ended, and another start finds nothing left to do."""
        until(lambda: not self.open_jobs(), what="every job ends")
        self.worker.stop()
        assert self.site.files.frozen_jobs() == []

    def open_jobs(self) -> list[Job]:
        with self.site.database.read() as connection:
            return [job for job in jobs.list_open(connection) if job.kind != "collectRepository"]


@pytest.fixture(params=[1, *[pytest.param(seed, marks=pytest.mark.heavy) for seed in range(2, 7)]])
def killer(site: Site, request: pytest.FixtureRequest):
    killer = Killer(site, request.param)
    yield killer
    killer.worker.close()


def made_volume(site: Site) -> tuple[str, Content]:
    volume = site.new_volume(data_bytes=DATA_BYTES)
    return volume.id, site.content(volume.id)


def test_kill_during_a_backup(killer: Killer, site: Site) -> None:
    volume_id, then = made_volume(site)
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume_id, name="b"))
    killer.let_it_live(SECONDS_MAX)
    site.succeeded(job)
    assert site.volume(volume_id).status == "available"
    _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
    site.succeeded(job)
    assert site.content(target.id) == then
    killer.finish()


def test_kill_during_a_restore(killer: Killer, site: Site) -> None:
    volume_id, then = made_volume(site)
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume_id, name="b"))
    site.succeeded(job)
    site.write_random(volume_id, 30 * MIB)
    _, _, over = restore_backup(site.service, ALPHA, backup.id, NewRestore(volume_id=volume_id))
    _, target, new = restore_backup(site.service, ALPHA, backup.id, NewRestore())
    killer.let_it_live(SECONDS_MAX)
    site.succeeded(over)
    site.succeeded(new)
    for restored in (volume_id, target.id):
        assert site.volume(restored).status == "available"
        assert site.content(restored) == then
    killer.finish()


@pytest.mark.heavy
@pytest.mark.parametrize("killer", [1, 2], indirect=True)
def test_kill_during_a_copy(killer: Killer, site: Site) -> None:
    volume_id, then = made_volume(site)
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume_id, name="b"))
    site.succeeded(job)
    share_backup(site.service, ALPHA, backup.id, ["beta"])
    copy, job = copy_backup(site.service, BETA, backup.id)
    killer.let_it_live(SECONDS_MAX)
    site.succeeded(delete_backup(site.service, ALPHA, backup.id))
    site.succeeded(job)
    _, target, job = restore_backup(site.service, BETA, copy.id, NewRestore())
    site.succeeded(job)
    assert site.content(target.id) == then
    killer.finish()


def test_kill_during_deletes_and_small_jobs(killer: Killer, site: Site) -> None:
    volume_id, then = made_volume(site)
    kept, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume_id, name="kept"))
    site.succeeded(job)
    doomed, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume_id, name="doomed"))
    site.succeeded(job)
    asked = [delete_backup(site.service, ALPHA, doomed.id)]
    made, job = create_volume(site.service, ALPHA, NewVolume(size_gib=1))
    asked.append(job)
    snapshot, job = create_snapshot(site.service, ALPHA, volume_id=volume_id)
    asked.append(job)
    killer.let_it_live(0.3)
    for job in asked:
        site.succeeded(job)
    assert site.backup(doomed.id) is None
    assert site.volume(made.id).status == "available"
    assert site.volume(volume_id).status == "available"
    assert Content(site.files.snapshot(snapshot.id)) == then
    job = delete_volume(site.service, ALPHA, volume_id, cascade=True)
    killer.let_it_live(0.3)
    site.succeeded(job)
    assert not site.files.volume(volume_id).exists()
    assert not site.files.snapshot(snapshot.id).exists()
    _, target, job = restore_backup(site.service, ALPHA, kept.id, NewRestore())
    site.succeeded(job)
    assert site.content(target.id) == then
    killer.finish()


@pytest.mark.heavy
def test_a_live_worker_takes_over_what_a_silent_one_had(tmp_path) -> None:
    """Two workers on PostgreSQL: one is held still in the middle of a backup, and declared dead after a minute."""
    from tests.support.postgres import postgres_server

    with postgres_server() as server:
        site = Site(tmp_path, server.create_database())
        try:
            take_over(site)
        finally:
            site.close()


def take_over(site: Site) -> None:
    with WorkerProcess(site) as first:
        volume = site.new_volume(data_bytes=400 * MIB)
        then = site.content(volume.id)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        until(lambda: site.job(job.id).bytes_done > 0, what="the backup is under way")
        first.hold()
        with WorkerProcess(site) as second:
            ended = until(
                lambda: j if (j := site.job(job.id)).status == "SUCCESS" else None, what="takeover", seconds_max=150
            )
            assert ended.attempt == 2
            first.let_go_on()
            _, target, restoring = restore_backup(site.service, ALPHA, backup.id, NewRestore())
            site.succeeded(restoring)
            assert site.content(target.id) == then
            assert site.job(job.id) == ended
            second.stop()
        first.stop()
