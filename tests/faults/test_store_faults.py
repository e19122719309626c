"""The n-th call of the store, the source or the disk fails, for every n and every kind of failure.

After each: the work says so by an error of ours, what was committed restores byte for byte, check finds nothing, the
work repeated succeeds, and once all is deleted nothing is left.
"""

import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import pytest

from openvbs.engine import backup as backup_module
from openvbs.engine import restore as restore_module
from openvbs.engine.backup import back_up
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.facts import BackupFacts
from openvbs.engine.format import COLLECTIONS, LEASES, PACKS, SEGMENTS
from openvbs.engine.leases import EXPIRE_SECONDS
from openvbs.engine.references import remove_unreferenced
from openvbs.engine.repository import Repository, open_repository
from openvbs.engine.restore import restore
from openvbs.engine.verdicts import VERDICT_KEPT_SECONDS
from openvbs.errors import OpenVbsError
from openvbs.sources.base import Extent, ExtentKind, SourceError
from openvbs.stores import local
from openvbs.stores.base import Bytes, ObjectInfo, Store, StoreError, StoreFull, StoreUnavailable
from openvbs.stores.local import LocalStore
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, ROOT_KEY, BytesSource, BytesTarget, facts, new_repository, restored

CHANCE = random.Random(11)
OLD, CHANGE = CHANCE.randbytes(6 * BLOCK), CHANCE.randbytes(BLOCK)
NEW = CHANGE + OLD[BLOCK:]
HINTS = [Extent(0, BLOCK, ExtentKind.DATA), Extent(BLOCK, 5 * BLOCK, ExtentKind.SAME)]
OTHER = OLD[:BLOCK] + CHANCE.randbytes(2 * BLOCK)
CALLS_MAX = 300


