"""Root must not make files in the data directory of a service that runs as somebody else; only root can try that."""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from openvbs.engine.keys import create_root_key, load_root_key
from tests.support.service import OPENVBS

pytestmark = pytest.mark.heavy
SOMEBODY = 54321
"""A user without a name, so that the message must do without."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """What the user of a service has."""
    folder = tmp_path / "data"
    (folder / "store").mkdir(parents=True)
    create_root_key(folder / "root.key")
    for path in (folder, *folder.iterdir()):
        os.chown(path, SOMEBODY, SOMEBODY)
    return folder


def contents(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_uid) for path in folder.iterdir())


@pytest.mark.parametrize(
    "command", ["key create", "key rotate", "key rotate --finish", "key forget a", "rescue rebuild"]
)
def test_root_is_told_whose_command_it_is(data_dir: Path, command: str) -> None:
    before, key = contents(data_dir), load_root_key(data_dir / "root.key")
    result = CliRunner().invoke(main, [*command.split(), "--data-dir", str(data_dir)])
    assert result.exit_code == 1
    assert f"run this as that user: sudo -u '#{SOMEBODY}' openvbs" in result.stderr
    assert contents(data_dir) == before
    assert load_root_key(data_dir / "root.key") == key


@pytest.mark.parametrize("command", ["serve", "worker", "api", "migrate", "identity"])
def test_root_starts_nothing_in_the_folder_of_another_user(data_dir: Path, command: str) -> None:
    before = contents(data_dir)
    arguments = [OPENVBS, command, "--data-dir", data_dir, "--listen", "127.0.0.1:29992"]
    refused = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert f"run this as that user: sudo -u '#{SOMEBODY}' openvbs" in refused.stderr
    assert contents(data_dir) == before


def test_a_key_elsewhere_is_its_users_too(data_dir: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "elsewhere.key"
    (data_dir / "root.key").rename(key_file)
    os.chown(data_dir, 0, 0)
    environment = {"OS_STORE__ROOT_KEY_FILE": str(key_file)}
    result = CliRunner().invoke(main, ["key", "rotate", "--data-dir", str(data_dir)], env=environment)
    assert f"{key_file} belongs to user '#{SOMEBODY}'" in result.stderr
    assert not (tmp_path / "elsewhere.key.next").exists()
    assert key_file.stat().st_uid == SOMEBODY
