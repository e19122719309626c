"""A store's clock that was ahead and is set right: what was stored meanwhile has times that are still to come."""

from datetime import timedelta

import pytest

from openvbs.clock import utc_now
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.format import LEASES, PACKS
from openvbs.engine.leases import EXPIRE_SECONDS, Lease
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import back_up_bytes, new_repository, random_bytes, restored

YEAR_SECONDS = 365 * 86400.0


class WrongClock:
    """A clock that is ahead by some seconds."""

    ahead_seconds = YEAR_SECONDS

    def __call__(self):
        return utc_now() + timedelta(seconds=self.ahead_seconds)


@pytest.fixture
def clock():
    return WrongClock()


@pytest.fixture
def store(clock):
    return MemoryStore(clock)


def collect(repository):
    return apply_collection(repository, plan_collection(repository))


def test_a_lease_of_the_dead_with_a_time_to_come_expires(store, clock):
    with new_repository(store) as repository:
        backup_id = back_up_bytes(repository, random_bytes(3)).facts.backup_id
        dead = Lease(store, repository.codec, "backup")
        dead._stop.set()
        clock.ahead_seconds = 0
        repository.delete_backup(backup_id)
        result = collect(repository)
        assert (result.packs_deleted, result.packs_waiting) == (0, 2)
        clock.ahead_seconds = EXPIRE_SECONDS - 10
        assert collect(repository).packs_waiting == 2
        clock.ahead_seconds = EXPIRE_SECONDS + 10
        assert collect(repository).packs_deleted == 2
        assert list(store.list(LEASES)) == []


def test_the_living_are_waited_for_though_their_lease_has_a_time_to_come(store, clock):
    content = random_bytes(3)
    with new_repository(store) as repository, new_repository(store) as reader:
        backup_id = back_up_bytes(repository, content).facts.backup_id
        with reader.working("restore") as lease:
            clock.ahead_seconds = 0
            repository.delete_backup(backup_id)
            for _ in range(3):
                assert collect(repository).packs_deleted == 0
            lease.check_stored()
        assert collect(repository).packs_deleted == 2


def test_packs_with_a_time_to_come_are_collected(store, clock):
    with new_repository(store) as repository:
        gone = back_up_bytes(repository, random_bytes(3)).facts.backup_id
        content = random_bytes(3)
        kept = back_up_bytes(repository, content).facts.backup_id
        clock.ahead_seconds = 0
        repository.delete_backup(gone)
        assert collect(repository).packs_deleted == 2
        assert len(list(store.list(PACKS))) == 2
        assert restored(repository, kept) == content
        assert check_data(repository).ok
