"""An attempt that stood still while another one took its job over, and then goes on: it takes nothing away."""

from openvbs.actions.backup_records import reset_backup
from openvbs.actions.backups import create_backup
from openvbs.actions.restores import restore_backup
from openvbs.db import jobs
from openvbs.domain.backup import BackupStatus, NewBackup, NewRestore
from openvbs.domain.job import Job
from openvbs.jobs.failures import Failure, JobFailed, failure_of
from openvbs.jobs.made_backup import forget_committed
from openvbs.jobs.runner import fail
from openvbs.jobs.runners import RUNNERS
from tests.jobs.test_records import OPERATOR, in_store
from tests.support.actions import caller
from tests.support.site import Site

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
