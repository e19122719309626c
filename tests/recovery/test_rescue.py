"""Records are made anew from the store: what it was told comes back, and no share that was cancelled ever does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openvbs.actions.backup_records import import_record
from openvbs.actions.backups import create_backup, delete_backup, update_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.service import Service
from openvbs.actions.shares import cancel_share, cancel_shares_of_backup, share_backup
from openvbs.auth.caller import Caller
from openvbs.clock import utc_now
from openvbs.db import backups, shares, store_records
from openvbs.domain.backup import Backup, NewBackup, NewRecord, NewRestore
from openvbs.domain.errors import BackupNotFound
from openvbs.domain.share import Share
from openvbs.engine.format import RECORDS, REFERENCES
from openvbs.engine.keys import load_root_key
from openvbs.engine.records import put_record, remove_record
from openvbs.engine.references import add_reference, drop_reference
from openvbs.engine.repository import open_repository
from openvbs.jobs.record_keeping import RecordKeeping
from openvbs.recovery.rebuild import (
    RebuildRefused,
    Rebuilt,
    accept_shares,
    rebuild,
    reject_shares,
    suspended_shares,
)
from openvbs.recovery.survey import survey
from openvbs.recovery.told import told_of
from openvbs.stores.prefixed import prefixed
from tests.support.actions import caller, made_service, new_id
from tests.support.site import Site
from tests.support.stores import FullStore, GatedStore
from tests.support.waiting import until

ALPHA, BETA, GAMMA = caller("alpha"), caller("beta"), caller("gamma")
FOR_BETA = caller("beta", role="admin")


def ignore(_count: int) -> None:
    """Progress that nobody looks at."""


def made(site: Site, who: Caller, name: str) -> Backup:
    volume = site.new_volume(who, metadata={"rack": "7"})
    new = NewBackup(volume_id=volume.id, name=name, description="as asked for", metadata={"m": "1"}, tags={"t": "2"})
    backup, job = create_backup(site.service, who, new)
    site.succeeded(job)
    found = site.backup(backup.id)
    assert found is not None
    return found


def told(site: Site) -> None:
    """Every change has reached the store."""
    until(lambda: not owed(site), what="the store is told of every change")


def owed(site: Site) -> list[tuple[str, int]]:
    with site.database.read() as connection:
        return store_records.owed(connection, limit=1000)


def rebuilt_in(site: Site, service: Service) -> Rebuilt:
    root_key = load_root_key(site.directory / "root.key")
    return rebuild(service.database, survey(site.store, root_key, place="the store", on_surveyed=ignore))


def record_of(service: Service, backup_id: str) -> Backup | None:
    with service.database.read() as connection:
        return backups.find(connection, backup_id, viewer_project_id="nobody", owner_project_id=None)


def live(service: Service, backup_id: str) -> set[str]:
    with service.database.read() as connection:
        return {share.to_project_id for share in shares.live_of_backup(connection, backup_id, now=utc_now())}


def accept(service: Service, *wanted: str) -> list[Share]:
    return accept_shares(service.database, wanted, make_id=new_id, notifies=False)


@pytest.fixture
def empty(new_database_url: Callable[[], str]) -> Iterator[Service]:
    """A service on an empty database."""
    with made_service(new_database_url(), clock=utc_now) as service:
        yield service


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, new_database_url: Callable[[], str]) -> Iterator["World"]:
    site = Site(tmp_path_factory.mktemp("world") / "site", new_database_url())
    try:
        yield World(site)
    finally:
        site.close()


class World:
    """What happened before the database was lost; the store was told of all but the last cancel."""

    def __init__(self, site: Site) -> None:
        self.site = site
        with site.worker(collect_delay_seconds=1000):
            self.plain = made(site, ALPHA, "plain")
            self.shared = made(site, ALPHA, "shared")
            self.deleted = made(site, ALPHA, "deleted")
            self.gone = made(site, ALPHA, "gone")
            self.gammas = made(site, GAMMA, "gammas")
            self.imported = self._import(self.deleted.id)
            self._change()
            told(site)
        cancel_share(site.service, ALPHA, self.late.id)
        assert owed(site)

    def _import(self, data_id: str) -> str:
        new = NewRecord(id=new_id(), repository_id="alpha", data_id=data_id, size_gib=1, name="taken along")
        record, job = import_record(self.site.service, FOR_BETA, new)
        self.site.succeeded(job)
        return record.id

    def _change(self) -> None:
        service = self.site.service
        update_backup(service, ALPHA, self.shared.id, name="renamed", description="told")
        self.expires_at = utc_now() + timedelta(days=365)
        kept, self.late = share_backup(service, ALPHA, self.shared.id, ["beta", "late"])
        share_backup(service, ALPHA, self.shared.id, ["beta"], expires_at=self.expires_at)
        self.kept = kept.id
        told(self.site)
        (cancelled,) = share_backup(service, ALPHA, self.shared.id, ["cancelled"])
        told(self.site)
        cancel_share(service, ALPHA, cancelled.id)
        for backup in (self.deleted, self.gone):
            share_backup(service, ALPHA, backup.id, ["beta"])
            self.site.succeeded(delete_backup(service, ALPHA, backup.id))


def test_records_come_back_as_they_were(world: World, empty: Service) -> None:
    rebuilt = rebuilt_in(world.site, empty)
    assert rebuilt.problems == []
    assert rebuilt.backups == {"alpha": 2, "gamma": 1, "beta": 1}
    assert rebuilt.going == 1
    for backup_id in (world.plain.id, world.shared.id, world.gammas.id, world.imported):
        before, after = record_of(world.site.service, backup_id), record_of(empty, backup_id)
        assert before is not None
        assert after is not None
        # Of what was not changed afterwards the store does not say when its record was last written.
        assert replace(after, updated_at=before.updated_at) == before
    changed = record_of(empty, world.shared.id)
    assert changed is not None
    assert (changed.name, changed.description, changed.metadata) == ("renamed", "told", {"m": "1"})
    for backup_id in (world.deleted.id, world.gone.id):
        assert record_of(empty, backup_id) is None
    with empty.database.read() as connection:
        assert backups.awaits_purge(connection, world.deleted.id)
        assert backups.data_of(connection, world.gone.id) is None


def test_i16_what_was_cancelled_never_comes_back_by_itself(world: World, empty: Service) -> None:
    rebuilt = rebuilt_in(world.site, empty)
    # The cancel of the last moment did not reach the store, so it is among those that the operator is asked about.
    assert {share.id for share in rebuilt.shares} == {world.kept, world.late.id}
    assert live(empty, world.shared.id) == set()
    with pytest.raises(BackupNotFound):
        restore_backup(empty, BETA, world.shared.id, NewRestore())
    with pytest.raises(RebuildRefused, match="nothing was changed"):
        accept(empty, world.kept, new_id())
    assert live(empty, world.shared.id) == set()
    (accepted,) = accept(empty, world.kept)
    assert (accepted.id, accepted.to_project_id, accepted.expires_at) == (world.kept, "beta", world.expires_at)
    assert live(empty, world.shared.id) == {"beta"}
    restore_backup(empty, BETA, world.shared.id, NewRestore())
    with pytest.raises(RebuildRefused, match="waits to be accepted"):
        accept(empty, world.kept)
    assert reject_shares(empty.database) == 1
    with pytest.raises(RebuildRefused):
        accept(empty, world.late.id)
    assert live(empty, world.shared.id) == {"beta"}


@pytest.mark.parametrize(
    "ends",
    [
        lambda service, backup_id: cancel_shares_of_backup(service, ALPHA, backup_id),
        lambda service, backup_id: delete_backup(service, ALPHA, backup_id),
        lambda service, backup_id: cancel_share(
            service, ALPHA, share_backup(service, ALPHA, backup_id, ["beta"])[0].id
        ),
    ],
    ids=["cancel of all", "delete", "shared anew and cancelled"],
)
def test_what_an_owner_does_after_the_rescue_wins(world: World, empty: Service, ends: Any) -> None:
    rebuilt_in(world.site, empty)
    ends(empty, world.shared.id)
    assert world.kept not in {share.id for share in suspended_shares(empty.database)}
    with pytest.raises(RebuildRefused):
        accept(empty, world.kept)
    assert live(empty, world.shared.id) == set()


def test_only_an_empty_database_is_filled(world: World, empty: Service) -> None:
    rebuilt_in(world.site, empty)
    with pytest.raises(RebuildRefused, match="already"):
        rebuilt_in(world.site, empty)
    assert len(suspended_shares(empty.database)) == 2


@contextmanager
def spoiled(path: Path) -> Iterator[None]:
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        yield
    finally:
        path.write_bytes(good)


def test_what_is_damaged_is_told_and_the_rest_comes_back(world: World, empty: Service) -> None:
    store = world.site.directory / "store"
    (record,) = (store / "alpha" / RECORDS / world.shared.id).iterdir()
    with spoiled(record), spoiled(store / "alpha" / "backups" / world.plain.id):
        rebuilt = rebuilt_in(world.site, empty)
    assert rebuilt.backups == {"alpha": 1, "gamma": 1, "beta": 1}
    assert {problem.repository_id for problem in rebuilt.problems} == {"alpha"}
    said = " ".join(problem.text for problem in rebuilt.problems)
    assert f"record of backup {world.shared.id} is lost" in said
    assert f"backup {world.plain.id} cannot be read" in said
    assert rebuilt.shares == []  # an older version might tell of one that was cancelled
    found = record_of(empty, world.shared.id)
    assert found is not None
    assert found.name == "shared"


def test_an_imported_record_whose_reference_was_dropped_is_gone(world: World, empty: Service) -> None:
    (reference,) = (world.site.directory / "store" / "alpha" / REFERENCES / world.deleted.id).iterdir()
    reference.unlink()
    try:
        rebuilt = rebuilt_in(world.site, empty)
    finally:
        reference.touch()
    assert rebuilt.backups == {"alpha": 2, "gamma": 1}
    assert record_of(empty, world.imported) is None


@contextmanager
def another_imported(world: World, record_id: str) -> Iterator[None]:
    """A record of the plain backup's data, whose reference has the same id."""
    own = record_of(world.site.service, world.imported)
    assert own is not None
    record = replace(own, id=record_id, data_id=world.plain.id, reference_id=record_id)
    key = load_root_key(world.site.directory / "root.key")
    with open_repository(prefixed(world.site.store, "alpha"), key) as repository:
        add_reference(repository, world.plain.id, record_id)
        put_record(repository, record_id, 1, told_of(record, [], deleted=False))
        try:
            yield
        finally:
            remove_record(repository.store, record_id)
            drop_reference(repository.store, world.plain.id, record_id)


