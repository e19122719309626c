"""Cancelling and failing: the job says why, the records are right again, and nothing half made is to be seen."""

from collections import Counter

import pytest

from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.images import import_image
from openvbs.actions.jobs import cancel_job
from openvbs.actions.restores import restore_backup
from openvbs.actions.share_ends import ABORTED_BY
from openvbs.actions.shares import cancel_share, share_backup
from openvbs.actions.snapshots import create_snapshot
from openvbs.actions.volumes import create_volume
from openvbs.db import audit
from openvbs.domain.audit import AuditQuery
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.domain.errors import JobEnded
from openvbs.domain.volume import NewVolume
from openvbs.engine.keys import load_root_key
from openvbs.engine.repository import open_repository
from openvbs.stores.prefixed import prefixed
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.site import Site
from tests.support.stores import FullStore, GatedReads, GatedStore
from tests.support.waiting import until

ALPHA, BETA = caller("alpha"), caller("beta")


def in_store(site: Site, project_id: str = "alpha") -> set[str]:
    """The backups that the store itself knows."""
    key = load_root_key(site.directory / "root.key")
    with open_repository(prefixed(site.store, project_id), key) as repository:
        return {record.facts.backup_id for record in repository.list_backups()}


@pytest.mark.parametrize("held_at", ["packs/", "backups/"])
def test_a_backup_that_is_cancelled_is_in_error_and_nowhere_in_the_store(site: Site, held_at: str) -> None:
    """In the upload, and when the store holds the whole backup but the record does not say so yet."""
    gated = GatedStore(site.store, held_at)
    with site.worker(gated):
        volume = site.new_volume(data_bytes=40 * MIB)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        until(gated.reached.is_set, what="the store is asked")
        cancel_job(site.service, ALPHA, job.id)
        gated.gate.set()
        ended = site.failed(job)
        assert (ended.error_code, ended.fail_reason) == ("VolumeBackup.0027", "cancelled by user user-of-alpha")
        found = site.backup(backup.id)
        assert found is not None
        assert (found.status, found.fail_reason) == ("error", "cancelled by user user-of-alpha")
        assert site.volume(volume.id).status == "available"
        until(lambda: in_store(site) == set(), what="what was stored is taken back")
        with pytest.raises(JobEnded):
            cancel_job(site.service, ALPHA, job.id)
        again, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="again"))
        site.succeeded(job)
        assert in_store(site) == {again.id}


def test_a_job_that_is_cancelled_before_it_began_does_nothing(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    cancel_job(site.service, ALPHA, job.id)
    assert site.job(job.id).status == "INIT"
    with site.worker():
        assert site.failed(job).error_code == "VolumeBackup.0027"
        assert site.volume(volume.id).status == "available"
        found = site.backup(backup.id)
        assert found is not None
        assert found.status == "error"
        assert list(site.store.list("")) == []


def test_a_job_that_waits_behind_others_is_cancelled_at_once(site: Site) -> None:
    gated = GatedStore(site.store, "packs/")
    with site.worker(gated, jobs_at_once=1):
        first, second = site.new_volume(), site.new_volume()
        _, running = create_backup(site.service, ALPHA, NewBackup(volume_id=first.id, name="first"))
        until(gated.reached.is_set, what="the store is asked")
        _, waiting = create_backup(site.service, ALPHA, NewBackup(volume_id=second.id, name="second"))
        cancel_job(site.service, ALPHA, waiting.id)
        ended = site.failed(waiting)
        assert (ended.attempt, ended.fail_reason) == (0, "cancelled by user user-of-alpha")
        assert site.volume(second.id).status == "available"
        gated.gate.set()
        site.succeeded(running)


@pytest.mark.parametrize("into_new", [True, False])
def test_a_restore_that_is_cancelled_leaves_the_volume_in_error_and_the_backup_alone(
    site: Site, into_new: bool
) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=40 * MIB)
        then = site.content(volume.id)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
        target = site.new_volume(data_bytes=MIB)
    gated = GatedReads(site.store, "packs/")
    with site.worker(gated):
        wanted = NewRestore() if into_new else NewRestore(volume_id=target.id)
        _, target, job = restore_backup(site.service, ALPHA, backup.id, wanted)
        until(gated.reached.is_set, what="the store is asked")
        cancel_job(site.service, ALPHA, job.id)
        gated.gate.set()
        ended = site.failed(job)
        assert (ended.error_code, ended.fail_reason) == ("VolumeBackup.0200", "cancelled by user user-of-alpha")
        assert site.volume(target.id).status == ("error" if into_new else "error_restoring")
        until(lambda: site.files.volume(target.id).exists() != into_new, what="the new volume's file goes")
        found = site.backup(backup.id)
        assert found is not None
        assert found.status == "available"
        if not into_new:
            _, _, job = restore_backup(site.service, ALPHA, backup.id, wanted)
            site.succeeded(job)
            assert site.content(target.id) == then


