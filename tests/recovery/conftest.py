from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.site import Site


@pytest.fixture
def site(tmp_path: Path, new_database_url: Callable[[], str]) -> Iterator[Site]:
    site = Site(tmp_path / "site", new_database_url())
    try:
        yield site
    finally:
        site.close()
