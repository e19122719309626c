"""References keep a backup in its store (I14), whoever asks for its removal, and however the two happen to meet."""

import threading
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest

from openvbs.engine.errors import BackupMissing
from openvbs.engine.format import REFERENCES, REMOVALS
from openvbs.engine.references import add_reference, drop_reference, list_references, remove_unreferenced
from openvbs.engine.repository import Repository, open_repository
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import ROOT_KEY, back_up_bytes, new_repository, random_bytes, restored
from tests.support.stores import FullStore

STEPS_MAX = 8
"""Store calls of one side that the order of turns decides on; what comes after runs in whatever order is left."""


def names(repository: Repository, *prefixes: str) -> list[str]:
    return [info.name for prefix in prefixes for info in repository.store.list(prefix)]


def test_a_backup_goes_with_its_last_reference() -> None:
    with new_repository() as repository:
        data = random_bytes(5)
        backup_id = back_up_bytes(repository, data).facts.backup_id
        one, two = str(uuid4()), str(uuid4())
        assert add_reference(repository, backup_id, one).facts.backup_id == backup_id
        add_reference(repository, backup_id, one)
        add_reference(repository, backup_id, two)
        assert sorted(list_references(repository, backup_id)) == sorted([one, two])
        assert not remove_unreferenced(repository, backup_id)
        drop_reference(repository.store, backup_id, one)
        drop_reference(repository.store, backup_id, one)
        assert not remove_unreferenced(repository, backup_id)
        assert restored(repository, backup_id) == data
        drop_reference(repository.store, backup_id, two)
        assert remove_unreferenced(repository, backup_id)
        with pytest.raises(BackupMissing):
            repository.load_backup(backup_id)
        assert remove_unreferenced(repository, backup_id), "a repeated removal finds it done"
        assert names(repository, REFERENCES, REMOVALS) == []


def test_no_reference_is_left_to_what_is_not_there() -> None:
    with new_repository() as repository:
        with pytest.raises(BackupMissing):
            add_reference(repository, str(uuid4()), str(uuid4()))
        for malformed in ("x", "../header", ""):
            with pytest.raises(BackupMissing):
                add_reference(repository, malformed, str(uuid4()))
        assert names(repository, REFERENCES, REMOVALS) == []


def test_the_references_of_one_backup_do_not_keep_another() -> None:
    with new_repository() as repository:
        kept, other = (back_up_bytes(repository, random_bytes(2)).facts.backup_id for _ in range(2))
        add_reference(repository, kept, str(uuid4()))
        assert remove_unreferenced(repository, other)
        assert not remove_unreferenced(repository, kept)


def test_a_backup_leaves_a_full_store_too() -> None:
    store = MemoryStore()
    with new_repository(store) as repository:
        kept, other = (back_up_bytes(repository, random_bytes(2)).facts.backup_id for _ in range(2))
        add_reference(repository, kept, str(uuid4()))
    with open_repository(FullStore(store, ""), ROOT_KEY) as repository:
        assert remove_unreferenced(repository, other)
        assert not remove_unreferenced(repository, kept)
        assert [record.facts.backup_id for record in repository.list_backups()] == [kept]


class TurnStore:
    """A store of one of two threads, each of whose calls waits for its turn."""

    def __init__(self, store: MemoryStore, me: int, turns: "Turns") -> None:
        self._store, self._me, self._turns = store, me, turns

    def list(self, prefix: str) -> Iterator[Any]:
        self._turns.wait(self._me)
        return iter(list(self._store.list(prefix)))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self._turns.wait(self._me)
            return getattr(self._store, name)(*arguments)

        return call


class Turns:
    """An order of turns of two threads. Who has ended gives its turns away."""

    def __init__(self, order: list[int]) -> None:
        self._order = order
        self._ended = [False, False]
        self._change = threading.Condition()

    def wait(self, me: int) -> None:
        with self._change:
            assert self._change.wait_for(lambda: self._is_mine(me), timeout=60)
            if self._order:
                self._order.pop(0)
            self._change.notify_all()

    def _is_mine(self, me: int) -> bool:
        return not self._order or self._order[0] == me or self._ended[1 - me]

    def end(self, me: int) -> None:
        with self._change:
            self._ended[me] = True
            self._change.notify_all()


def test_i14_whoever_comes_first_at_least_one_gives_way_in_every_order() -> None:
    outcomes = set()
    for mine in combinations(range(STEPS_MAX), STEPS_MAX // 2):
        store = MemoryStore()
        with new_repository(store) as repository:
            backup_id = back_up_bytes(repository, random_bytes(2)).facts.backup_id
        adder, remover = _at_once(store, backup_id, [0 if turn in mine else 1 for turn in range(STEPS_MAX)])
        with open_repository(store, ROOT_KEY) as repository:
            is_there = names(repository, "backups/") != []
            assert is_there == (not remover)
            assert adder <= is_there, "who got a reference has the backup"
            assert bool(names(repository, REFERENCES)) == adder
            assert names(repository, REMOVALS) == []
            assert remove_unreferenced(repository, backup_id) == (not adder), "and later nothing stands in the way"
        outcomes.add((adder, remover))
    assert outcomes == {(True, False), (False, True), (False, False)}


def _at_once(store: MemoryStore, backup_id: str, order: list[int]) -> tuple[bool, bool]:
    """Whether the reference was added and whether the backup was removed."""
    turns = Turns(order)
    results = [False, False]
    opened = [open_repository(store, ROOT_KEY) for _ in range(2)]

    def add() -> None:
        try:
            add_reference(opened[0], backup_id, str(uuid4()))
            results[0] = True
        except BackupMissing:
            results[0] = False

    def remove() -> None:
        results[1] = remove_unreferenced(opened[1], backup_id)

    def run(me: int, work: Callable[[], None]) -> None:
        opened[me].store = TurnStore(store, me, turns)
        try:
            work()
        finally:
            turns.end(me)

    threads = [threading.Thread(target=run, args=(me, work)) for me, work in enumerate((add, remove))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for repository in opened:
        repository.close()
    return results[0], results[1]
