"""An attempt that stood still while another one took its job over, and then goes on: it takes nothing away."""

import time

import pytest
from dbos import DBOS

from openvbs.actions.backup_records import reset_backup
from openvbs.actions.backups import create_backup
from openvbs.actions.jobs import cancel_job
from openvbs.actions.restores import restore_backup
from openvbs.actions.volumes import extend_volume
from openvbs.db import jobs
from openvbs.domain.backup import BackupStatus, NewBackup, NewRestore
from openvbs.domain.errors import VolumeBusy
from openvbs.domain.job import Job
from openvbs.jobs.failures import Failure, JobFailed, failure_of
from openvbs.jobs.made_backup import forget_committed
from openvbs.jobs.runner import fail
from openvbs.jobs.runners import RUNNERS
from openvbs.jobs.worker import CANCELLED_SECONDS, LOST_ATTEMPTS_MAX
from openvbs.units import GIB, MIB
from tests.jobs.test_records import OPERATOR, in_store
from tests.support.actions import caller
from tests.support.site import Site
from tests.support.stores import GatedStore
from tests.support.waiting import until

ALPHA = caller("alpha")


def begun(site: Site, job: Job) -> Job:
    """An attempt that a worker began, and then stands still."""
    with site.database.write() as connection:
        attempt = jobs.begin(connection, job.id, now=site.service.clock())
    assert attempt is not None
    return attempt


def failure(job: Job) -> Failure:
    return failure_of(job.kind, JobFailed("The store did not answer."))


def test_what_a_later_attempt_published_stays(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
    backup, making = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id))
    first = begun(site, making)
    with site.worker():
        site.succeeded(making)
    assert not fail(site.parts(), RUNNERS[first.kind], first, failure(first))
    assert in_store(site) == {backup.id}
    _, target, restoring = restore_backup(site.service, ALPHA, backup.id, NewRestore())
    first = begun(site, restoring)
    with site.worker():
        site.succeeded(restoring)
    assert not fail(site.parts(), RUNNERS[first.kind], first, failure(first))
    assert site.content(target.id) == site.content(volume.id)


def test_a_backup_that_an_administrator_looks_at_once_more_stays_in_the_store(site: Site) -> None:
    """It was committed, its job ended as failed, and before it was forgotten somebody reset its status."""
    with site.worker():
        volume = site.new_volume()
        backup, making = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id))
        done = site.succeeded(making)
    reset_backup(site.service, OPERATOR, backup.id, BackupStatus.ERROR)
    look = reset_backup(site.service, OPERATOR, backup.id, BackupStatus.AVAILABLE)
    assert look is not None
    forget_committed(site.parts(), done)
    assert in_store(site) == {backup.id}
    with site.worker():
        site.succeeded(look)
    forget_committed(site.parts(), done)
    assert in_store(site) == {backup.id}


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_job_goes_on_though_a_worker_began_it_that_it_was_no_longer_given_to(site: Site, cancelled: bool) -> None:
    """As one does that stood still since it had taken the job out of the queue. The queue lets it go no further."""
    with site.worker():
        volume = site.new_volume(data_bytes=2 * MIB)
    gated = GatedStore(site.store, "packs/")
    with site.worker(gated):
        _, making = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id))
        until(gated.reached.is_set, what="the store is asked")
        assert begun(site, making).attempt == 2
        if cancelled:
            cancel_job(site.service, ALPHA, making.id)
        gated.gate.set()
        ended = site.failed(making) if cancelled else site.succeeded(making)
    assert ended.attempt == 3
    assert site.volume(volume.id).status == "available"


def test_an_extension_that_was_broken_off_can_be_asked_for_again(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
    job = extend_volume(site.service, ALPHA, volume.id, 3)
    site.files.extend_volume(volume.id, 3 * GIB)
    with site.database.write() as connection:
        for _ in range(LOST_ATTEMPTS_MAX):
            jobs.begin(connection, job.id, now=site.service.clock())
    with site.worker():
        site.failed(job)
        assert (site.volume(volume.id).status, site.volume(volume.id).size_gib) == ("error_extending", 1)
        with pytest.raises(VolumeBusy):
            create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        assert "ask for 3 GiB at least" in str(
            site.failed(extend_volume(site.service, ALPHA, volume.id, 2)).fail_reason
        )
        site.succeeded(extend_volume(site.service, ALPHA, volume.id, 3))
        assert (site.volume(volume.id).status, site.volume(volume.id).size_gib) == ("available", 3)


def test_a_worker_that_takes_its_own_job_over_leaves_the_newer_attempt_alone(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that was silent for so long that another put its job back into the queue, and that took it out again."""
    caplog.set_level("INFO")
    device, script = site.directory / "device", site.directory / "told"
    device.write_bytes(b"x" * MIB)
    # Each attempt is let go on by itself.
    script.write_text(
        f"#!/bin/sh\n[ $1 = thaw ] && exit\ncd {site.directory}\nn=1\n[ -e begun1 ] && n=2\ntouch begun$n\n"
        "while [ ! -e go$n ]; do sleep 0.1; done\n"
    )
    script.chmod(0o700)
    volume = site.register(device, freeze_command=f"{script} freeze", thaw_command=f"{script} thaw")
    with site.worker():
        _, making = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id))
        until((site.directory / "begun1").exists, what="it begins")
        (me,) = (file.read_text().strip() for file in (site.directory / "workers").glob("*.id"))
        DBOS._recover_pending_workflows([me])
        until((site.directory / "begun2").exists, what="the worker begins it again")
        (site.directory / "go1").touch()
        until(lambda: "is parked: another worker has taken this job over" in caplog.text, what="the old attempt leaves")
        time.sleep(3 * CANCELLED_SECONDS)  # so long that the worker has looked at what was left
        (site.directory / "go2").touch()
        assert site.succeeded(making).attempt == 2
