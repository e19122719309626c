"""Records that are handed on, set right or deleted by force: the data is there for as long as one record needs it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from openvbs.actions.backup_records import force_delete_backup, import_record, reset_backup
from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.restores import restore_backup
from openvbs.auth.caller import Caller
from openvbs.db import backups
from openvbs.domain.backup import Backup, BackupStatus, NewBackup, NewRecord, NewRestore
from openvbs.domain.volume import Volume
from openvbs.engine.format import REFERENCES, REMOVALS
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.engine.repository import open_repository
from openvbs.stores.base import Store, StoreError
from openvbs.stores.prefixed import prefixed
from openvbs.units import MIB
from tests.support.actions import caller, new_id
from tests.support.site import Content, Site
from tests.support.stores import GatedReads, GatedStore
from tests.support.waiting import until

ALPHA, BETA = caller("alpha"), caller("beta")
ALPHA_ADMIN, FOR_BETA = caller("alpha", role="admin"), caller("beta", role="admin")
OPERATOR = caller("operators", role="admin", sees_all=True)
AT_ONCE: dict[str, Any] = {"collect_delay_seconds": 0.1}


@pytest.fixture
def second(tmp_path: Path, site: Site, new_database_url: Callable[[], str]) -> Iterator[Site]:
    """Another installation on the same store, with the same root key and a database of its own."""
    (tmp_path / "second").mkdir()
    other = Site(tmp_path / "second", new_database_url())
    other.store = site.store
    shutil.copy(site.directory / "root.key", other.directory / "root.key")
    try:
        yield other
    finally:
        other.close()


def in_store(site: Site) -> set[str]:
    """The backups that alpha's repository holds."""
    key = load_root_key(site.directory / "root.key")
    with open_repository(prefixed(site.store, "alpha"), key) as repository:
        return {record.facts.backup_id for record in repository.list_backups()}


def references(site: Site) -> list[str]:
    return [info.name for info in site.store.list(f"alpha/{REFERENCES}")]


def pack_bytes(site: Site) -> int:
    return sum(info.size_bytes for info in site.store.list("alpha/packs/"))


def made(site: Site) -> tuple[Volume, Backup]:
    """A volume of alpha's and a backup of it."""
    volume = site.new_volume(metadata={"rack": "7"})
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b", tags={"k": "v"}))
    site.succeeded(job)
    return volume, backup


def imported(site: Site, backup: Backup, who: Caller = FOR_BETA, **values: Any) -> str:
    """The id of a record of the same data."""
    given = {"id": new_id(), "repository_id": backup.repository_id, "data_id": backup.data_id, "size_gib": 1}
    record, job = import_record(site.service, who, NewRecord(**{**given, **values}))
    site.succeeded(job)
    return record.id


def restored(site: Site, who: Caller, backup_id: str) -> Content:
    _, target, job = restore_backup(site.service, who, backup_id, NewRestore())
    site.succeeded(job)
    return site.content(target.id)


def deleted(site: Site, who: Caller, *backup_ids: str) -> None:
    for job in [delete_backup(site.service, who, backup_id) for backup_id in backup_ids]:
        site.succeeded(job)


def test_an_imported_record_is_a_whole_backup_of_its_project(site: Site) -> None:
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        record = site.backup(imported(site, backup, name="mine", description="theirs once"))
        assert record is not None
        assert (record.status, record.project_id, record.repository_id) == ("available", "beta", "alpha")
        assert (record.volume_id, record.volume_name, record.size_gib) == (volume.id, "disk", 1)
        assert (record.name, record.description, record.tags) == ("mine", "theirs once", {"k": "v"})
        assert (record.volume_metadata, record.bytes_total) == ({"rack": "7"}, volume.size_bytes)
        assert restored(site, BETA, record.id) == site.content(volume.id)


def test_the_data_stays_for_the_last_record_and_goes_with_it(site: Site) -> None:
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        one, two = imported(site, backup), imported(site, backup, who=ALPHA_ADMIN)
        deleted(site, ALPHA, backup.id)
        assert in_store(site) == {backup.id}
        assert restored(site, BETA, one) == site.content(volume.id)
        deleted(site, ALPHA, two)
        assert restored(site, BETA, one) == site.content(volume.id)
        deleted(site, BETA, one)
        until(lambda: pack_bytes(site) == 0, what="the space comes back")
        assert (in_store(site), references(site)) == (set(), [])


