"""The whole HTTP layer on a real database; only Keystone and the workers are not there."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import read_identity
from tests.support.actions import made_service
from tests.support.wsgi import Client

ALPHA, BETA, GAMMA, HOME = "a" * 32, "b" * 32, "c" * 32, "d" * 32
PUBLIC_URL = "https://vbs.example:8776"
BODY_BYTES_MAX = 20_000


@pytest.fixture
def service(new_database_url: Callable[[], str]) -> Iterator[Service]:
    with made_service(new_database_url(), backups_per_volume_max=3) as made:
        yield made


@pytest.fixture
def app(service: Service) -> Any:
    """The application, to which the test itself says whose token came."""
    settings = Settings(public_url=PUBLIC_URL, body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    return create_app(service, settings, read_identity)


@pytest.fixture
def alpha(app: Any) -> Client:
    """The owner of whatever a test makes."""
    return Client(app, ALPHA)


@pytest.fixture
def reader(app: Any) -> Client:
    """A reader in alpha."""
    return Client(app, ALPHA, roles="reader")


@pytest.fixture
def beta(app: Any) -> Client:
    """The recipient of whatever is shared."""
    return Client(app, BETA)


@pytest.fixture
def gamma(app: Any) -> Client:
    """A stranger."""
    return Client(app, GAMMA)


@pytest.fixture
def admin(app: Any) -> Client:
    """An admin with a token of a project of its own."""
    return Client(app, HOME, roles="admin,member,reader")


@pytest.fixture
def at_once() -> Callable[..., list[int]]:
    """Calls a function with 0, 1, 2 ... in as many threads, all at the same moment; gives what they gave, in order."""

    def run(work: Callable[[int], int], number: int) -> list[int]:
        together = threading.Barrier(number)

        def one(turn: int) -> int:
            together.wait()
            return work(turn)

        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(one, range(number)))

    return run
