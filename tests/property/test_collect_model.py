"""Collections beside everything else, in any order, against a plain model: a dictionary of backups."""

import contextlib
import secrets
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from openvbs.engine.backup import _commit, _Upload, back_up, commit, upload
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import BackupMissing, LeaseLapsed, MustUploadAgain
from openvbs.engine.facts import BackupRecord
from openvbs.engine.format import LEASES, PACKS
from openvbs.engine.leases import EXPIRE_SECONDS
from openvbs.engine.progress import ignore_progress, never_stop
from openvbs.engine.repository import Repository, open_repository
from openvbs.engine.restore import _Restore
from openvbs.sources.base import Extent, ExtentKind
from openvbs.stores.base import StoreError
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, ROOT_KEY, BytesSource, BytesTarget, facts, new_repository, restored

ALPHABET = [bytes([letter]) * 64 + bytes(BLOCK - 64) for letter in range(1, 5)] + [bytes(BLOCK)]
"""Few different blocks, so that volumes have much in common."""
VOLUMES = st.lists(st.integers(0, 4), max_size=2).map(lambda letters: b"".join(ALPHABET[i] for i in letters))


class FailingStore(MemoryStore):
    """Fails one call of a writing verb, and every one after it: the process is as good as dead."""

    fails_in: int | None = None

    def put(self, name, data):
        self._count()
        MemoryStore.put(self, name, data)

    def create(self, name, data):
        self._count()
        MemoryStore.create(self, name, data)

    def delete(self, name):
        self._count()
        MemoryStore.delete(self, name)

    def _count(self):
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                raise StoreError("dead")


@dataclass
class Running:
    """A backup or restore that stands still between two of its steps, holding its lease."""

    repository: Repository
    stack: contextlib.ExitStack
    lease: object
    content: bytes
    record: BackupRecord


