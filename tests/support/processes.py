"""Several processes that work on one repository, step by step, and what the store must hold after each step."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from unittest.mock import patch

from openvbs.clock import monotonic_seconds, utc_now
from openvbs.engine import leases
from openvbs.engine.backup import _commit, _Upload, back_up
from openvbs.engine.check import check_data
from openvbs.engine.collect import CollectionPlan, apply_collection, plan_collection
from openvbs.engine.errors import LeaseLapsed
from openvbs.engine.facts import BackupRecord
from openvbs.engine.format import COLLECTIONS, LEASES, PACKS, SEGMENTS
from openvbs.engine.leases import EXPIRE_SECONDS, Lease
from openvbs.engine.progress import ignore_progress, never_stop
from openvbs.engine.reader import read_blocks, read_pages
from openvbs.engine.repository import Repository, open_repository
from openvbs.engine.restore import _Restore
from openvbs.engine.tree import leaves
from openvbs.engine.verdicts import VERDICT_KEPT_SECONDS
from openvbs.sources.base import Extent, ExtentKind
from openvbs.stores.base import ObjectMissing
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, ROOT_KEY, BytesSource, BytesTarget, facts, new_repository

PROCESSES = 3
RUNNING_MAX = 4
BACKUPS_MAX = 6
BLOCKS = {letter: letter.encode() * 64 + bytes(BLOCK - 64) for letter in "abcd"} | {"0": bytes(BLOCK)}


def volume(letters: str) -> bytes:
    return b"".join(BLOCKS[letter] for letter in letters)


class Clock:
    """Time that can jump, for everybody or only for the store's clock: then sleeping holders do not notice."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.noticed_seconds = 0.0

    def now(self):
        return utc_now() + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return monotonic_seconds() + self.noticed_seconds


class ProcessStore(MemoryStore):
    """One process's way to the store: at a call that is counted down to, the process dies or something else happens."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store._clock)
        self._objects, self._lock = store._objects, store._lock
        self._left: int | None = None
        self._then: Callable[[], None] | None = None
        self._only_writes = False

    def at_call(self, calls: int, then: Callable[[], None], *, only_writes: bool) -> None:
        self._left, self._then, self._only_writes = calls, then, only_writes

    def disarm(self) -> None:
        self._left = self._then = None

    def _count(self, *, is_write: bool) -> None:
        if self._left is not None and (is_write or not self._only_writes):
            self._left -= 1
            if self._left < 0:
                assert self._then is not None
                self._then()

    def put(self, name, data):
        self._count(is_write=True)
        super().put(name, data)

    def create(self, name, data):
        self._count(is_write=True)
        super().create(name, data)

    def get(self, name, offset=0, length=None):
        self._count(is_write=False)
        return super().get(name, offset, length)

    def list(self, prefix):
        self._count(is_write=False)
        return super().list(prefix)

    def stat(self, name):
        self._count(is_write=False)
        return super().stat(name)

    def delete(self, name):
        self._count(is_write=True)
        super().delete(name)


@dataclass(eq=False)
class Standing:
    """A backup before its commit, or a restore before its first block, that stands still with its lease held."""

    process: int
    repository: Repository
    stack: contextlib.ExitStack
    lease: Lease
    letters: str
    record: BackupRecord
    is_restore: bool = False
    is_dead: bool = False


@dataclass
class Stored:
    """What the store should hold."""

    backups: dict[str, str] = field(default_factory=dict)
    """The letters of each backup's volume, by its id, in the order of their making."""


