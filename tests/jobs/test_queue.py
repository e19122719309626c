"""Row and workflow stand and fall together, and whatever separates them is mended."""

from contextlib import suppress

import pytest
import sqlalchemy as sa

from openvbs.actions.backups import create_backup
from openvbs.actions.restores import insert_new_volume
from openvbs.actions.service import enqueue
from openvbs.actions.volumes import create_volume
from openvbs.db import jobs
from openvbs.db.session import Database
from openvbs.domain.backup import NewBackup
from openvbs.domain.job import Job, JobKind
from openvbs.domain.volume import NewVolume, VolumeStatus
from openvbs.jobs.queue import BYTES_QUEUE, COPY_QUEUE, QUICK_QUEUE, queue_of
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.site import Site
from tests.support.stores import GatedStore
from tests.support.waiting import until

ALPHA = caller("alpha")


def workflows(database: Database) -> dict[str, str]:
    """What the queue's own table holds: job id -> status."""
    table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(sa.text(f"SELECT workflow_uuid, status FROM {table}"))}


def test_a_rollback_takes_the_row_and_the_workflow_back(site: Site) -> None:
    with suppress(KeyError), site.database.write() as connection:
        volume = insert_new_volume(site.service, connection, ALPHA, NewVolume(size_gib=1), VolumeStatus.CREATING)
        job = enqueue(site.service, connection, ALPHA, JobKind.CREATE_VOLUME, volume_id=volume.id)
        raise KeyError
    with site.database.read() as connection:
        assert jobs.find(connection, job.id, project_id=None) is None
    assert workflows(site.database) == {}
    _, job = create_volume(site.service, ALPHA, NewVolume(size_gib=1))
    assert workflows(site.database) == {job.id: "ENQUEUED"}


def test_quick_jobs_do_not_wait_for_long_ones(site: Site) -> None:
    with site.worker():
        volumes = [site.new_volume(data_bytes=MIB) for _ in range(6)]
    gated = GatedStore(site.store, "packs/")
    with site.worker(gated):
        asked = [create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))[1] for volume in volumes]
        until(lambda: len([j for j in asked if site.job(j.id).status == "RUNNING"]) == 4, what="all slots are taken")
        _, quick = create_volume(site.service, ALPHA, NewVolume(size_gib=1))
        site.succeeded(quick)
        assert sorted(site.job(job.id).status for job in asked) == ["INIT"] * 2 + ["RUNNING"] * 4
        gated.gate.set()
        for job in asked:
            site.succeeded(job)


@pytest.mark.parametrize(
    ("kind", "arguments", "queue"),
    [
        (JobKind.CREATE_VOLUME, {"snapshot_id": None, "source_volid": None}, QUICK_QUEUE),
        (JobKind.CREATE_VOLUME, {"snapshot_id": "s"}, COPY_QUEUE),
        (JobKind.CREATE_SNAPSHOT, {}, COPY_QUEUE),
        (JobKind.DELETE_BACKUP, {}, QUICK_QUEUE),
        (JobKind.RESTORE_BACKUP, {}, BYTES_QUEUE),
    ],
)
def test_each_kind_has_its_queue(site: Site, kind: JobKind, arguments: dict[str, object], queue: str) -> None:
    with site.database.write() as connection:
        job = enqueue(site.service, connection, ALPHA, kind, arguments=arguments)
    assert queue_of(job) == queue


def lose_workflow(site: Site, job: Job) -> None:
    table = "workflow_status" if site.database.is_sqlite else "dbos.workflow_status"
    with site.database.write() as connection:
        connection.execute(sa.text(f"DELETE FROM {table} WHERE workflow_uuid = :id"), {"id": job.id})


def test_a_job_without_a_workflow_is_queued_again(site: Site) -> None:
    volume, job = create_volume(site.service, ALPHA, NewVolume(size_gib=1))
    lose_workflow(site, job)
    with site.worker():
        site.succeeded(job)
        assert site.volume(volume.id).status == "available"


def test_a_job_whose_workflow_ended_without_it_fails_and_its_records_are_set_right(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=MIB)
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    table = "workflow_status" if site.database.is_sqlite else "dbos.workflow_status"
    with site.database.write() as connection:
        connection.execute(sa.text(f"UPDATE {table} SET status = 'ERROR' WHERE workflow_uuid = :id"), {"id": job.id})
    with site.worker():
        assert "ended without a result" in str(site.failed(job).fail_reason)
        assert site.volume(volume.id).status == "available"
        found = site.backup(backup.id)
        assert found is not None
        assert found.status == "error"


def test_clones_that_a_crash_left_are_swept_at_the_start(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=MIB)
    _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    for name in ("a-job-that-ended", job.id):
        site.files.frozen(name).write_bytes(b"clone")
    with site.worker():
        site.succeeded(job)
        assert site.files.frozen_jobs() == []


def test_the_queue_forgets_what_ended_but_nothing_that_is_open(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=MIB)
    made = set(workflows(site.database))
    assert made
    gated = GatedStore(site.store, "packs/")
    _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    with site.worker(gated, workflows_kept_seconds=0):
        until(lambda: not made & set(workflows(site.database)), what="ended workflows are dropped")
        assert job.id in workflows(site.database)
        gated.gate.set()
        site.succeeded(job)
