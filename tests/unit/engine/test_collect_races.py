"""The few orders of steps in which a collection could take what somebody needs; each invariant by its number."""

import contextlib
from dataclasses import dataclass

import pytest

from openvbs.engine.backup import _commit, _Upload, back_up, earlier_commit
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import LeaseLapsed
from openvbs.engine.facts import BackupRecord
from openvbs.engine.format import BACKUPS, PACKS
from openvbs.engine.leases import EXPIRE_SECONDS
from openvbs.engine.progress import ignore_progress, never_stop
from openvbs.engine.reader import read_pages
from openvbs.engine.repository import Repository
from openvbs.sources.base import Extent, ExtentKind
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BytesSource, facts, new_repository, random_bytes, restored


class Worker:
    """A process of its own: its own view of the store, and a backup that can be left standing before its commit."""

    def __init__(self, store: MemoryStore, stack: contextlib.ExitStack) -> None:
        self.repository: Repository = stack.enter_context(new_repository(store))

    def back_up(self, content: bytes) -> str:
        return back_up(self.repository, BytesSource(content), facts()).facts.backup_id

    def begin(self, content: bytes, parent: str | None = None) -> "Standing":
        extents = [Extent(0, len(content), ExtentKind.SAME)] if parent else None
        stack = contextlib.ExitStack()
        lease = stack.enter_context(self.repository.working("backup"))
        work = _Upload(self.repository, BytesSource(content, extents), lease, ignore_progress, never_stop)
        tree, stats = work.run(parent)
        return Standing(self.repository, stack, lease, BackupRecord(facts(), stats, tree))

    def collect(self, now: float | None = None):
        return apply_collection(self.repository, plan_collection(self.repository, now), now=now)


@dataclass
class Standing:
    """A backup that has uploaded everything and has not committed."""

    repository: Repository
    stack: contextlib.ExitStack
    lease: object
    record: BackupRecord

    def commit(self) -> str:
        try:
            return _commit(self.repository, self.record, self.lease).facts.backup_id
        finally:
            self.stack.close()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def workers(store):
    with contextlib.ExitStack() as stack:
        yield [Worker(store, stack) for _ in range(3)]


def packs(store) -> int:
    return len(list(store.list(PACKS)))


def assert_whole(worker: Worker, backup_id: str, content: bytes) -> None:
    assert restored(worker.repository, backup_id) == content
    assert check_data(worker.repository).ok


def relying_on_condemned(one: Worker, writer: Worker, content: bytes) -> Standing:
    """A backup before its commit that relies on two packs, all there are, which were condemned since it began."""
    one.repository.delete_backup(one.back_up(content))
    plan = plan_collection(one.repository)
    standing = writer.begin(content)
    assert apply_collection(one.repository, plan).packs_waiting == 2
    return standing


def decide_and_delete(one: Worker, standing: Standing, content: bytes) -> None:
    """The verdict comes while a backup stands before its commit, and the packs go when it has committed."""
    assert one.collect().packs_waiting == 2
    backup_id = standing.commit()
    assert one.collect().packs_deleted == 2
    assert_whole(one, backup_id, content)


def test_i8_what_became_needed_after_the_plan_is_spared(workers):
    one, other, _ = workers
    content = random_bytes(3)
    one.repository.delete_backup(one.back_up(content))
    plan = plan_collection(one.repository)
    again = other.back_up(content)  # finds the blocks, commits and is gone before the collection is applied
    assert other.repository.load_backup(again).stats.bytes_stored == 0
    assert apply_collection(one.repository, plan).packs_deleted == 0
    assert_whole(other, again, content)
    # What was spared is like any other pack again.
    assert one.repository.load_backup(one.back_up(content)).stats.bytes_stored == 0


def test_i6_a_writer_stores_condemned_blocks_again(workers, store):
    one, old_writer, new_writer = workers
    content = random_bytes(3)
    one.repository.delete_backup(one.back_up(content))
    plan = plan_collection(one.repository)
    holds_up = old_writer.begin(b"")
    assert apply_collection(one.repository, plan).packs_waiting == 2
    standing = new_writer.begin(content)
    assert standing.record.stats.bytes_new == len(content)
    holds_up.stack.close()
    decide_and_delete(one, standing, content)


def test_i7_a_parent_is_not_trusted_unread_while_its_blocks_are_condemned(workers):
    one, old_writer, new_writer = workers
    content = random_bytes(3)
    first = relying_on_condemned(one, old_writer, content)
    parent = _commit(first.repository, first.record, first.lease).facts.backup_id
    standing = new_writer.begin(content, parent)
    one.repository.delete_backup(parent)
    first.stack.close()
    decide_and_delete(one, standing, content)


def test_i8_a_verdict_waits_for_restores_of_what_was_deleted_just_before_it(workers):
    one, old_writer, reader = workers
    content = random_bytes(3)
    backup_id = relying_on_condemned(one, old_writer, content).commit()
    with reader.repository.working("restore"):
        tree = reader.repository.load_backup(backup_id).tree
        one.repository.delete_backup(backup_id)
        for _ in range(2):
            assert (one.collect().packs_deleted, one.collect().packs_waiting) == (0, 2)
        pages = read_pages(reader.repository, [tree.root])
        assert len(pages) == 1
    assert one.collect().packs_deleted == 2