class Processes:
    """Each has its own view of the store; work of theirs can stand still with its lease held."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.patches = contextlib.ExitStack()
        self.patches.enter_context(patch.object(leases, "utc_now", self.clock.now))
        self.patches.enter_context(patch.object(leases, "monotonic_seconds", self.clock.monotonic))
        self.store = MemoryStore(self.clock.now)
        with new_repository(self.store):
            pass
        self.stores = [ProcessStore(self.store) for _ in range(PROCESSES)]
        self.processes = [open_repository(store, ROOT_KEY) for store in self.stores]
        self.stored = Stored()
        self.standing: list[Standing] = []
        self.plans: list[CollectionPlan] = []
        self.features: frozenset[str] = frozenset()
        self.contents: list[str] = []
        self.viewer = open_repository(self.store, ROOT_KEY)
        self.seen: object = None

    def close(self) -> None:
        for standing in self.standing:
            standing.stack.close()
        for repository in [*self.processes, self.viewer]:
            repository.close()
        self.patches.close()

    def _letters(self, which: int) -> str:
        return self.contents[which % len(self.contents)]

    def _record(self, backup_id: str, letters: str) -> None:
        self.stored.backups[backup_id] = letters

    def _source(self, letters: str, *, hints: bool) -> tuple[BytesSource, str | None]:
        """The volume; with hints all of it is the same as in the newest backup of the same letters, if there is one."""
        parents = [backup_id for backup_id, of in self.stored.backups.items() if of == letters]
        if not (hints and parents):
            return BytesSource(volume(letters)), None
        size = BLOCK * len(letters)
        return BytesSource(volume(letters), [Extent(0, size, ExtentKind.SAME)]), parents[-1]

    def _back_up(self, process: int, letters: str, *, hints: bool) -> None:
        if len(self.stored.backups) >= BACKUPS_MAX:
            return
        source, parent = self._source(letters, hints=hints)
        what = facts()
        try:
            back_up(self.processes[process], source, what, parent=parent)
        except LeaseLapsed:
            self.processes[process].delete_backup(what.backup_id)  # as callers do
            raise
        self._record(what.backup_id, letters)

    def _begin(self, process: int, letters: str, *, hints: bool) -> None:
        if len(self.standing) >= RUNNING_MAX:
            return
        repository = self.processes[process]
        source, parent = self._source(letters, hints=hints)
        with contextlib.ExitStack() as stack:
            lease = stack.enter_context(repository.working("backup"))
            tree, stats = _Upload(repository, source, lease, ignore_progress, never_stop).run(parent)
            record = BackupRecord(facts(), stats, tree)
            self.standing.append(Standing(process, repository, stack.pop_all(), lease, letters, record))

    def _begin_restore(self, process: int, which: int) -> None:
        if not self.stored.backups or len(self.standing) >= RUNNING_MAX:
            return
        repository = self.processes[process]
        backup_id, letters = list(self.stored.backups.items())[which % len(self.stored.backups)]
        with contextlib.ExitStack() as stack:
            lease = stack.enter_context(repository.working("restore"))
            record = repository.load_backup(backup_id)
            self.standing.append(
                Standing(process, repository, stack.pop_all(), lease, letters, record, is_restore=True)
            )

    def _finish(self, which: int) -> None:
        """Let standing work end; if it finds that its lease lapsed it must change nothing and may fail."""
        if not self.standing:
            return
        standing = self.standing.pop(which % len(self.standing))
        with standing.stack:
            try:
                if standing.is_restore:
                    standing.lease.check_stored()
                    self._restore(standing)
                else:
                    _commit(standing.repository, standing.record, standing.lease)
            except LeaseLapsed:
                if not standing.is_restore:
                    standing.repository.delete_backup(standing.record.facts.backup_id)
                return
        if not standing.is_restore:
            self._record(standing.record.facts.backup_id, standing.letters)

    def _restore(self, standing: Standing) -> None:
        target = BytesTarget(standing.record.size_bytes)
        tree, lease = standing.record.tree, standing.lease
        _Restore(standing.repository, tree, target, lease, on_progress=ignore_progress, checkpoint=never_stop).run()
        assert bytes(target.data) == volume(standing.letters), "a restore gave other bytes"

    def _finish_all(self) -> None:
        while self.standing:
            self._finish(0)

    def _renew(self, which: int) -> None:
        """What the thread of the lease does every 20 s, when it comes to it."""
        if not self.standing:
            return
        lease = self.standing[which % len(self.standing)].lease
        try:
            lease._renew_once()
        except ObjectMissing:
            lease._gone = True

    def _delete(self, process: int, which: int) -> None:
        if self.stored.backups:
            backup_id = list(self.stored.backups)[which % len(self.stored.backups)]
            self.processes[process].delete_backup(backup_id)
            del self.stored.backups[backup_id]

    def _delete_alike(self, process: int, which: int) -> None:
        """Delete all backups of one content, so that what they alone need goes."""
        if self.stored.backups:
            letters = list(self.stored.backups.values())[which % len(self.stored.backups)]
            for backup_id in [backup_id for backup_id, of in self.stored.backups.items() if of == letters]:
                self.processes[process].delete_backup(backup_id)
                del self.stored.backups[backup_id]

    def _collect(self, process: int) -> None:
        repository = self.processes[process]
        with contextlib.suppress(LeaseLapsed):
            apply_collection(repository, plan_collection(repository))

    def _plan(self, process: int) -> None:
        self.plans.append(plan_collection(self.processes[process]))

    def _apply(self, process: int) -> None:
        if self.plans:
            with contextlib.suppress(LeaseLapsed):
                apply_collection(self.processes[process], self.plans.pop(0))

    def _step_clock(self, seconds: float, *, noticed: bool) -> None:
        self.clock.seconds += seconds
        if noticed:
            self.clock.noticed_seconds += seconds

    def _delete_all(self, process: int) -> None:
        while self.stored.backups:
            self._delete(process, 0)

    def _condemn(self, process: int) -> None:
        """Let all that is stored become garbage, while somebody works for whom it must wait."""
        self._begin(1 - process, "0", hints=False)
        self._delete_all(process)
        self._collect(process)

    def _let_go(self, process: int) -> None:
        """Let all work end but what began last, and collect all that is stored."""
        while len(self.standing) > 1:
            self._finish(0)
        self._delete_all(process)
        self._collect(process)

    def _do(self, process: int, what: str, which: int) -> None:
        letters = self._letters(which)
        {
            "back up": lambda: self._back_up(process, letters, hints=False),
            "begin": lambda: self._begin(process, letters, hints=False),
            "begin with hints": lambda: self._begin(process, letters, hints=True),
            "begin restore": lambda: self._begin_restore(process, which),
            "finish": lambda: self._finish(which),
            "delete": lambda: self._delete_alike(process, which),
            "collect": lambda: self._collect(process),
            "condemn": lambda: self._condemn(process),
            "store twice": lambda: self._do_in_the_middle("begin", 1, ["back up"], which, only_writes=True),
            "sleep": lambda: self._step_clock(EXPIRE_SECONDS + 1, noticed=False),
        }[what]()

    def _do_in_the_middle(self, first: str, calls: int, between: list[str], which: int, *, only_writes: bool) -> None:
        store = self.stores[2]

        def interrupt() -> None:
            store.disarm()
            for what in between:
                self._do(0, what, which)

        store.at_call(calls, interrupt, only_writes=only_writes)
        try:
            self._do(2, first, which // 3)
        except LeaseLapsed:
            pass  # of the backup that was begun and went to sleep
        finally:
            store.disarm()

    def see_that_every_backup_is_whole(self) -> None:
        present = dict(self.store._objects)
        if present == self.seen:
            return
        self.viewer.refresh()
        assert {record.facts.backup_id for record in self.viewer.list_backups()} == set(self.stored.backups)
        for backup_id, letters in self.stored.backups.items():
            assert content(self.viewer, backup_id) == volume(letters), f"backup {backup_id} has other bytes"
        self.seen = present

    def _end_all(self) -> None:
        """In the order that is the hardest on what began last."""
        if self.standing:
            self._let_go(0)
        self._finish_all()
        self.see_that_every_backup_is_whole()

    def _see_that_nothing_is_left(self) -> None:
        """Once every lease has expired and every verdict is old, nothing is stored that no backup needs.

        Verdicts must get old twice: a writer that slept may have named a pack in the index that was deleted, which
        the next collection sees when that verdict is forgotten.
        """
        with open_repository(self.store, ROOT_KEY) as repository:
            for seconds in (EXPIRE_SECONDS + 1, 0, VERDICT_KEPT_SECONDS + 1, 0, VERDICT_KEPT_SECONDS + 1, 0):
                self._step_clock(seconds, noticed=True)
                apply_collection(repository, plan_collection(repository))
            report = check_data(repository)
            assert report.ok, report.problems
            assert set(report.whole) == set(self.stored.backups)
            plan = plan_collection(repository)
            assert (plan.dead, plan.packs_waiting) == (frozenset(), 0)
            for prefix in (LEASES, COLLECTIONS):
                assert not list(self.store.list(prefix)), f"something is left below {prefix}"
            if not self.stored.backups:
                assert not [*self.store.list(PACKS), *self.store.list(SEGMENTS)]


def content(repository: Repository, backup_id: str) -> bytes:
    """What a restore of a small backup gives, without threads."""
    tree = repository.load_backup(backup_id).tree
    ids = [block_id for leaf in leaves(tree, lambda ids: read_pages(repository, ids)) for block_id in leaf.ids or []]
    blocks = dict(read_blocks(repository, [block_id for block_id in ids if any(block_id)]))
    return b"".join(blocks.get(block_id, bytes(tree.shape.block_length(number))) for number, block_id in enumerate(ids))
