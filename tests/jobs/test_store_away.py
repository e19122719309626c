"""A store that is not mounted is not an empty one: nothing counts as removed, checked or collected in it."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest

from openvbs.actions.backup_records import import_record
from openvbs.actions.backups import create_backup, delete_backup, update_backup
from openvbs.actions.copies import copy_backup
from openvbs.db import backups, jobs, store_records
from openvbs.domain.backup import Backup, NewBackup, NewRecord
from openvbs.domain.job import Job, JobKind
from openvbs.engine.format import HEADER_NAME
from openvbs.engine.keys import load_root_key
from openvbs.jobs.collecting import request_check, request_collection
from openvbs.jobs.parts import Parts
from openvbs.jobs.record_keeping import RecordKeeping
from openvbs.recovery.survey import Found, survey
from openvbs.stores.base import ObjectInfo, Store
from tests.support.actions import caller, new_id
from tests.support.site import Site
from tests.support.stores import FullStore
from tests.support.waiting import until

ALPHA, FOR_BETA = caller("alpha"), caller("beta", role="admin")
Away = Callable[[Site], AbstractContextManager[None]]
AT_ONCE = {"collect_delay_seconds": 0.1}


@contextmanager
def unmounted(site: Site) -> Iterator[None]:
    """The folder that a filesystem was mounted on is there, and empty."""
    store, away = site.directory / "store", site.directory / "away"
    store.rename(away)
    store.mkdir()
    try:
        yield
        assert [path for path in store.rglob("*") if path.is_file()] == []
    finally:
        shutil.rmtree(store)
        away.rename(store)


@contextmanager
def without_header(site: Site) -> Iterator[None]:
    header, away = site.directory / "store" / "alpha" / HEADER_NAME, site.directory / "away"
    header.rename(away)
    try:
        yield
    finally:
        away.rename(header)


def imported(site: Site, backup: Backup) -> str:
    new = NewRecord(id=new_id(), repository_id=backup.repository_id, data_id=backup.data_id, size_gib=1)
    record, job = import_record(site.service, FOR_BETA, new)
    site.succeeded(job)
    return record.id


def cared(site: Site, parts: Parts, kind: JobKind) -> Job:
    """A collection or check that was asked for now, once it has ended."""
    until(lambda: open_care(site, kind) is None, what="what a delete asked for ends")
    with site.database.write() as connection:
        if kind == JobKind.COLLECT:
            request_collection(connection, parts, "alpha", delay_seconds=0)
        else:
            request_check(connection, parts, "alpha")
        job = jobs.open_care(connection, "alpha", kind)
    assert job is not None
    return site.ended(job)


def open_care(site: Site, kind: JobKind) -> Job | None:
    with site.database.read() as connection:
        return jobs.open_care(connection, "alpha", kind)


def says_so(job: Job) -> bool:
    return job.status == "FAIL" and "Is it mounted?" in (job.fail_reason or "")


def owes_purge(site: Site, backup_id: str) -> bool:
    with site.database.read() as connection:
        return backups.awaits_purge(connection, backup_id)


def in_store(site: Site) -> list[str]:
    """What the store holds of alpha's backups: their objects, packs and references."""
    return [info.name for part in ("backups", "packs", "references") for info in site.store.list(f"alpha/{part}/")]


@pytest.mark.parametrize("away", [unmounted, without_header])
def test_what_was_stored_is_waited_for(site: Site, away: Away) -> None:
    with site.worker(**AT_ONCE):
        doomed, kept = site.new_backup(), site.new_backup()
    with away(site), site.worker(**AT_ONCE) as parts:
        assert says_so(cared(site, parts, JobKind.CHECK))
        assert says_so(cared(site, parts, JobKind.COLLECT))
        assert site.backup(kept.id).status == "available"
        assert says_so(site.failed(delete_backup(site.service, ALPHA, doomed.id)))
        assert site.backup(doomed.id).status == "error"
    with site.worker(**AT_ONCE) as parts:
        assert cared(site, parts, JobKind.CHECK).status == "SUCCESS"
        for backup in (doomed, kept):
            site.succeeded(delete_backup(site.service, ALPHA, backup.id))
            assert site.backup(backup.id) is None
        assert cared(site, parts, JobKind.COLLECT).status == "SUCCESS"
        assert in_store(site) == []


def test_a_store_that_goes_under_a_running_worker_is_noticed(site: Site) -> None:
    with site.worker(**AT_ONCE) as parts:
        backup = site.new_backup()
        with unmounted(site):
            assert says_so(site.failed(delete_backup(site.service, ALPHA, backup.id)))
            assert says_so(cared(site, parts, JobKind.CHECK))
            assert says_so(cared(site, parts, JobKind.COLLECT))
        site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        cared(site, parts, JobKind.COLLECT)
        assert in_store(site) == []


