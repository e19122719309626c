from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.site import Site


@pytest.fixture
def site(tmp_path: Path, new_database_url: Callable[[], str]) -> Iterator[Site]:
    site = Site(tmp_path, new_database_url())
    try:
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory, new_database_url: Callable[[], str]) -> Iterator[Site]:
    """A site whose worker runs all the time; starting and stopping one takes seconds."""
    site = Site(tmp_path_factory.mktemp("site"), new_database_url())
    try:
        with site.worker():
            yield site
    finally:
        site.close()
