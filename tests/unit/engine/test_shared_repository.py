"""Several pieces of work on one open repository, as a worker has: what one looks at takes nothing from the others."""

import threading
from collections.abc import Callable, Iterable

import pytest

from openvbs.engine.check import check_structure
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.format import COLLECTIONS, SEGMENTS
from openvbs.engine.index import segment_sizes
from openvbs.engine.repository import Repository, open_repository
from openvbs.engine.verdicts import _replace_segments
from openvbs.stores.base import StoreUnavailable
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import ROOT_KEY, back_up_bytes, new_repository, random_bytes, restored

LONG_ENOUGH_SECONDS = 0.5
"""For a refresh that nothing holds up."""


class SlowStore(MemoryStore):
    """Something else happens once, in the middle of reading an object below a prefix."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = ""
        self._meanwhile: Callable[[], None] | None = None

    def at_next_get(self, prefix: str, meanwhile: Callable[[], None]) -> None:
        self._prefix, self._meanwhile = prefix, meanwhile

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if self._meanwhile is not None and name.startswith(self._prefix):
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return super().get(name, offset, length)


@pytest.fixture
def store():
    return SlowStore()


@pytest.fixture
def shared(store):
    with new_repository(store) as repository:
        yield repository


@pytest.fixture
def elsewhere(store, shared):
    with open_repository(store, ROOT_KEY) as repository:
        yield repository


def collect(repository: Repository) -> None:
    apply_collection(repository, plan_collection(repository))


def replace_segments(repository: Repository, segments: Iterable[bytes]) -> None:
    """What a collection does when it carries out a verdict."""
    with repository.working("collect"):
        _replace_segments(repository, frozenset(segments), frozenset())


def test_i6_a_slow_look_does_not_bring_back_what_was_condemned_before(shared, elsewhere, store):
    """Else a backup that began after the condemnation would rely on packs that nobody keeps for it."""
    for blocks in (3, 4):
        shared.delete_backup(back_up_bytes(shared, random_bytes(blocks)).facts.backup_id)
    collect(elsewhere)  # its verdict stays for a day, so that a look has something to read
    shared.delete_backup(back_up_bytes(shared, random_bytes(5)).facts.backup_id)
    later = threading.Thread(target=shared.refresh)

    def another_begins() -> None:
        collect(elsewhere)
        later.start()
        later.join(LONG_ENOUGH_SECONDS)

    with elsewhere.working("restore"):  # so that what is condemned stays in the store
        store.at_next_get(COLLECTIONS, another_begins)
        shared.refresh()
        later.join()
        elsewhere.refresh()
        assert elsewhere.index.condemned
        assert shared.index.condemned == elsewhere.index.condemned


def test_blocks_are_found_while_segments_that_replace_others_are_read(shared, elsewhere, store):
    content = random_bytes(20)
    backup_id = back_up_bytes(shared, content).facts.backup_id
    replace_segments(elsewhere, segment_sizes(store))
    root = shared.load_backup(backup_id).tree.root
    found = []
    store.at_next_get(SEGMENTS, lambda: found.append(shared.index.find(root)))
    shared.refresh()
    assert found[0] is not None
    assert restored(shared, backup_id) == content


def test_a_lookup_that_began_before_segments_were_replaced_ends_well(shared, elsewhere, store):
    backup_id = back_up_bytes(shared, random_bytes(20)).facts.backup_id
    root = shared.load_backup(backup_id).tree.root
    replaced = segment_sizes(store)
    back_up_bytes(shared, random_bytes(1))
    runs = shared.index.settle()
    replace_segments(elsewhere, replaced)
    shared.refresh()
    assert [place for run in runs for _position, place in run.find(root)]
    assert check_structure(shared).ok


def test_segments_that_are_replaced_while_they_are_read_are_not_missed(shared, elsewhere, store):
    backup_id = back_up_bytes(elsewhere, random_bytes(20)).facts.backup_id
    store.at_next_get(SEGMENTS, lambda: replace_segments(elsewhere, segment_sizes(store)))
    shared.refresh()
    assert shared.index.find(elsewhere.load_backup(backup_id).tree.root) is not None


def test_a_refresh_that_fails_hides_nothing(shared, elsewhere, store):
    backup_id = back_up_bytes(shared, random_bytes(20)).facts.backup_id
    replace_segments(elsewhere, segment_sizes(store))

    def fail() -> None:
        raise StoreUnavailable("the store did not answer")

    store.at_next_get(SEGMENTS, fail)
    with pytest.raises(StoreUnavailable):
        shared.refresh()
    assert shared.index.find(shared.load_backup(backup_id).tree.root) is not None
