"""When a holder of a lease must stop by itself (I10)."""

from datetime import timedelta

import pytest

from openvbs.clock import utc_now
from openvbs.engine.check import check_data, check_structure
from openvbs.engine.errors import LeaseLapsed
from openvbs.engine.format import LEASES
from openvbs.engine.leases import EXPIRE_SECONDS, LAPSE_SECONDS
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import back_up_bytes, new_repository, random_bytes


class StoppedStore(MemoryStore):
    """A store with a clock of its own. A put of a lease takes effect as late as one wishes."""

    def __init__(self) -> None:
        super().__init__(lambda: utc_now() + timedelta(seconds=self.ahead))
        self.ahead = 0.0
        self.put_takes = 0.0

    def put(self, name, data):
        if name.startswith(LEASES):
            self.ahead += self.put_takes
            if self.put_takes > EXPIRE_SECONDS:
                self.delete(name)  # a collection that took the lease for dead
        super().put(name, data)


@pytest.fixture
def store():
    return StoppedStore()


@pytest.mark.parametrize(("seconds", "lapses"), [(LAPSE_SECONDS / 2, False), (EXPIRE_SECONDS + 60, True)])
def test_a_renewal_that_took_too_long_does_not_bring_a_lease_back(store, seconds, lapses):
    """By the store's clock: this machine's may have stood still with the machine."""
    with new_repository(store) as repository, repository.working("backup") as lease:
        store.put_takes = seconds
        lease._renew_once()
        store.put_takes = 0
        lease._renew_once()
        if not lapses:
            lease.check_stored()
            return
        with pytest.raises(LeaseLapsed):
            lease.check_stored()
        with pytest.raises(LeaseLapsed):
            lease.store_now()


@pytest.mark.parametrize("check", [check_structure, check_data])
def test_a_check_whose_lease_was_taken_away_says_nothing(store, check):
    """What it would call damaged may have been put elsewhere by a collection."""

    def stand_still() -> None:
        for info in list(store.list(LEASES)):
            store.delete(info.name)

    with new_repository(store) as repository:
        back_up_bytes(repository, random_bytes(3))
        with pytest.raises(LeaseLapsed):
            check(repository, checkpoint=stand_still)
