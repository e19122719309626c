"""Ceilings of policies hold whoever races for the last place, and what is refused changes nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from openvbs.actions import policies, policy_tasks
from openvbs.actions.service import Service
from openvbs.domain.errors import PoliciesExceeded, PolicyRunning, RuleError, VolumesPerPolicyExceeded
from openvbs.domain.policy import PolicyFields
from tests.support.actions import add_volume, caller, made_service
from tests.support.policies import add_policy, tasks_of

ALPHA = caller("alpha")
RACERS = 6


@pytest.fixture
def service(new_database_url: Callable[[], str]) -> Iterator[Service]:
    with made_service(new_database_url(), policies_max=2, volumes_per_policy_max=3) as made:
        yield made


def race(work: Callable[[int], object]) -> list[RuleError | None]:
    """What each racer got that began at the same moment: None is success."""
    barrier = Barrier(RACERS)

    def run(number: int) -> RuleError | None:
        barrier.wait()
        try:
            work(number)
        except RuleError as error:
            return error
        return None

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(run, range(RACERS)))


def test_only_so_many_win_the_race_for_the_last_policies(service: Service) -> None:
    outcomes = race(lambda _: add_policy(service, ALPHA))
    assert outcomes.count(None) == 2
    assert {type(outcome) for outcome in outcomes if outcome} == {PoliciesExceeded}
    assert len(policies.list_policies(service, ALPHA)) == 2


def test_only_so_many_win_the_race_for_the_last_places_of_a_policy(service: Service) -> None:
    policy = add_policy(service, ALPHA)
    volumes = [add_volume(service, "alpha") for _ in range(RACERS)]
    outcomes = race(lambda number: policies.associate(service, ALPHA, policy.id, [volumes[number]]))
    assert outcomes.count(None) == 3
    assert {type(outcome) for outcome in outcomes if outcome} == {VolumesPerPolicyExceeded}
    assert policies.list_policies(service, ALPHA)[0].volumes_count == 3


def test_a_disk_that_two_policies_race_for_ends_on_one(service: Service) -> None:
    both = [add_policy(service, ALPHA), add_policy(service, ALPHA)]
    disks = [add_volume(service, "alpha") for _ in range(3)]
    outcomes = race(lambda number: policies.associate(service, ALPHA, both[number % 2].id, disks[:: (-1) ** number]))
    assert outcomes == [None] * RACERS
    counts = sorted(row.volumes_count for row in policies.list_policies(service, ALPHA))
    assert counts == [0, 3]


def test_of_many_who_run_a_policy_at_once_one_does(service: Service) -> None:
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"))
    outcomes = race(lambda _: policy_tasks.run_policy(service, ALPHA, policy.id))
    assert outcomes.count(None) == 1
    assert {type(outcome) for outcome in outcomes if outcome} == {PolicyRunning}
    assert len(tasks_of(service, ALPHA, policy.id)) == 1


def test_a_change_that_changes_nothing_leaves_no_trace(service: Service) -> None:
    policy = add_policy(service, ALPHA)
    same = policies.update_policy(service, ALPHA, policy.id, PolicyFields(name=policy.name, every_days=1, is_on=True))
    assert same == policy
    assert policies.list_policies(service, ALPHA)[0].policy == policy
