"""Jobs of every kind on a real database, a real store and a real worker."""

import resource

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


def test_a_volume_is_made_extended_and_deleted(working: Site) -> None:
    volume = working.new_volume()
    before = working.content(volume.id)
    assert (volume.status, volume.size_gib) == ("available", 1)
    working.succeeded(extend_volume(working.service, ALPHA, volume.id, 2))
    extended = working.volume(volume.id)
    assert (extended.status, extended.size_gib, extended.size_bytes) == ("available", 2, 2 * GIB)
    after = working.content(volume.id)
    assert (after.size, after.pieces) == (2 * GIB, before.pieces)
    working.succeeded(delete_volume(working.service, ALPHA, volume.id))
    assert not working.files.volume(volume.id).exists()


def test_volumes_from_a_snapshot_and_from_a_volume_hold_the_same_bytes(working: Site) -> None:
    volume = working.new_volume()
    then = working.content(volume.id)
    snapshot, job = create_snapshot(working.service, ALPHA, volume_id=volume.id, name="s")
    working.succeeded(job)
    working.write_random(volume.id, 2 * MIB)
    of_snapshot, job = create_volume(working.service, ALPHA, NewVolume(size_gib=None, snapshot_id=snapshot.id))
    working.succeeded(job)
    of_volume, job = create_volume(working.service, ALPHA, NewVolume(size_gib=2, source_volid=volume.id))
    working.succeeded(job)
    assert working.content(of_snapshot.id) == then
    copied = working.content(of_volume.id)
    assert (copied.size, copied.pieces) == (2 * GIB, working.content(volume.id).pieces)
    assert working.volume(volume.id).status == "available"
    working.succeeded(delete_snapshot(working.service, ALPHA, snapshot.id))
    assert not working.files.snapshot(snapshot.id).exists()


def test_a_backup_restores_into_a_new_and_into_an_old_volume(working: Site) -> None:
    volume = working.new_volume()
    then = working.content(volume.id)
    backup, job = create_backup(working.service, ALPHA, NewBackup(volume_id=volume.id, name="monday"))
    assert working.volume(volume.id).status == "backing-up"
    working.succeeded(job)
    made = working.backup(backup.id)
    assert made is not None
    assert (made.status, made.bytes_total, made.is_frozen) == ("available", GIB, True)
    assert 5 * MIB <= made.bytes_stored < 7 * MIB
    assert made.object_count > 0
    assert working.volume(volume.id).status == "available"

    _, target, job = restore_backup(working.service, ALPHA, backup.id, NewRestore())
    working.succeeded(job)
    assert working.content(target.id) == then
    assert working.volume(target.id).status == "available"

    working.write_random(volume.id, 4 * MIB, offset=20 * MIB)
    assert working.content(volume.id) != then
    _, _, job = restore_backup(working.service, ALPHA, backup.id, NewRestore(volume_id=volume.id))
    working.succeeded(job)
    assert working.content(volume.id) == then


def test_a_backup_of_a_snapshot_reads_the_snapshot(working: Site) -> None:
    volume = working.new_volume()
    then = working.content(volume.id)
    snapshot, job = create_snapshot(working.service, ALPHA, volume_id=volume.id)
    working.succeeded(job)
    working.write_random(volume.id, 2 * MIB)
    backup, job = create_backup(
        working.service, ALPHA, NewBackup(volume_id=volume.id, snapshot_id=snapshot.id, name="b")
    )
    working.succeeded(job)
    _, target, job = restore_backup(working.service, ALPHA, backup.id, NewRestore())
    working.succeeded(job)
    assert working.content(target.id) == then


def test_a_second_backup_stores_only_what_changed_and_outlives_the_first(working: Site) -> None:
    volume = working.new_volume(data_bytes=20 * MIB)
    first, job = create_backup(working.service, ALPHA, NewBackup(volume_id=volume.id, name="first"))
    working.succeeded(job)
    working.write_random(volume.id, MIB, offset=10 * MIB)
    then = working.content(volume.id)
    second, job = create_backup(working.service, ALPHA, NewBackup(volume_id=volume.id, name="second"))
    working.succeeded(job)
    made = working.backup(second.id)
    assert made is not None
    assert made.bytes_stored < 4 * MIB

    working.succeeded(delete_backup(working.service, ALPHA, first.id))
    assert working.backup(first.id) is None
    _, target, job = restore_backup(working.service, ALPHA, second.id, NewRestore())
    working.succeeded(job)
    assert working.content(target.id) == then


def test_a_volume_that_cannot_be_extended_is_as_it_was(working: Site) -> None:
    """As beyond the longest file of the filesystem."""
    volume = working.new_volume()
    before = working.content(volume.id)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * GIB, hard))
    try:
        failed = working.failed(extend_volume(working.service, ALPHA, volume.id, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed.fail_reason == f"volume {volume.id} cannot be extended: File too large"
    assert (working.volume(volume.id).status, working.volume(volume.id).size_gib) == ("available", 1)
    _, job = create_backup(working.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    working.succeeded(job)
    assert working.content(volume.id) == before


def test_deleting_a_volume_keeps_its_backups(working: Site) -> None:
    volume = working.new_volume()
    then = working.content(volume.id)
    backup, job = create_backup(working.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    working.succeeded(job)
    working.succeeded(delete_volume(working.service, ALPHA, volume.id))
    restored, job = create_volume(working.service, ALPHA, NewVolume(size_gib=2, backup_id=backup.id))
    working.succeeded(job)
    assert working.content(restored.id).pieces == then.pieces
    assert working.volume(restored.id).status == "available"


def test_progress_is_there_while_a_job_runs(working: Site) -> None:
    volume = working.new_volume(data_bytes=300 * MIB)
    _, job = create_backup(working.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
    seen = until(lambda: j if (j := working.job(job.id)).bytes_done else None, what="progress")
    assert 0 < seen.bytes_done <= seen.bytes_total == GIB
    working.succeeded(job)
