"""One service for the whole session, and who calls it."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from tests.support.parties import Login, Parties, Party, login
from tests.support.records import Records, stopped
from tests.support.service import RunningService, running
from tests.support.tokens import bad_token as make_bad_token


@pytest.fixture(scope="session")
def service(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, new_database_url: Callable[[], str]
) -> Iterator[RunningService]:
    """The service with the demo projects, on the database that was asked for."""
    data_dir = tmp_path_factory.mktemp("service") / "data"
    database_url = None if database_kind == "sqlite" else new_database_url()
    with running(RunningService(data_dir, database_url=database_url)) as service:
        yield service


@pytest.fixture(scope="session")
def parties(service: RunningService) -> Parties:
    return service.parties()


@pytest.fixture(scope="session")
def alpha(parties: Parties) -> Party:
    return parties.alpha


@pytest.fixture(scope="session")
def beta(parties: Parties) -> Party:
    return parties.beta


@pytest.fixture(scope="session")
def gamma(parties: Parties) -> Party:
    return parties.gamma


@pytest.fixture(scope="session")
def admin(parties: Parties) -> Party:
    return parties.admin


@pytest.fixture(scope="session")
def alpha_login(service: RunningService) -> Login:
    return login(service.clouds_file, "openvbs-alpha")


@pytest.fixture
def bad_token(service: RunningService, alpha_login: Login) -> Callable[[str], str]:
    """Makes a token that must not be accepted: expired, revoked, unknown or garbage."""
    return partial(make_bad_token, service.data_dir / "keystone", alpha_login)


@pytest.fixture(scope="session")
def records(service: RunningService) -> Iterator[Records]:
    """The service's database."""
    with contextlib.closing(Records(service.database_url)) as records:
        yield records


@pytest.fixture
def worker_stopped(service: RunningService, records: Records) -> Callable[[], AbstractContextManager[None]]:
    """While inside, jobs are accepted but none runs."""
    return lambda: stopped(service.child("worker"), records)