def test_an_imported_backup_that_is_damaged_is_told_and_hides_no_other(world: World, empty: Service) -> None:
    first = "00000000-0000-4000-8000-000000000000"  # the store lists it before the whole one
    manifest = world.site.directory / "store" / "alpha" / "backups" / world.plain.id
    with another_imported(world, first), spoiled(manifest):
        rebuilt = rebuilt_in(world.site, empty)
    assert rebuilt.backups == {"alpha": 1, "gamma": 1, "beta": 1}
    assert record_of(empty, world.imported) is not None
    of_alpha, of_beta = (problem.text for problem in rebuilt.problems)
    assert of_alpha.startswith(f"backup {world.plain.id} cannot be read")
    assert of_beta.startswith(f"backup {first}, a record of {world.plain.id}, cannot be read")


def test_a_repository_of_another_root_key_hides_no_other(world: World, empty: Service) -> None:
    header = world.site.directory / "store" / "gamma" / "repository.json"
    good = header.read_bytes()
    header.write_bytes(good.replace(b'"root_key_id":"', b'"root_key_id":"ff'))
    try:
        rebuilt = rebuilt_in(world.site, empty)
    finally:
        header.write_bytes(good)
    assert rebuilt.backups == {"alpha": 2, "beta": 1}
    assert [problem.repository_id for problem in rebuilt.problems] == ["gamma"]