class Collecting(RuleBasedStateMachine):
    """Several processes, each with its own view of one store."""

    backups = Bundle("backups")
    uploads = Bundle("uploads")
    later = Bundle("later")
    restores = Bundle("restores")
    plans = Bundle("plans")

    def __init__(self):
        super().__init__()
        self.store = FailingStore()
        with new_repository(self.store):
            pass
        self.processes = [open_repository(self.store, ROOT_KEY) for _ in range(2)]
        self.model: dict[str, bytes] = {}
        self.running: list[Running] = []

    def teardown(self):
        self.store.fails_in = None
        for running in self.running:
            running.stack.close()
        for repository in self.processes:
            repository.close()

    @rule(target=backups, process=st.integers(0, 1), content=VOLUMES)
    def back_up(self, process, content):
        record = back_up(self.processes[process], BytesSource(content), facts())
        self.model[record.facts.backup_id] = content
        return record.facts.backup_id

    @rule(target=backups, process=st.integers(0, 1), parent=backups, change=VOLUMES)
    def back_up_with_hints(self, process, parent, change):
        old = self.model.get(parent, b"")
        content = change + old[len(change) :]
        extents = [Extent(0, len(change), ExtentKind.DATA)] if change else []
        if len(content) > len(change):
            extents.append(Extent(len(change), len(content) - len(change), ExtentKind.SAME))
        record = back_up(self.processes[process], BytesSource(content, extents), facts(), parent=parent)
        self.model[record.facts.backup_id] = content
        return record.facts.backup_id

    @rule(target=uploads, process=st.integers(0, 1), content=VOLUMES, parent=backups, hints=st.booleans())
    def begin_backup(self, process, content, parent, hints):
        repository = self.processes[process]
        extents = None
        if hints and parent in self.model:
            content = self.model[parent]
            extents = [Extent(0, len(content), ExtentKind.SAME)] if content else []
        stack = contextlib.ExitStack()
        lease = stack.enter_context(repository.working("backup"))
        work = _Upload(repository, BytesSource(content, extents), lease, ignore_progress, never_stop)
        tree, stats = work.run(parent if extents is not None else None)
        running = Running(repository, stack, lease, content, BackupRecord(facts(), stats, tree))
        self.running.append(running)
        return running

    @rule(target=backups, running=consumes(uploads))
    def finish_backup(self, running):
        try:
            _commit(running.repository, running.record, running.lease)
        except LeaseLapsed:
            return multiple()
        finally:
            running.stack.close()
            self.running.remove(running)
        self.model[running.record.facts.backup_id] = running.content
        return running.record.facts.backup_id

    @rule(target=later, process=st.integers(0, 1), content=VOLUMES)
    def upload_only(self, process, content):
        what = facts()
        return what, content, upload(self.processes[process], BytesSource(content), what)

    @rule(target=backups, process=st.integers(0, 1), uploaded=consumes(later))
    def commit_later(self, process, uploaded):
        what, content, value = uploaded
        try:
            commit(self.processes[process], value, what)
        except MustUploadAgain:
            return multiple()
        self.model[what.backup_id] = content
        return what.backup_id

    @rule(target=restores, process=st.integers(0, 1), backup=backups)
    def begin_restore(self, process, backup):
        if backup not in self.model:
            return multiple()
        repository = self.processes[process]
        stack = contextlib.ExitStack()
        lease = stack.enter_context(repository.working("restore"))
        running = Running(repository, stack, lease, self.model[backup], repository.load_backup(backup))
        self.running.append(running)
        return running

    @rule(running=consumes(restores))
    def finish_restore(self, running):
        target = BytesTarget(len(running.content))
        work = _Restore(
            running.repository,
            running.record.tree,
            target,
            running.lease,
            on_progress=ignore_progress,
            checkpoint=never_stop,
        )
        try:
            running.lease.check_stored()
        except LeaseLapsed:
            return
        finally:
            if running.lease._gone:
                running.stack.close()
                self.running.remove(running)
        work.run()
        assert target.data == running.content
        running.stack.close()
        self.running.remove(running)

    @rule(backup=consumes(backups), process=st.integers(0, 1))
    def delete(self, backup, process):
        self.processes[process].delete_backup(backup)
        self.model.pop(backup, None)

    @rule(process=st.integers(0, 1))
    def delete_all(self, process):
        for backup in list(self.model):
            self.processes[process].delete_backup(backup)
        self.model.clear()

    @rule(target=plans, process=st.integers(0, 1))
    def plan_without_any_backup(self, process):
        self.delete_all(process)
        return plan_collection(self.processes[process])

    @rule(target=plans, process=st.integers(0, 1))
    def plan(self, process):
        return plan_collection(self.processes[process])

    @rule(plan=consumes(plans), process=st.integers(0, 1))
    def apply(self, plan, process):
        apply_collection(self.processes[process], plan)

    @rule(process=st.integers(0, 1))
    def collect(self, process):
        repository = self.processes[process]
        apply_collection(repository, plan_collection(repository))

    @rule(process=st.integers(0, 1), calls=st.integers(0, 14))
    def collect_and_die(self, process, calls):
        repository = self.processes[process]
        self.store.fails_in = calls
        with contextlib.suppress(StoreError):
            apply_collection(repository, plan_collection(repository))
        self.store.fails_in = None
        self.processes[process] = open_repository(self.store, ROOT_KEY)

    @rule(process=st.integers(0, 1), calls=st.integers(0, 5), content=VOLUMES)
    def back_up_and_die(self, process, calls, content):
        what = facts()
        self.store.fails_in = calls
        with contextlib.suppress(StoreError):
            back_up(self.processes[process], BytesSource(content), what)
        self.store.fails_in = None
        self.processes[process] = open_repository(self.store, ROOT_KEY)
        with contextlib.suppress(BackupMissing):
            self.processes[process].load_backup(what.backup_id)
            self.model[what.backup_id] = content

    @rule(process=st.integers(0, 1))
    def collect_when_all_leases_have_expired(self, process):
        repository = self.processes[process]
        future = repository.store._clock().timestamp() + EXPIRE_SECONDS + 1
        apply_collection(repository, plan_collection(repository, now=future), now=future)

    @invariant()
    def every_backup_restores(self):
        with open_repository(self.store, ROOT_KEY) as repository:
            assert {record.facts.backup_id for record in repository.list_backups()} == set(self.model)
            for backup_id, content in self.model.items():
                assert restored(repository, backup_id) == content


