"""Ending a worker parks its jobs; the next one goes on with them."""

import threading
from pathlib import Path

from openvbs.actions.backups import create_backup
from openvbs.actions.images import export_image
from openvbs.actions.restores import restore_backup
from openvbs.db import jobs, workers
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.domain.job import Job
from openvbs.jobs.run import PARKED
from openvbs.jobs.worker import LOST_ATTEMPTS_MAX
from openvbs.jobs.worker_id import worker_id
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.site import Site, WorkerProcess
from tests.support.stores import GatedReads, GatedStore
from tests.support.waiting import until

ALPHA = caller("alpha")


def stored_bytes(site: Site) -> int:
    return sum(info.size_bytes for info in site.store.list("alpha/packs/"))


def park_in_the_middle(site: Site, gated: GatedStore, job: Job) -> None:
    """Run the job until it waits for the store, end the worker, and only then let the store answer."""
    with site.worker(gated) as parts:
        until(gated.reached.is_set, what="the store is asked")

        def open_gate() -> None:
            parts.stopping.wait()
            gated.gate.set()

        opener = threading.Thread(target=open_gate)
        opener.start()
    opener.join()
    parked = site.job(job.id)
    assert (parked.status, parked.end_time, parked.attempt, parked.arguments[PARKED]) == ("RUNNING", None, 1, 1)


def test_a_backup_that_is_parked_goes_on_and_uses_what_it_had_stored(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=300 * MIB)
        then = site.content(volume.id)
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    park_in_the_middle(site, GatedStore(site.store, "packs/"), job)
    assert site.volume(volume.id).status == "backing-up"
    before = stored_bytes(site)
    assert 0 < before < 250 * MIB
    with site.worker():
        site.succeeded(job)
        assert site.job(job.id).attempt == 2
        assert stored_bytes(site) < 310 * MIB
        _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == then


def test_a_restore_that_is_parked_goes_on(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=100 * MIB)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
    _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
    park_in_the_middle(site, GatedReads(site.store, "packs/"), job)
    assert site.volume(target.id).status == "restoring-backup"
    with site.worker():
        site.succeeded(job)
        assert site.content(target.id) == site.content(volume.id)


def test_a_worker_process_parks_on_sigterm_and_another_goes_on(site: Site) -> None:
    with WorkerProcess(site) as worker:
        volume = site.new_volume(data_bytes=300 * MIB)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        until(lambda: site.job(job.id).status == "RUNNING", what="the job begins")
        worker.stop()
        with site.database.read() as connection:
            assert workers.list_all(connection) == []
    with WorkerProcess(site) as worker:
        site.succeeded(job)
        _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
        site.succeeded(job)
        worker.stop()
    assert site.content(target.id) == site.content(volume.id)


def test_a_job_whose_attempts_were_lost_too_often_is_given_up(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
    _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    with site.database.write() as connection:
        for _ in range(LOST_ATTEMPTS_MAX):
            jobs.begin(connection, job.id, now=site.service.clock())
    with site.worker():
        assert "Given up" in str(site.failed(job).fail_reason)
        assert site.volume(volume.id).status == "available"


def test_a_worker_keeps_its_id_and_two_at_once_have_two(tmp_path) -> None:
    with worker_id(tmp_path) as first, worker_id(tmp_path) as second:
        assert first != second
    with worker_id(tmp_path) as again:
        assert again == first


def test_an_export_that_is_given_up_leaves_no_half_written_file(site: Site, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(MIB))
    volume = site.register(disk, freeze_command=None, thaw_command=None)
    folder = tmp_path / "exports"
    folder.mkdir()
    job = export_image(site.service, ALPHA, volume.id, path=str(folder / "out.img"))
    (folder / f".tmp-{job.id}-{'0' * 32}").write_bytes(b"half of the volume")
    with site.database.write() as connection:
        for _ in range(LOST_ATTEMPTS_MAX):
            jobs.begin(connection, job.id, now=site.service.clock())
    with site.worker():
        site.failed(job)
        assert list(folder.iterdir()) == []
