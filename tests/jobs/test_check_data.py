"""The service reads its stores by itself, and a backup whose data is damaged says so."""

import pytest

from openvbs.actions.backup_records import import_record
from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.jobs import list_jobs
from openvbs.actions.restores import restore_backup
from openvbs.db.health import look
from openvbs.domain.backup import NewBackup, NewRecord, NewRestore
from openvbs.domain.errors import RuleError
from openvbs.domain.job import Job, JobKind, JobQuery
from openvbs.units import MIB
from tests.support.actions import caller, new_id
from tests.support.site import Site
from tests.support.stores import GatedReads, GatedStore
from tests.support.waiting import until

ALPHA, FOR_BETA = caller("alpha"), caller("beta", role="admin")
ALL_AT_ONCE = {"check_every_seconds": 0, "check_whole_days": 1}


def ended_checks(site: Site) -> list[Job]:
    return [job for job in list_jobs(site.service, ALPHA, JobQuery(kind=JobKind.CHECK)).items if job.end_time]


def packs(site: Site) -> set[str]:
    return {info.name for info in site.store.list("alpha/packs/")}


def test_a_check_finds_damage_and_the_backups_concerned_say_so(site: Site) -> None:
    with site.worker():
        made = []
        for name in ("damaged", "whole"):
            volume = site.new_volume(data_bytes=3 * MIB)
            backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name=name))
            site.succeeded(job)
            made.append((backup.id, packs(site)))
    assert ended_checks(site) == []  # a repository is first checked when it is a day old
    with site.worker(**ALL_AT_ONCE):
        until(lambda: ended_checks(site), what="the first check")
    assert {job.status for job in ended_checks(site)} == {"SUCCESS"}
    (damaged, first), (whole, _) = made
    largest = max(first, key=lambda name: len(site.store.get(name)))
    data = bytearray(site.store.get(largest))
    data[len(data) // 2] ^= 1
    site.store.put(largest, data)
    before = len(ended_checks(site))
    with site.worker(**ALL_AT_ONCE):
        until(lambda: len(ended_checks(site)) > before, what="another check")
        found = site.backup(damaged)
        assert found is not None
        assert found.status == "error"
        assert "524288 bytes of the volume cannot be restored (" in found.fail_reason
        assert site.backup(whole).status == "available"
        with pytest.raises(RuleError):
            restore_backup(site.service, ALPHA, damaged, NewRestore())
        _, _, job = restore_backup(site.service, ALPHA, whole, NewRestore())
        site.succeeded(job)
        again, job = create_backup(site.service, ALPHA, NewBackup(volume_id=found.volume_id, name="again"))
        site.succeeded(job)
        assert MIB > site.backup(again.id).bytes_stored > 0  # what was damaged, anew
        _, _, job = restore_backup(site.service, ALPHA, again.id, NewRestore())
        site.succeeded(job)
    newest = max(ended_checks(site), key=lambda job: job.end_time)
    assert newest.status == "FAIL"
    assert "1 backups are damaged" in newest.fail_reason
    assert look(site.database).failed_checks == {"alpha": newest.fail_reason}


def test_a_backup_whose_object_is_gone_is_damaged_whoevers_record_it_is(site: Site) -> None:
    with site.worker():
        volume = site.new_volume(data_bytes=MIB)
        made = []
        for name in ("gone", "whole", "deleted"):
            backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name=name))
            site.succeeded(job)
            made.append(backup.id)
        gone, whole, deleted = made
        records = []
        for data_id in (gone, whole):
            new = NewRecord(id=new_id(), repository_id="alpha", data_id=data_id, size_gib=1)
            record, job = import_record(site.service, FOR_BETA, new)
            site.succeeded(job)
            records.append(record.id)
        site.succeeded(delete_backup(site.service, ALPHA, deleted))
    site.store.delete(f"alpha/backups/{gone}")
    with site.worker(**ALL_AT_ONCE):
        check = until(lambda: ended_checks(site), what="a check")[0]
        for backup_id in (gone, records[0]):
            found = site.backup(backup_id)
            assert (found.status, "is gone" in (found.fail_reason or "")) == ("error", True)
        for backup_id in (whole, records[1]):
            assert site.backup(backup_id).status == "available"
        assert "1 backups are damaged and 1 problems were found" in check.fail_reason
        assert f"the object of backup {gone} is gone" in check.fail_reason


def test_what_is_deleted_while_it_is_checked_is_not_damaged(site: Site) -> None:
    with site.worker():
        backup = site.new_backup()
    # The check has listed what is available before it makes its lease.
    gated = GatedStore(site.store, "alpha/leases/")
    with site.worker(gated, **ALL_AT_ONCE):
        until(gated.reached.is_set, what="a check is under way")
        site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        gated.gate.set()
        check = until(lambda: ended_checks(site), what="the check")[-1]
        assert (check.status, check.fail_reason) == ("SUCCESS", None)


def test_a_store_that_goes_while_it_is_checked_makes_no_backup_damaged(site: Site) -> None:
    with site.worker():
        backup = site.new_backup()
    gated = GatedReads(site.store, "alpha/packs/")
    store, away = site.directory / "store", site.directory / "away"
    with site.worker(gated, **ALL_AT_ONCE):
        until(gated.reached.is_set, what="a check reads")
        store.rename(away)
        store.mkdir()
        gated.gate.set()
        check = until(lambda: ended_checks(site), what="the check")[-1]
        assert check.status == "FAIL"
        assert site.backup(backup.id).status == "available"
