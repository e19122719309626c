"""One service for the whole session, and who calls it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from openvbs.units import MIB
from tests.support.cancelling import R2, World
from tests.support.images import write_image
from tests.support.parties import Login, Parties, Party, log_in_all, login
from tests.support.records import Records, stopped
from tests.support.service import RunningKeystone, RunningService, free_port_pair
from tests.support.steps import cancel_all, new_backup, new_volume, share
from tests.support.tokens import bad_token as make_bad_token


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service") / "data"


@pytest.fixture(scope="session")
def database_url(data_dir: Path, database_kind: str, new_database_url: Callable[[], str]) -> str:
    """Of the service: SQLite in its data directory, or a database of the PostgreSQL server."""
    return f"sqlite:///{data_dir}/openvbs.db" if database_kind == "sqlite" else new_database_url()


@pytest.fixture(scope="session")
def service(data_dir: Path, database_url: str) -> Iterator[RunningService]:
    """The service with the demo projects, on the database that was asked for."""
    settings = {"audit": {"notify_file": data_dir.with_name("cadf.log")}}
    with RunningService(data_dir, database_url=database_url, settings=settings) as service:
        yield service


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKeystone]:
    """A Keystone that stays up by itself; services given it all listen on the one port that its catalog names."""
    data_dir = tmp_path_factory.mktemp("keystone") / "data"
    with RunningKeystone(data_dir, service_port=free_port_pair()) as keystone:
        yield keystone


@pytest.fixture(scope="session")
def parties(service: RunningService) -> Parties:
    return log_in_all(service.clouds_file, service.url)


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
def records(service: RunningService, database_url: str) -> Iterator[Records]:
    """The service's database."""
    with contextlib.closing(Records(database_url)) as records:
        yield records


@pytest.fixture
def worker_stopped(service: RunningService, records: Records) -> Callable[[], AbstractContextManager[None]]:
    """While inside, jobs are accepted but none runs."""
    return lambda: stopped(service.children()["worker"], records)


@pytest.fixture(scope="session")
def backups(parties: Parties) -> dict[str, str]:
    """Volumes and backups that all cases share."""
    alpha, gamma = parties.alpha, parties.gamma
    return {
        "spare volume": new_volume(alpha),
        "beta's volume": new_volume(parties.beta),
        "own": new_backup(alpha, new_volume(alpha), "ledger"),
        "strangers": new_backup(gamma, new_volume(gamma), "strange"),
    }


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk image with something in it."""
    return write_image(tmp_path_factory.mktemp("clients") / "image", data_bytes=32 * MIB, seed=1)


@pytest.fixture(scope="session")
def golden(service: RunningService, image: Path) -> str:
    """The id of a volume of alpha's that holds the image."""
    return str(
        json.loads(service.operate("volume", "import", image, "--project", "alpha", "--name", "golden", "--json"))["id"]
    )


@pytest.fixture
def world(parties: Parties, backups: dict[str, str]) -> Iterator[World]:
    alpha, gamma = parties.alpha, parties.gamma
    share_to_r, share_to_r2 = share(alpha, backups["own"], parties.beta, R2)
    yield World(
        alpha=alpha,
        beta=parties.beta,
        gamma=gamma,
        reader=parties.reader,
        admin=parties.admin,
        backup=backups["own"],
        share=share_to_r,
        share2=share_to_r2,
        strangers_backup=backups["strangers"],
        strangers_share=share(gamma, backups["strangers"], R2)[0],
        spare_volume=backups["spare volume"],
        betas_volume=backups["beta's volume"],
    )
    cancel_all(alpha, backups["own"])
    cancel_all(gamma, backups["strangers"])
