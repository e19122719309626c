"""A service whose clock is set by hand, and its workers; modules that need another one make their own."""

from collections.abc import Callable, Iterator

import pytest

from openvbs.actions.service import Service
from tests.support.actions import made_service
from tests.support.policies import START, SetClock, Workers


@pytest.fixture
def service(new_database_url: Callable[[], str]) -> Iterator[Service]:
    with made_service(new_database_url(), clock=SetClock(START)) as made:
        yield made


@pytest.fixture
def workers(service: Service) -> Workers:
    return Workers(service)
