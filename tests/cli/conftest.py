"""Our commands against the real HTTP layer on a small cloud; only Keystone and the workers are not real."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openvbs.actions.service import Service
from openvbs.cli.main import main
from tests.support.actions import made_service
from tests.support.cloud import SmallCloud, small_cloud

PROJECTS = {"alpha": "a" * 32, "beta": "b" * 32, "gamma": "c" * 32, "admin": "d" * 32}


@pytest.fixture
def service(new_database_url: Callable[[], str]) -> Iterator[Service]:
    with made_service(new_database_url()) as made:
        yield made


@pytest.fixture
def cloud(service: Service, tmp_path: Path) -> Iterator[SmallCloud]:
    with small_cloud(service, PROJECTS, tmp_path, admins=frozenset({"admin"}), hidden={"faraway": "e" * 32}) as running:
        yield running


@pytest.fixture
def openvbs(cloud: SmallCloud) -> Callable[..., Result]:
    """Runs ``openvbs ARGUMENTS`` as the user of a project."""

    def run(*arguments: str, project: str | None = "alpha") -> Result:
        environment: dict[str, Any] = {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_file), "OS_CLOUD": project}
        return CliRunner().invoke(main, list(arguments), env=environment)

    return run