@pytest.mark.parametrize(("away", "is_open"), [(unmounted, True), (without_header, False)])
def test_no_other_repository_takes_the_place_of_one_that_is_away(site: Site, away: Away, *, is_open: bool) -> None:
    """It would be taken for the project's, and all that was stored before for lost."""
    with ExitStack() as stack:
        stack.enter_context(site.worker(**AT_ONCE))
        backup = site.new_backup()
        if not is_open:
            stack.close()
            stack.enter_context(site.worker(**AT_ONCE))
        with away(site):
            for _, job in (
                create_backup(site.service, ALPHA, NewBackup(volume_id=backup.volume_id, name="later")),
                copy_backup(site.service, ALPHA, backup.id),
            ):
                assert says_so(site.failed(job))
            assert site.volume(backup.volume_id).status == "available"
        later, job = create_backup(site.service, ALPHA, NewBackup(volume_id=backup.volume_id, name="later"))
        site.succeeded(job)
        assert {name.rpartition("/")[2] for name in in_store(site) if "/backups/" in name} == {backup.id, later.id}


def test_what_is_owed_to_the_store_stays_owed(site: Site) -> None:
    """Also a reference, which is all that an imported record has there."""
    with site.worker(**AT_ONCE) as parts:
        backup = site.new_backup()
        record_id = imported(site, backup)
        site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        assert owes_purge(site, backup.id)  # for beta's record
        with unmounted(site):
            assert says_so(site.failed(delete_backup(site.service, FOR_BETA, record_id)))
            assert says_so(cared(site, parts, JobKind.COLLECT))
            assert owes_purge(site, backup.id)
        site.succeeded(delete_backup(site.service, FOR_BETA, record_id))
        assert cared(site, parts, JobKind.COLLECT).status == "SUCCESS"
        assert not owes_purge(site, backup.id)
        assert in_store(site) == []


def test_a_record_that_was_never_available_goes_without_a_repository(site: Site) -> None:
    with site.worker(FullStore(site.store, HEADER_NAME), **AT_ONCE) as parts:
        volume = site.new_volume(data_bytes=1 << 20)
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b"))
        site.failed(job)
        new = NewRecord(id=new_id(), repository_id="alpha", data_id=backup.id, size_gib=1)
        record, job = import_record(site.service, FOR_BETA, new)
        site.failed(job)
        assert cared(site, parts, JobKind.CHECK).status == "SUCCESS"
        assert cared(site, parts, JobKind.COLLECT).status == "SUCCESS"
        site.succeeded(delete_backup(site.service, FOR_BETA, record.id))
        site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        assert not owes_purge(site, backup.id)
        until(lambda: not owed(site), what="the store is told nothing")


def told_name(site: Site) -> str | None:
    """What a rescue would call alpha's one backup."""
    found = [*survey(site.store, load_root_key(site.directory / "root.key"), place="it", on_surveyed=lambda _: None)]
    assert len(found) == 1
    assert isinstance(found[0], Found)
    return found[0].backup.name


@pytest.mark.parametrize(("away", "is_open"), [(unmounted, True), (without_header, False)])
def test_the_store_is_told_once_it_is_back(site: Site, away: Away, *, is_open: bool) -> None:
    with site.worker(**AT_ONCE):
        backup = site.new_backup()
    parts = site.parts()
    if is_open:
        parts.repositories.get("alpha")
    with away(site):
        update_backup(site.service, ALPHA, backup.id, name="changed")
        RecordKeeping(site.database, parts.repositories).tell_owed()
        assert [backup_id for backup_id, _ in owed(site)] == [backup.id]
    RecordKeeping(site.database, parts.repositories).tell_owed()
    assert owed(site) == []
    assert told_name(site) == "changed"


def owed(site: Site) -> list[tuple[str, int]]:
    with site.database.read() as connection:
        return store_records.owed(connection, limit=10)


def test_a_repository_that_was_emptied_begins_anew_though_it_was_open(site: Site) -> None:
    """Nothing that was stored is missing, and what is stored then opens with a key that lies in the store."""
    with site.worker():
        site.succeeded(delete_backup(site.service, ALPHA, site.new_backup().id))
        for file in [path for path in (site.directory / "store" / "alpha").rglob("*") if path.is_file()]:
            file.unlink()
        again, more = site.new_backup(), site.new_backup()
    repository = site.parts().repositories.get("alpha")
    for backup in (again, more):
        assert repository.load_backup(backup.id).facts.backup_id == backup.id


class LateAnswer:
    """A store whose first answer about a header comes when that has been made meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def stat(self, name: str) -> ObjectInfo:
        if not name.endswith(HEADER_NAME) or self.asked.is_set():
            return self._store.stat(name)
        self.asked.set()
        try:
            return self._store.stat(name)
        finally:
            assert self.may_answer.wait(60)


def test_the_first_two_backups_of_a_project_may_be_made_at_once(site: Site) -> None:
    with site.worker():
        one, other = (site.new_volume(data_bytes=1 << 20) for _ in range(2))
    late = LateAnswer(site.store)
    with site.worker(late):
        _, first = create_backup(site.service, ALPHA, NewBackup(volume_id=one.id))
        until(late.asked.is_set, what="the first one looks for the repository")
        _, second = create_backup(site.service, ALPHA, NewBackup(volume_id=other.id))
        site.succeeded(second)
        late.may_answer.set()
        site.succeeded(first)