@pytest.mark.heavy
def test_a_worker_that_writes_late_revives_nothing(site: Site, empty: Service) -> None:
    gated = GatedStore(site.store, RECORDS)
    with site.worker():
        backup = made(site, ALPHA, "shared")
    (share,) = share_backup(site.service, ALPHA, backup.id, ["beta"])
    hanging = site.parts(gated)
    thread = threading.Thread(target=RecordKeeping(site.database, hanging.repositories).tell_owed)
    thread.start()
    try:
        until(gated.reached.is_set, what="the first worker is about to write")
        cancel_share(site.service, ALPHA, share.id)
        RecordKeeping(site.database, site.parts().repositories).tell_owed()
        assert not owed(site)
    finally:
        gated.gate.set()
        thread.join()
    assert not owed(site)
    assert rebuilt_in(site, empty).shares == []


@pytest.mark.heavy
def test_a_store_that_is_full_is_told_later(site: Site) -> None:
    with site.worker():
        backup = made(site, ALPHA, "shared")
    share_backup(site.service, ALPHA, backup.id, ["beta"])
    keeping = RecordKeeping(site.database, site.parts(FullStore(site.store, RECORDS)).repositories)
    keeping.tell_owed()
    assert [backup_id for backup_id, _ in owed(site)] == [backup.id]
    keeping.tell_owed()  # not asked again at once
    RecordKeeping(site.database, site.parts().repositories).tell_owed()
    assert not owed(site)


@pytest.mark.heavy
def test_nothing_of_a_deleted_backup_stays(site: Site) -> None:
    with site.worker(collect_delay_seconds=0.1):
        backup = made(site, ALPHA, "short")
        share_backup(site.service, ALPHA, backup.id, ["beta"])
        told(site)
        assert [*site.store.list(f"alpha/{RECORDS}")]
        site.succeeded(delete_backup(site.service, ALPHA, backup.id))
        told(site)
    assert [*site.store.list(f"alpha/{RECORDS}")] == []


@pytest.mark.heavy
def test_i16_of_two_versions_the_higher_counts_and_damage_never_falls_back(
    site: Site, empty: Service, new_database_url: Callable[[], str]
) -> None:
    with site.worker():
        backup = made(site, ALPHA, "shared")
        (share,) = share_backup(site.service, ALPHA, backup.id, ["beta"])
        told(site)
    with open_repository(prefixed(site.store, "alpha"), load_root_key(site.directory / "root.key")) as repository:
        (info,) = repository.store.list(RECORDS)
        old = repository.store.get(info.name)
        version = int(info.name.rpartition("/")[2])
        put_record(repository, backup.id, version + 1, told_of(backup, [], deleted=False))
        repository.store.put(info.name, old)  # as if its removal had not happened
    name = f"{RECORDS}{backup.id}/{version + 1:020d}"
    with spoiled(site.directory / "store" / "alpha" / name):
        rebuilt = rebuilt_in(site, empty)
    assert (len(rebuilt.problems), rebuilt.shares) == (1, [])
    with made_service(new_database_url(), clock=utc_now) as another:
        assert rebuilt_in(site, another).shares == []
        assert share.id not in {waiting.id for waiting in suspended_shares(another.database)}
