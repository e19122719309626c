"""``openvbs rescue`` after a loss: a mistyped or unmounted place must never look like one that holds nothing."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from openvbs.engine.keys import create_root_key
from openvbs.engine.repository import create_repository
from openvbs.stores.local import LocalStore
from openvbs.stores.prefixed import prefixed
from tests.support.repositories import BLOCK


def rescue(*arguments: object) -> str:
    """What it says on standard error; it must fail."""
    result = CliRunner().invoke(main, ["rescue", *map(str, arguments)])
    assert result.exit_code == 1, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.stderr


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The data directory of a service that was stopped, with the repository of one project."""
    folder = tmp_path / "data"
    (folder / "store").mkdir(parents=True)
    key = create_root_key(folder / "root.key")
    create_repository(prefixed(LocalStore(folder / "store"), "alpha"), key, block_bytes=BLOCK).close()
    return folder


def test_a_place_without_repositories_is_refused(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "store").rename(tmp_path / "elsewhere")
    with_key = ("--key-file", data_dir / "root.key")
    for place in (tmp_path / "typo", data_dir):
        wanted = f"no repository lies in {place}: is that the store itself, and is it mounted?"
        assert wanted in rescue("list", place, *with_key)
        assert wanted in rescue("restore", place, tmp_path / "out", *with_key)
    (data_dir / "store").mkdir()  # where it would be mounted
    assert "is it mounted?" in rescue("list", data_dir)
    assert not (tmp_path / "typo").exists()
    assert not (tmp_path / "out").exists()


def test_nothing_is_rebuilt_from_a_store_that_is_not_mounted(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "store").rename(tmp_path / "elsewhere")
    assert f"no repository lies in {data_dir / 'store'}" in rescue("rebuild", "--data-dir", data_dir)
    (tmp_path / "elsewhere").rename(data_dir / "store")
    assert CliRunner().invoke(main, ["rescue", "rebuild", "--data-dir", str(data_dir)]).exit_code == 0


def test_a_project_without_backups_is_a_problem(data_dir: Path, tmp_path: Path) -> None:
    for command in (["list", data_dir], ["restore", data_dir, tmp_path / "out"]):
        assert "no backup of project nope was found" in rescue(*command, "--project", "nope")
    assert not (tmp_path / "out").exists()


def test_shares_are_looked_for_in_a_database_that_was_rebuilt(data_dir: Path, tmp_path: Path) -> None:
    assert "is not the data directory of a service" in rescue("shares", "--data-dir", tmp_path)
    assert not (tmp_path / "openvbs.db").exists()
    (data_dir / "openvbs.db").touch()
    assert "run 'openvbs rescue rebuild' first" in rescue("shares", "--data-dir", data_dir)
