"""What every test may ask for."""

import os
import random
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.support.ceph import Gateway, s3_gateway
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.service import complaints


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default=os.environ.get("OPENVBS_TEST_DATABASE", "sqlite"),
        help="the kind of database that the tests run on (PostgreSQL: Debian's package, started here)",
    )


def pytest_configure() -> None:
    """One seed for the whole run, the same in each of its processes; OPENVBS_SEED repeats a run."""
    os.environ.setdefault("OPENVBS_SEED", str(random.SystemRandom().randrange(10**6)))


def pytest_report_header() -> str:
    return f"OPENVBS_SEED={os.environ['OPENVBS_SEED']}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A service that answered 500 or 503 says why in its log only."""
    report = yield
    if report.failed:
        report.sections += [(f"warnings in {file}", text) for file, text in complaints().items() if text]
    return report


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    """sqlite or postgresql."""
    return str(request.config.getoption("--database"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, started by the first test that needs one."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Gateway]:
    """Ceph's S3 gateway, started by the first test that needs one."""
    with s3_gateway() as gateway:
        yield gateway


@pytest.fixture(scope="session")
def new_database_url(
    request: pytest.FixtureRequest, database_kind: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Makes the SQLAlchemy URL of a new, empty database of the kind that was asked for."""
    if database_kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.create_database
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('database') / 'openvbs.db'}"