class FaultyStore:
    """Passes calls on until one of them fails; that one alone, or all that follow it too."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails_at: int | None = None
        self.fault: Callable[[str, Callable[[], object]], object] = _error
        self.stays = False
        self.failed = False

    def _call(self, verb: str, call: Callable[[], object]) -> object:
        if self.fails_at is None:
            return call()
        self.fails_at -= 1
        if self.fails_at == -1 or (self.stays and self.fails_at < 0):
            self.failed = True
            return self.fault(verb, call)
        return call()

    def put(self, name: str, data: Bytes) -> None:
        self._call("put", lambda: self._store.put(name, data))

    def create(self, name: str, data: Bytes) -> None:
        self._call("create", lambda: self._store.create(name, data))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._call("get", lambda: self._store.get(name, offset, length))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._call("list", lambda: list(self._store.list(prefix))))

    def stat(self, name: str) -> ObjectInfo:
        return self._call("stat", lambda: self._store.stat(name))

    def delete(self, name: str) -> None:
        self._call("delete", lambda: self._store.delete(name))

    def close(self) -> None:
        self._store.close()


def _error(verb: str, call: Callable[[], object]) -> object:
    raise StoreError(f"the test's medium refused to {verb}")


def _timeout(verb: str, call: Callable[[], object]) -> object:
    """It was done, but nobody hears of it."""
    call()
    raise StoreUnavailable(f"the test's medium did not answer to {verb}")


def _full(verb: str, call: Callable[[], object]) -> object:
    """There is no room any more, for anything."""
    if verb in ("put", "create"):
        raise StoreFull("no space left on the test's medium")
    return call()


FAULTS = {"error": (_error, False), "timeout": (_timeout, False), "dead": (_error, True), "full": (_full, True)}


@dataclass
class Site:
    """A repository with a backup, a deleted one and one more, and what it must hold."""

    store: FaultyStore
    committed: dict[str, bytes] = field(default_factory=dict)
    old: str = ""
    other: str = ""
    what: BackupFacts = field(default_factory=facts)
    target: BytesTarget = field(default_factory=lambda: BytesTarget(data=NEW))

    def opened(self) -> Repository:
        return open_repository(self.store, ROOT_KEY)


def build(store: Store) -> Site:
    """Blocks of OLD that lie alone, some that OTHER shares, and a pack that is needed in part after OTHER has gone."""
    site = Site(FaultyStore(store))
    with new_repository(site.store) as repository:
        gone = back_up(repository, BytesSource(OLD[:BLOCK] + CHANGE + NEW[-BLOCK:] * 2), facts()).facts.backup_id
        site.old = back_up(repository, BytesSource(OLD), facts()).facts.backup_id
        site.other = back_up(repository, BytesSource(OTHER), facts()).facts.backup_id
        repository.delete_backup(gone)
    site.committed = {site.old: OLD, site.other: OTHER}
    return site


def first_backup(site: Site, repository: Repository) -> None:
    back_up(repository, BytesSource(NEW), site.what)
    site.committed[site.what.backup_id] = NEW


def hinted_backup(site: Site, repository: Repository) -> None:
    back_up(repository, BytesSource(NEW, HINTS), site.what, parent=site.old)
    site.committed[site.what.backup_id] = NEW


def restore_in_place(site: Site, repository: Repository) -> None:
    restore(repository, site.old, site.target)
    assert site.target.data == OLD


def delete(site: Site, repository: Repository) -> None:
    site.committed.pop(site.other, None)  # from the moment that it is asked for, it may be gone
    remove_unreferenced(repository, site.other)


def collect(site: Site, repository: Repository) -> None:
    apply_collection(repository, plan_collection(repository))


def check(site: Site, repository: Repository) -> None:
    report = check_data(repository)
    assert report.ok, report.problems


WORK = [first_backup, hinted_backup, restore_in_place, delete, collect, check]


def try_with_fault(site: Site, work: Callable[[Site, Repository], None], n: int, fault: str) -> bool:
    """Do the work while its n-th call fails. False if it made fewer calls."""
    store = site.store
    store.fault, store.stays = FAULTS[fault]
    store.failed = False
    before = site.committed.copy()
    with site.opened() as repository:
        store.fails_at = n
        try:
            work(site, repository)
        except OpenVbsError:
            assert store.failed
            if work is not delete:
                site.committed = before
        finally:
            store.fails_at = None
    return store.failed


def see_that_all_is_well(site: Site) -> None:
    with site.opened() as repository:
        present = {record.facts.backup_id for record in repository.list_backups()}
        assert set(site.committed) <= present <= {*site.committed, site.what.backup_id, site.other}
        for backup_id, content in site.committed.items():
            assert restored(repository, backup_id) == content
        report = check_data(repository)
        assert report.ok, report.problems
        assert set(report.whole) == present


def see_that_nothing_stays(site: Site) -> None:
    with site.opened() as repository:
        for record in list(repository.list_backups()):
            remove_unreferenced(repository, record.facts.backup_id)
        now = next(iter(site.store.list("repository.json"))).modified_at
        for seconds in (1, 2, 2 + VERDICT_KEPT_SECONDS):
            later = now + seconds + EXPIRE_SECONDS
            apply_collection(repository, plan_collection(repository, later), now=later)
    for prefix in (PACKS, SEGMENTS, COLLECTIONS, LEASES, "backups/", "removals/"):
        assert not list(site.store.list(prefix)), prefix


def drive(build_site: Callable[[], Site], work: Callable[[Site, Repository], None], fault: str, every: int) -> int:
    """Fail every so many calls in turn; how many times one failed."""
    faults = 0
    for n in range(0, CALLS_MAX, every):
        site = build_site()
        if not try_with_fault(site, work, n, fault):
            break
        faults += 1
        see_that_all_is_well(site)
        with site.opened() as repository:
            work(site, repository)
        see_that_all_is_well(site)
        see_that_nothing_stays(site)
    else:
        pytest.fail(f"the work makes more than {CALLS_MAX} calls")
    return faults


@pytest.fixture(scope="module")
def in_memory() -> Callable[[], Site]:
    """Sites that begin with the same objects."""
    first = MemoryStore()
    site = build(first)

    def again() -> Site:
        store = MemoryStore()
        store._objects = first._objects.copy()
        return Site(FaultyStore(store), site.committed.copy(), site.old, site.other)

    return again


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("work", WORK)
def test_work_bears_a_store_that_fails_at_some_calls(in_memory, work, fault):
    assert drive(in_memory, work, fault, every=5) >= 1


@pytest.mark.heavy
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("work", WORK)
def test_work_bears_a_store_that_fails_at_any_call(in_memory, work, fault):
    assert drive(in_memory, work, fault, every=1) >= 3


class TearingSystem:
    """The operating system for the local store, but the n-th write to a file ends half way."""

    def __init__(self, n: int, number: int, *, stays: bool) -> None:
        self.left, self.number, self.stays = n, number, stays
        self.torn = False

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def write(self, descriptor: int, data: Bytes) -> int:
        self.left -= 1
        if self.left == -1 or (self.stays and self.left < 0):
            self.torn = True
            os.write(descriptor, memoryview(data)[: len(data) // 2])
            raise OSError(self.number, os.strerror(self.number))
        return os.write(descriptor, data)


TEARS = pytest.mark.parametrize(("number", "stays"), [(errno.EIO, False), (errno.ENOSPC, True)], ids=["torn", "full"])


@TEARS
def test_work_bears_a_disk_that_takes_half_of_some_writes(tmp_path, number, stays):
    assert tear(tmp_path, first_backup, number, stays=stays, every=6) >= 1


@pytest.mark.heavy
@TEARS
@pytest.mark.parametrize("work", [first_backup, hinted_backup, collect])
def test_work_bears_a_disk_that_takes_half_of_any_write(tmp_path, work, number, stays):
    assert tear(tmp_path, work, number, stays=stays, every=1) >= 3


def tear(folder: Path, work: Callable[[Site, Repository], None], number: int, *, stays: bool, every: int) -> int:
    """Half an object never gets its name, and who opens the store next removes it. How many writes were torn."""
    for torn, n in enumerate(range(0, CALLS_MAX, every)):
        place = folder / str(n)
        site = build(LocalStore(place))
        system = TearingSystem(n, number, stays=stays)
        before = site.committed.copy()
        with site.opened() as repository, patch.object(local, "os", system):
            try:
                work(site, repository)
            except OpenVbsError:
                assert system.torn
                site.committed = before
        if not system.torn:
            return torn
        site.store = FaultyStore(LocalStore(place))
        assert not list((place / ".drafts").iterdir())
        see_that_all_is_well(site)
        with site.opened() as repository:
            work(site, repository)
        see_that_all_is_well(site)
        see_that_nothing_stays(site)
    pytest.fail(f"the work makes more than {CALLS_MAX} writes")


class FailingSource(BytesSource):
    """Its n-th read meets a bad sector."""

    def __init__(self, data: bytes, n: int) -> None:
        super().__init__(data)
        self._n = n

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        if len(self.reads) == self._n:
            raise SourceError(f"bytes at {offset_bytes} cannot be read: Input/output error")
        super().read_into(offset_bytes, buffer)


class FailingTarget(BytesTarget):
    """Its n-th write fails."""

    def __init__(self, size_bytes: int, n: int) -> None:
        super().__init__(size_bytes)
        self._n = n

    def write(self, offset_bytes: int, data: bytes | memoryview) -> None:
        if len(self.written) == self._n:
            raise SourceError(f"bytes at {offset_bytes} cannot be written: Input/output error")
        super().write(offset_bytes, data)


def test_a_source_that_cannot_be_read_in_the_middle_makes_no_backup(in_memory):
    """Volumes of several batches, so that what was read before the error was stored already."""
    content = CHANCE.randbytes(40 * BLOCK)
    with patch.object(backup_module, "BATCH_BYTES_MAX", 4 * BLOCK):
        for n in range(10):
            site = in_memory()
            with site.opened() as repository:
                with pytest.raises(SourceError, match="cannot be read"):
                    back_up(repository, FailingSource(content, n), site.what)
                see_that_all_is_well(site)
                back_up(repository, BytesSource(content), site.what)
            site.committed[site.what.backup_id] = content
            see_that_all_is_well(site)
            see_that_nothing_stays(site)


def test_a_target_that_cannot_be_written_in_the_middle_is_restored_by_another_try(in_memory):
    """Restored in several batches, so that some were written before the error."""
    with patch.object(restore_module, "BATCH_BYTES", 2 * BLOCK):
        for n in range(3):
            site = in_memory()
            with site.opened() as repository:
                target = FailingTarget(len(OLD), n)
                with pytest.raises(SourceError, match="cannot be written"):
                    restore(repository, site.old, target)
                assert not target.flushed
                for offset, length in target.written:
                    assert target.data[offset : offset + length] == OLD[offset : offset + length]
            see_that_all_is_well(site)
