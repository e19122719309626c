"""What a collection condemns, and what becomes of candidates and verdicts."""

from unittest.mock import patch

import pytest

from openvbs.engine import collect as collect_module
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.condemned import candidates_name, read_collections, verdict_name
from openvbs.engine.errors import Corrupt
from openvbs.engine.format import COLLECTIONS, PACKS, SEGMENTS
from openvbs.engine.ids import PackId
from openvbs.engine.repository import open_repository
from openvbs.engine.verdicts import VERDICT_KEPT_SECONDS, condemn, decide, forget_old_verdicts
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import ROOT_KEY, back_up_bytes, new_repository, random_bytes

FIRST, SECOND = PackId(bytes([1]) * 16), PackId(bytes([2]) * 16)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def one(store):
    with new_repository(store) as repository:
        yield repository


@pytest.fixture
def other(store, one):
    with open_repository(store, ROOT_KEY) as repository:
        yield repository


def leave_dead_packs(repository) -> int:
    """Two for each of two deleted backups: blocks and pages lie in packs of their own. How many packs that are."""
    for backup_id in [back_up_bytes(repository, random_bytes(3)).facts.backup_id for _ in range(2)]:
        repository.delete_backup(backup_id)
    return len(list(repository.store.list(PACKS)))


def test_i8_of_two_verdicts_the_first_stands(one, other, store):
    condemn(one, {FIRST, SECOND})
    undecided = read_collections(store, one.codec)
    decide(one, undecided, {FIRST}, [])
    decide(other, undecided, {SECOND}, [])
    (collection,) = read_collections(store, one.codec)
    assert collection.condemned == {SECOND}


def test_a_verdict_is_kept_for_whoever_read_its_candidates_a_day_ago(one, store):
    condemn(one, {FIRST})
    (collection,) = read_collections(store, one.codec)
    decide(one, [collection], set(), [])
    store.delete(candidates_name(collection.collection_id))
    name = verdict_name(collection.collection_id)
    decided_at = store.stat(name).modified_at
    with one.working("collect") as lease:
        forget_old_verdicts(one, lease, decided_at + VERDICT_KEPT_SECONDS)
        assert [info.name for info in store.list(COLLECTIONS)] == [name]
        forget_old_verdicts(one, lease, decided_at + VERDICT_KEPT_SECONDS + 1)
        assert not list(store.list(COLLECTIONS))


def test_packs_that_wait_are_counted_and_not_condemned_again(one, other):
    packs = leave_dead_packs(one)
    plan = plan_collection(one)
    assert (len(plan.dead), plan.packs_waiting) == (packs, 0)
    with other.working("restore"):
        assert apply_collection(one, plan).packs_waiting == packs
        plan = plan_collection(one)
        assert (plan.dead, plan.packs_waiting) == (frozenset(), packs)


def test_a_collection_takes_so_many_dead_packs_and_leaves_the_rest_to_the_next(one, store):
    packs = leave_dead_packs(one)
    with patch.object(collect_module, "DEAD_PACKS_MAX", packs - 1):
        plan = plan_collection(one)
        assert (len(plan.dead), plan.packs_left) == (packs - 1, 1)
        apply_collection(one, plan)
        assert len(list(store.list(PACKS))) == 1
        plan = plan_collection(one)
        assert (len(plan.dead), plan.packs_left) == (1, 0)


def test_what_was_damaged_since_the_plan_stops_a_collection_before_it_condemns(one, store):
    leave_dead_packs(one)
    plan = plan_collection(one)
    back_up_bytes(one, random_bytes(2))
    last = max(store.list(SEGMENTS), key=lambda info: info.modified_at)
    store.put(last.name, b"damaged")
    with open_repository(store, ROOT_KEY) as repository, pytest.raises(Corrupt):
        apply_collection(repository, plan)
    assert not list(store.list(COLLECTIONS))