TestCollecting = Collecting.TestCase
TestCollecting.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def packs(store) -> int:
    return len(list(store.list(PACKS)))


def test_what_a_deleted_backup_alone_held_is_given_back():
    store = MemoryStore()
    with new_repository(store) as repository:
        kept = back_up(repository, BytesSource(ALPHABET[0] + ALPHABET[1]), facts()).facts.backup_id
        gone = back_up(repository, BytesSource(ALPHABET[2] * 3), facts()).facts.backup_id
        before = packs(store)
        repository.delete_backup(gone)
        plan = plan_collection(repository)
        assert packs(store) == before
        result = apply_collection(repository, plan)
        assert result.packs_deleted == len(plan.dead) > 0
        assert result.bytes_freed == plan.bytes_dead > 0
        assert result.packs_waiting == 0
        assert packs(store) == before - result.packs_deleted
        assert restored(repository, kept) == ALPHABET[0] + ALPHABET[1]
        assert check_data(repository).ok
        repository.delete_backup(kept)
        apply_collection(repository, plan_collection(repository))
        assert packs(store) == 0
        assert list(store.list("index/")) == []


def test_a_sparse_pack_is_copied_and_then_deleted():
    store = MemoryStore()
    with new_repository(store) as repository:
        blocks = [secrets.token_bytes(BLOCK) for _ in range(8)]
        gone = back_up(repository, BytesSource(b"".join(blocks)), facts()).facts.backup_id
        kept = back_up(repository, BytesSource(blocks[3]), facts()).facts.backup_id
        repository.delete_backup(gone)
        before = sum(info.size_bytes for info in store.list(PACKS))
        result = apply_collection(repository, plan_collection(repository))
        assert result.packs_copied == 1
        assert sum(info.size_bytes for info in store.list(PACKS)) < before / 3
        assert restored(repository, kept) == blocks[3]


def test_running_work_is_waited_for_and_a_dead_one_is_not():
    store = MemoryStore()
    with new_repository(store) as repository, new_repository(store) as other:
        gone = back_up(repository, BytesSource(ALPHABET[0]), facts()).facts.backup_id
        with other.working("restore"):
            repository.delete_backup(gone)
            result = apply_collection(repository, plan_collection(repository))
            # Nothing was added since that work began, so the packs may be what it reads.
            assert (result.packs_deleted, result.packs_waiting) == (0, 2)
            future = store._clock().timestamp() + EXPIRE_SECONDS + 1
            assert apply_collection(repository, plan_collection(repository, now=future), now=future).packs_deleted == 2
            assert list(store.list(LEASES)) == []


def test_the_packs_of_a_running_backup_are_no_candidates():
    store = MemoryStore()
    with new_repository(store) as repository, new_repository(store) as other, other.working("backup") as lease:
        work = _Upload(other, BytesSource(ALPHABET[0]), lease, ignore_progress, never_stop)
        work.run(None)
        plan = plan_collection(repository)
        assert (plan.dead, plan.rewrite) == (frozenset(), {})


def test_many_small_segments_become_few():
    store = MemoryStore()
    with new_repository(store) as repository:
        kept = {}
        for number in range(20):
            content = bytes([number + 1]) * BLOCK
            kept[back_up(repository, BytesSource(content), facts()).facts.backup_id] = content
        assert len(list(store.list("index/"))) == 20
        apply_collection(repository, plan_collection(repository))
        assert len(list(store.list("index/"))) == 1
    with open_repository(store, ROOT_KEY) as repository:
        for backup_id, content in kept.items():
            assert restored(repository, backup_id) == content


def test_nothing_is_collected_from_a_damaged_repository():
    store = MemoryStore()
    with new_repository(store) as repository:
        back_up(repository, BytesSource(ALPHABET[0]), facts())
        back_up(repository, BytesSource(ALPHABET[1]), facts())
    segment = next(iter(store.list("index/"))).name
    store.put(segment, b"rubbish" * 10)
    with open_repository(store, ROOT_KEY) as repository, pytest.raises(Exception, match="repair first"):
        plan_collection(repository)
    assert packs(store) == 4
