"""Collections beside everything else: a model that looks for lost blocks, and what a collection gives back."""

import logging
import os
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from openvbs.engine.backup import _Upload, back_up
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import EngineError
from openvbs.engine.format import LEASES, PACKS
from openvbs.engine.leases import EXPIRE_SECONDS
from openvbs.engine.progress import ignore_progress, never_stop
from openvbs.engine.repository import open_repository
from openvbs.stores.memory import MemoryStore
from tests.support.collecting import Collecting
from tests.support.planted import PLANTED, Plant
from tests.support.repositories import BLOCK, ROOT_KEY, BytesSource, facts, new_repository, restored

EXAMPLES = int(os.environ.get("OPENVBS_EXAMPLES", "200"))
"""Runs of the model in the heavy suite."""
ALWAYS_THE_SAME = "OPENVBS_EXAMPLES" not in os.environ
"""The suites repeat the same runs, so that what fails was broken just then; whoever asks for more gets new ones."""
EXAMPLES_QUICK = 40
EXAMPLES_PLANTED_MAX = 2000
"""Within so many runs each planted bug must be found; all are found in a few hundred at most."""
STEPS = 12
ALPHABET = [bytes([letter]) * 64 + bytes(BLOCK - 64) for letter in range(1, 5)]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Leases that the dead of the model leave are worth no line each."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def explore(
    examples: int, *, steps: int = STEPS, phases: tuple[Phase, ...] = tuple(Phase), always_the_same: bool = False
) -> None:
    checks = list(HealthCheck)  # slow on a loaded machine, which is no fault of the model
    run_state_machine_as_test(
        Collecting,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=phases,
            derandomize=always_the_same,
            report_multiple_bugs=False,
            suppress_health_check=checks,
        ),
    )


def test_no_order_of_steps_loses_a_block(quiet):
    explore(EXAMPLES_QUICK, always_the_same=True)


@pytest.mark.heavy
@pytest.mark.timeout(7200)
def test_no_order_of_many_steps_loses_a_block(quiet):
    explore(EXAMPLES, steps=20, always_the_same=ALWAYS_THE_SAME)


def see_that_it_is_found(plant: Plant) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        with pytest.raises((AssertionError, EngineError, Flaky)):
            # The same runs each time: chance would let one fail in some hundreds of times.
            explore(EXAMPLES_PLANTED_MAX, phases=(Phase.generate,), always_the_same=True)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("plant", PLANTED[:2], ids=lambda plant: plant.__name__)
def test_the_model_finds_a_planted_bug(quiet, plant):
    see_that_it_is_found(plant)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_the_model_finds_every_planted_bug(quiet, plant):
    see_that_it_is_found(plant)


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