def test_deleting_an_imported_record_leaves_the_backup_to_its_owner(site: Site) -> None:
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        deleted(site, BETA, imported(site, backup))
        assert (in_store(site), references(site)) == ({backup.id}, [])
        assert restored(site, ALPHA, backup.id) == site.content(volume.id)


def test_records_that_are_deleted_at_once_leave_nothing_behind(site: Site) -> None:
    with site.worker(**AT_ONCE):
        _, backup = made(site)
        record = imported(site, backup)
    jobs = [delete_backup(site.service, ALPHA, backup.id), delete_backup(site.service, BETA, record)]
    with site.worker(**AT_ONCE):
        for job in jobs:
            site.succeeded(job)
        until(lambda: pack_bytes(site) == 0, what="the space comes back")


def test_a_restore_of_an_imported_record_keeps_the_data_to_its_end(site: Site) -> None:
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        record = imported(site, backup)
    gated = GatedReads(site.store, "packs/")
    with site.worker(gated, **AT_ONCE):
        _, target, job = restore_backup(site.service, BETA, record, NewRestore())
        until(gated.reached.is_set, what="the restore reads")
        deleted(site, ALPHA, backup.id)
        site.succeeded(force_delete_backup(site.service, FOR_BETA, record))
        assert in_store(site) == {backup.id}
        gated.gate.set()
        site.succeeded(job)
        assert site.content(target.id) == site.content(volume.id)
        until(lambda: pack_bytes(site) == 0, what="the space comes back")


def test_another_installation_on_the_same_store_keeps_the_data_too(site: Site, second: Site) -> None:
    # One after the other: a process has one worker at a time.
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
    with second.worker(**AT_ONCE):
        record = imported(second, backup, id=backup.id)
    with site.worker(**AT_ONCE):
        deleted(site, ALPHA, backup.id)
    with second.worker(**AT_ONCE):
        assert restored(second, BETA, record) == site.content(volume.id)
        deleted(second, BETA, record)
    assert in_store(site) == {backup.id}
    with site.worker(collect_every_seconds=0, **AT_ONCE):
        until(lambda: pack_bytes(site) == 0, what="the next collection sees that nobody needs it any more")


def test_the_id_of_a_deleted_record_can_be_imported_again(site: Site) -> None:
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        first = imported(site, backup)
        deleted(site, BETA, first)
        assert imported(site, backup, id=first) == first
        assert restored(site, BETA, first) == site.content(volume.id)


def failed_import(site: Site, backup: Backup, reason: str, **values: Any) -> None:
    """Importing ends in ``error``, says why, leaves no reference, and the record can be deleted."""
    given = {"id": new_id(), "repository_id": backup.repository_id, "data_id": backup.data_id, "size_gib": 1}
    record, job = import_record(site.service, FOR_BETA, NewRecord(**{**given, **values}))
    assert reason in (site.failed(job).fail_reason or "")
    found = site.backup(record.id)
    assert found is not None
    assert (found.status, found.fail_reason) == ("error", site.job(job.id).fail_reason)
    assert references(site) == []
    deleted(site, BETA, record.id)
    assert site.backup(record.id) is None


def test_a_record_without_its_data_never_becomes_available(site: Site) -> None:
    with site.worker(**AT_ONCE):
        _, backup = made(site)
        failed_import(site, backup, "no longer holds the data", data_id=new_id())
        failed_import(site, backup, "no repository of project gamma", repository_id="gamma")
        deleted(site, ALPHA, backup.id)
        failed_import(site, backup, "no longer holds the data")


def test_a_record_whose_data_opens_with_another_key_never_becomes_available(site: Site) -> None:
    with site.worker(**AT_ONCE):
        _, backup = made(site)
    (site.directory / "root.key").unlink()
    create_root_key(site.directory / "root.key")
    with site.worker(**AT_ONCE):
        failed_import(site, backup, "cannot be opened")


def set_status(site: Site, backup_id: str, status: str) -> None:
    with site.database.write() as connection:
        assert backups.update(connection, backup_id, now=site.service.clock(), status=status)