def test_i8_the_blocks_of_a_running_restore_stay(workers):
    one, reader, _ = workers
    content = random_bytes(3)
    backup_id = one.back_up(content)
    plan_before = plan_collection(one.repository)
    assert plan_before.dead == frozenset()
    one.repository.delete_backup(backup_id)
    plan = plan_collection(one.repository)
    standing = reader.begin(b"")
    assert apply_collection(one.repository, plan).packs_waiting == 2
    assert one.collect().packs_deleted == 0
    standing.stack.close()
    assert one.collect().packs_deleted == 2


def test_i8_of_two_copies_at_most_one_goes(workers, store):
    one, other, _ = workers
    content = random_bytes(3)
    kept = one.back_up(content)
    # A second copy, as two writers at once make it (I13).
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other.repository, "refresh", lambda: None)
        second = other.back_up(content)
    assert packs(store) == 4
    plans = [plan_collection(worker.repository) for worker in (one, other)]
    for worker, plan in zip((one, other), plans, strict=True):
        apply_collection(worker.repository, plan)
    assert_whole(one, kept, content)
    assert_whole(other, second, content)
    assert packs(store) == 2


def test_i8_two_collections_that_condemn_different_copies_keep_one(workers, store):
    one, other, reader = workers
    content = random_bytes(3)
    kept = one.back_up(content)
    first = {info.name.rpartition("/")[2] for info in store.list(PACKS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other.repository, "refresh", lambda: None)
        other.back_up(content)
    every = {info.name.rpartition("/")[2] for info in store.list(PACKS)}
    plan = plan_collection(one.repository)
    standing = reader.begin(b"")
    for copies in (first, every - first):
        condemned = frozenset(bytes.fromhex(text) for text in copies)
        forged = type(plan)(dead=condemned, bytes_dead=0, rewrite={}, bytes_rewrite=0, bytes_copied=0, packs_waiting=0)
        assert apply_collection(one.repository, forged).packs_deleted == 0
    standing.stack.close()
    one.collect()
    one.collect()
    assert_whole(one, kept, content)


class StoodStill(Exception):
    """The process died after its commit, before it looked at its lease."""


def commit_asleep(one: Worker, other: Worker, store: MemoryStore, content: bytes, *, dies: bool) -> str:
    """Let one store content, stand still just before its commit while other collects it all, and go on."""
    standing = one.begin(content)
    create = store.create

    def stand_still(name, data):
        if not name.startswith(BACKUPS):
            create(name, data)
            return
        other.collect(now=store._clock().timestamp() + EXPIRE_SECONDS + 1)
        create(name, data)
        if dies:
            raise StoodStill

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "create", stand_still)
        with pytest.raises(StoodStill if dies else LeaseLapsed):
            standing.commit()
    return standing.record.facts.backup_id


def test_i10_a_writer_who_stood_still_just_before_its_commit_says_so(workers, store):
    one, other, _ = workers
    backup_id = commit_asleep(one, other, store, random_bytes(3), dies=False)
    other.repository.delete_backup(backup_id)  # as who began the work does
    assert check_data(other.repository).ok


def test_i10_what_an_earlier_try_committed_is_proven_and_mended(workers, store):
    one, other, again = workers
    content = random_bytes(3)
    backup_id = commit_asleep(one, other, store, content, dies=True)
    assert not check_data(other.repository).ok
    assert earlier_commit(again.repository, backup_id) is None
    what = facts(backup_id=backup_id)
    back_up(again.repository, BytesSource(content), what)
    assert_whole(other, backup_id, content)
    assert earlier_commit(again.repository, backup_id) == again.repository.load_backup(backup_id)


def test_i10_a_writer_whose_lease_expired_does_not_commit(workers, store):
    one, other, _ = workers
    standing = one.begin(random_bytes(3))
    other.collect(now=store._clock().timestamp() + EXPIRE_SECONDS + 1)
    with pytest.raises(LeaseLapsed):
        standing.commit()
    assert list(other.repository.list_backups()) == []


def test_i11_a_collection_killed_after_any_write_is_finished_by_the_next(workers, store):
    one, _, _ = workers
    content = random_bytes(3)
    kept = one.back_up(random_bytes(2))
    calls = 0
    while True:
        one.repository.delete_backup(one.back_up(content))
        with pytest.MonkeyPatch.context() as patch:
            left = calls

            def dying(verb):
                def call(*args):
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise KeyboardInterrupt
                    return verb(*args)

                return call

            for name in ("put", "create", "delete"):
                patch.setattr(store, name, dying(getattr(store, name)))
            try:
                one.collect()
                finished = True
            except KeyboardInterrupt:
                finished = False
        one.collect()
        future = store._clock().timestamp() + EXPIRE_SECONDS + 1
        one.collect(now=future)
        assert check_data(one.repository).ok
        assert packs(store) == 2
        assert len(restored(one.repository, kept)) > 0
        if finished:
            break
        calls += 1
    assert calls > 8
