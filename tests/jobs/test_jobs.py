"""Jobs of every kind on a real database, a real store and a real worker."""

from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.snapshots import create_snapshot, delete_snapshot
from openvbs.actions.volumes import create_volume, delete_volume, extend_volume
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.domain.volume import NewVolume
from openvbs.units import GIB, MIB
from tests.support.actions import caller
from tests.support.site import Site
from tests.support.waiting import until

ALPHA = caller("alpha")


def test_a_volume_is_made_extended_and_deleted(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        before = site.content(volume.id)
        assert (volume.status, volume.size_gib) == ("available", 1)
        site.succeeded(extend_volume(site.service, ALPHA, volume.id, 2))
        extended = site.volume(volume.id)
        assert (extended.status, extended.size_gib, extended.size_bytes) == ("available", 2, 2 * GIB)
        after = site.content(volume.id)
        assert (after.size, after.pieces) == (2 * GIB, before.pieces)
        site.succeeded(delete_volume(site.service, ALPHA, volume.id))
        assert not site.files.volume(volume.id).exists()


def test_volumes_from_a_snapshot_and_from_a_volume_hold_the_same_bytes(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        then = site.content(volume.id)
        snapshot, job = create_snapshot(site.service, ALPHA, volume_id=volume.id, name="s")
        site.succeeded(job)
        site.write_random(volume.id, 2 * MIB)
        of_snapshot, job = create_volume(site.service, ALPHA, NewVolume(size_gib=None, snapshot_id=snapshot.id))
        site.succeeded(job)
        of_volume, job = create_volume(site.service, ALPHA, NewVolume(size_gib=2, source_volid=volume.id))
        site.succeeded(job)
        assert site.content(of_snapshot.id) == then
        copied = site.content(of_volume.id)
        assert (copied.size, copied.pieces) == (2 * GIB, site.content(volume.id).pieces)
        assert site.volume(volume.id).status == "available"
        site.succeeded(delete_snapshot(site.service, ALPHA, snapshot.id))
        assert not site.files.snapshot(snapshot.id).exists()


def test_a_backup_restores_into_a_new_and_into_an_old_volume(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        then = site.content(volume.id)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="monday"))
        assert site.volume(volume.id).status == "backing-up"
        site.succeeded(job)
        made = site.backup(backup.id)
        assert made is not None
        assert (made.status, made.bytes_total, made.is_frozen) == ("available", GIB, True)
        assert 5 * MIB <= made.bytes_stored < 7 * MIB
        assert made.object_count > 0
        assert site.volume(volume.id).status == "available"

        _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == then
        assert site.volume(target.id).status == "available"

        site.write_random(volume.id, 4 * MIB, offset=20 * MIB)
        assert site.content(volume.id) != then
        _, _, job = restore_backup(site.service, ALPHA, backup.id, NewRestore(volume_id=volume.id))
        site.succeeded(job)
        assert site.content(volume.id) == then


def test_a_backup_of_a_snapshot_reads_the_snapshot(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        then = site.content(volume.id)
        snapshot, job = create_snapshot(site.service, ALPHA, volume_id=volume.id)
        site.succeeded(job)
        site.write_random(volume.id, 2 * MIB)
        backup, job = create_backup(
            site.service, ALPHA, NewBackup(volume_id=volume.id, snapshot_id=snapshot.id, name="b")
        )
        site.succeeded(job)
        _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == then


def test_a_second_backup_stores_only_what_changed_and_outlives_the_first(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=20 * MIB)
        first, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="first"))
        site.succeeded(job)
        site.write_random(volume.id, MIB, offset=10 * MIB)
        then = site.content(volume.id)
        second, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="second"))
        site.succeeded(job)
        made = site.backup(second.id)
        assert made is not None
        assert made.bytes_stored < 4 * MIB

        site.succeeded(delete_backup(site.service, ALPHA, first.id))
        assert site.backup(first.id) is None
        _, target, job = restore_backup(site.service, ALPHA, second.id, NewRestore())
        site.succeeded(job)
        assert site.content(target.id) == then


def test_deleting_a_volume_keeps_its_backups(site: Site) -> None:
    with site.worker():
        volume = site.new_volume()
        then = site.content(volume.id)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.succeeded(job)
        site.succeeded(delete_volume(site.service, ALPHA, volume.id))
        restored, job = create_volume(site.service, ALPHA, NewVolume(size_gib=2, backup_id=backup.id))
        site.succeeded(job)
        assert site.content(restored.id).pieces == then.pieces
        assert site.volume(restored.id).status == "available"


def test_progress_is_there_while_a_job_runs(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=300 * MIB)
        _, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        seen = until(lambda: j if (j := site.job(job.id)).bytes_done else None, what="progress")
        assert 0 < seen.bytes_done <= seen.bytes_total == GIB
        site.succeeded(job)