def test_a_status_is_reset_to_available_only_if_the_data_is_there(site: Site) -> None:
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        assert reset_backup(site.service, OPERATOR, backup.id, BackupStatus.ERROR) is None
        job = reset_backup(site.service, OPERATOR, backup.id, BackupStatus.AVAILABLE)
        assert job is not None
        site.succeeded(job)
        assert restored(site, ALPHA, backup.id) == site.content(volume.id)
        reset_backup(site.service, OPERATOR, backup.id, BackupStatus.ERROR)
        key = load_root_key(site.directory / "root.key")
        with open_repository(prefixed(site.store, "alpha"), key) as repository:
            repository.delete_backup(backup.id)
        job = reset_backup(site.service, OPERATOR, backup.id, BackupStatus.AVAILABLE)
        assert job is not None
        assert "no longer holds the data" in (site.failed(job).fail_reason or "")
        found = site.backup(backup.id)
        assert found is not None
        assert found.status == "error"


@pytest.mark.parametrize("held_at", ["packs/", "backups/"])
def test_a_backup_that_is_being_made_is_deleted_by_force(site: Site, held_at: str) -> None:
    gated = GatedStore(site.store, held_at)
    with site.worker(gated, **AT_ONCE):
        volume = site.new_volume(data_bytes=40 * MIB)
        backup, making = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        until(gated.reached.is_set, what="the store is asked")
        job = force_delete_backup(site.service, OPERATOR, backup.id)
        assert force_delete_backup(site.service, OPERATOR, backup.id).id == job.id
        site.succeeded(job)
        assert site.backup(backup.id) is None
        gated.gate.set()
        assert site.failed(making).fail_reason == "cancelled by user user-of-operators"
        assert site.volume(volume.id).status == "available"
        until(lambda: pack_bytes(site) == 0, what="the space comes back")
        assert in_store(site) == set()


def test_a_stale_removal_takes_no_reference_that_was_there_before(site: Site) -> None:
    """The owner's worker was killed while it removed the backup; then it gave way to the imported record."""
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        record_id = imported(site, backup)
    site.store.put(f"alpha/{REMOVALS}{backup.id}/{uuid4().hex}", b"left by a kill")
    with site.worker(**AT_ONCE):
        deleted(site, ALPHA, backup.id)
        reset_backup(site.service, OPERATOR, record_id, BackupStatus.ERROR)
        job = reset_backup(site.service, OPERATOR, record_id, BackupStatus.AVAILABLE)
        assert job is not None
        site.succeeded(job)
        assert len(references(site)) == 1
        assert restored(site, BETA, record_id) == site.content(volume.id)


def test_a_repeated_removal_that_gives_way_takes_its_own_note_back(site: Site) -> None:
    with site.worker(**AT_ONCE):
        _, backup = made(site)
        imported(site, backup)
    job = delete_backup(site.service, ALPHA, backup.id)
    site.store.put(f"alpha/{REMOVALS}{backup.id}/{UUID(job.id).hex}", b"left by a kill")
    with site.worker(**AT_ONCE):
        site.succeeded(job)
        imported(site, backup)  # else nobody could refer to it any more
        assert len(references(site)) == 2


def test_a_failed_look_keeps_the_data_for_the_record(site: Site) -> None:
    with site.worker(**AT_ONCE):
        volume, backup = made(site)
        record_id = imported(site, backup)
        reset_backup(site.service, OPERATOR, record_id, BackupStatus.ERROR)
    with site.worker(FailingReads(site.store, "backups/"), **AT_ONCE):
        job = reset_backup(site.service, OPERATOR, record_id, BackupStatus.AVAILABLE)
        assert job is not None
        site.failed(job)
    with site.worker(**AT_ONCE):
        deleted(site, ALPHA, backup.id)
        job = reset_backup(site.service, OPERATOR, record_id, BackupStatus.AVAILABLE)
        assert job is not None
        site.succeeded(job)
        assert restored(site, BETA, record_id) == site.content(volume.id)


class FailingReads:
    """A store that does not answer to reads below a prefix."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if self._prefix in name:
            raise StoreError("503 for a while")
        return self._store.get(name, offset, length)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