def test_a_full_store_fails_the_backup_with_the_reason_and_harms_no_earlier_one(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        then = site.content(volume.id)
        first, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="first"))
        site.succeeded(job)
        site.write_random(volume.id, 4 * MIB, offset=100 * MIB)
    with site.worker(FullStore(site.store, "packs/")):
        second, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="second"))
        ended = site.failed(job)
        assert ended.error_code == "VolumeBackup.0027"
        assert "No space is left" in str(ended.fail_reason)
        found = site.backup(second.id)
        assert found is not None
        assert (found.status, found.fail_reason) == ("error", ended.fail_reason)
        _, target, job = restore_backup(site.service, ALPHA, first.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == then


def test_a_source_that_vanished_is_named(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        snapshot, job = create_snapshot(site.service, ALPHA, volume_id=volume.id)
        site.succeeded(job)
        site.files.delete_snapshot(snapshot.id)
        wanted = NewBackup(volume_id=volume.id, snapshot_id=snapshot.id, name="b")
        _, job = create_backup(site.service, ALPHA, wanted)
        assert site.failed(job).error_code == "VolumeBackup.0019"
        made, job = create_volume(site.service, ALPHA, NewVolume(size_gib=None, snapshot_id=snapshot.id))
        site.failed(job)
        assert site.volume(made.id).status == "error"
        until(lambda: not site.files.volume(made.id).exists(), what="its file goes")


def test_a_recipients_running_restore_survives_the_end_of_the_share_and_of_the_backup(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=40 * MIB)
        then = site.content(volume.id)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
    gated = GatedReads(site.store, "packs/")
    with site.worker(gated, collect_delay_seconds=0.2):
        [share] = share_backup(site.service, ALPHA, backup.id, ["beta"])
        _, target, restoring = restore_backup(site.service, BETA, backup.id, NewRestore())
        until(gated.reached.is_set, what="the store is asked")
        cancel_share(site.service, ALPHA, share.id)
        site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        assert site.backup(backup.id) is None
        assert in_store(site) == {backup.id}
        gated.gate.set()
        site.succeeded(restoring)
        assert site.content(target.id) == then
        until(lambda: in_store(site) == set(), what="the data is purged after the restore")
        with site.database.read() as connection:
            events = audit.list_page(connection, AuditQuery(share_id=share.id), project_id="alpha").items
        told = [(event.action, event.outcome, event.actor_project_id) for event in events]
        assert told[0] == ("share.restore_end", "restored", "beta")


def test_an_aborted_restore_of_a_recipient_ends_as_a_cancelled_one(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=40 * MIB)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
        target = site.new_volume(BETA, data_bytes=MIB)
    gated = GatedReads(site.store, "packs/")
    with site.worker(gated):
        [share] = share_backup(site.service, ALPHA, backup.id, ["beta"])
        _, _, into_old = restore_backup(site.service, BETA, backup.id, NewRestore(volume_id=target.id))
        _, made, into_new = restore_backup(site.service, BETA, backup.id, NewRestore())
        _, own, of_owner = restore_backup(site.service, ALPHA, backup.id, NewRestore())
        until(gated.reached.is_set, what="the store is asked")
        cancel_share(site.service, ALPHA, share.id, abort_running=True)
        gated.gate.set()
        for job in (into_old, into_new):
            ended = site.failed(job)
            assert (ended.error_code, ended.fail_reason) == ("VolumeBackup.0200", f"cancelled by {ABORTED_BY}")
        assert site.volume(target.id).status == "error_restoring"
        assert site.volume(made.id).status == "error"
        until(lambda: not site.files.volume(made.id).exists(), what="its file goes")
        site.succeeded(of_owner)
        assert site.volume(own.id).status == "available"
    with site.database.read() as connection:
        events = audit.list_page(connection, AuditQuery(share_id=share.id), project_id="alpha").items
    told = Counter((event.action, event.outcome) for event in events)
    assert told[("share.abort", "accepted")] == told[("share.restore_end", "cancelled")] == 2


def test_an_import_that_is_cancelled_leaves_no_file(site: Site) -> None:
    image = site.directory / "image"
    image.write_bytes(b"x" * MIB)
    volume, job = import_image(
        site.service, caller("alpha"), path=str(image), size_bytes=MIB, stored_bytes=MIB, name="n"
    )
    cancel_job(site.service, caller("alpha"), job.id)
    with site.worker():
        assert site.failed(job).fail_reason == "cancelled by user user-of-alpha"
        assert site.volume(volume.id).status == "error"
        until(lambda: not site.files.volume(volume.id).exists(), what="its file goes")
