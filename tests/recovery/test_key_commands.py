"""``openvbs key`` and ``openvbs repo rotate-key`` as an operator types them."""

import json
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openvbs.cli.main import main
from openvbs.db import backups
from openvbs.engine.errors import WrongKey
from openvbs.engine.keys import load_root_key
from openvbs.engine.repository import create_repository, open_repository
from openvbs.service.folder import DataFolder
from openvbs.stores.local import LocalStore
from openvbs.stores.prefixed import prefixed
from tests.support.actions import add_backup, made_service, migrate_once
from tests.support.repositories import BLOCK
from tests.support.service import OPENVBS


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A service that was stopped, with the repository of one project."""
    folder = tmp_path / "data"
    run("key", "create", "--data-dir", str(folder))
    migrate_once(f"sqlite:///{folder / 'openvbs.db'}")
    store = prefixed(LocalStore(folder / "store"), "alpha")
    create_repository(store, load_root_key(folder / "root.key"), block_bytes=BLOCK).close()
    return folder


def run(*arguments: str, code: int = 0, said: str | None = None) -> Result:
    result = CliRunner().invoke(main, [*arguments], input=said)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def opened_with(data_dir: Path, key_file: Path) -> None:
    open_repository(prefixed(LocalStore(data_dir / "store"), "alpha"), load_root_key(key_file)).close()


def test_a_rotation_says_what_to_do_between_its_steps(data_dir: Path) -> None:
    folder = ["--data-dir", str(data_dir)]
    old = load_root_key(data_dir / "root.key")
    assert "no rotation to finish" in run("key", "rotate", *folder, "--finish", code=1).stderr
    first = run("key", "rotate", *folder).stdout
    assert "1 repositories" in first
    assert "openvbs key rotate --finish" in first
    assert stat.S_IMODE((data_dir / "root.key").stat().st_mode) == 0o600
    for key_file in ("root.key", "root.key.previous"):
        opened_with(data_dir, data_dir / key_file)
    assert "not finished" in run("key", "rotate", *folder, code=1).stderr
    said = json.loads(run("key", "rotate", *folder, "--finish", "--json").stdout)
    assert said == {
        "root_key_id": load_root_key(data_dir / "root.key").key_id,
        "repositories": 1,
        "finished": True,
    }
    opened_with(data_dir, data_dir / "root.key")
    with pytest.raises(WrongKey):
        open_repository(prefixed(LocalStore(data_dir / "store"), "alpha"), old)


def test_a_repository_by_itself_changes_its_key(data_dir: Path, tmp_path: Path) -> None:
    url, old, new = str(data_dir / "store" / "alpha"), str(data_dir / "root.key"), str(tmp_path / "new.key")
    rotating = ["repo", "rotate-key", url, "--key-file", old, "--new-key-file", new]
    assert json.loads(run(*rotating, "--json").stdout)["key_file_made"] is True
    opened_with(data_dir, tmp_path / "new.key")
    assert "name the right key file" in run("repo", "list", url, "--key-file", old, code=1).stderr
    run(*rotating)  # once more, after an answer that was lost
    opened_with(data_dir, tmp_path / "new.key")
    other = str(tmp_path / "other.key")
    assert "name the right key file" in run(*rotating[:-1], other, code=1).stderr
    assert not Path(other).exists()
    opened_with(data_dir, tmp_path / "new.key")


def test_a_repository_is_not_given_the_key_that_it_has(data_dir: Path, tmp_path: Path) -> None:
    key, other = str(data_dir / "root.key"), str(tmp_path / "new.key")
    rotating = ["repo", "rotate-key", "--key-file", key, "--new-key-file"]
    assert "the same key" in run(*rotating, key, str(data_dir / "store" / "alpha"), code=2).stderr
    assert "no repository here" in run(*rotating, other, str(tmp_path), code=1).stderr
    assert not Path(other).exists()


def test_a_copy_that_the_disk_does_not_take_is_not_left_in_part(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.key"
    exporting = [str(OPENVBS), "key", "export", "--data-dir", str(data_dir), str(copy)]
    full = subprocess.run(["sh", "-c", 'ulimit -f 0; exec "$0" "$@"', *exporting], stderr=subprocess.PIPE, check=False)
    assert full.returncode == 1
    assert f"cannot write {copy}: File too large".encode() in full.stderr
    assert not copy.exists()
    run(*exporting[1:])
    opened_with(data_dir, copy)


def test_forgetting_asks_for_the_project(data_dir: Path) -> None:
    forgetting = ["key", "forget", "alpha", "--data-dir", str(data_dir)]
    refused = run(*forgetting, code=1, said="beta\n").stderr
    assert "1 objects in the store" in refused
    assert "nothing was changed" in refused
    opened_with(data_dir, data_dir / "root.key")
    assert "is destroyed" in run(*forgetting, said="alpha\n").stdout
    assert not any(path.is_file() for path in (data_dir / "store" / "alpha").rglob("*"))
    assert "nothing of a project alpha" in run(*forgetting, "--yes", code=1).stderr


def test_forgetting_takes_the_plain_clones_in_the_data_directory(data_dir: Path) -> None:
    with made_service(f"sqlite:///{data_dir / 'openvbs.db'}") as service:
        backup_id = add_backup(service, "alpha")
    base = data_dir / "bases" / f"volume.{backup_id}"
    base.parent.mkdir()
    base.write_bytes(b"plain")
    run("key", "forget", "alpha", "--data-dir", str(data_dir), "--yes")
    assert not base.exists()


def test_forgetting_says_when_the_key_is_not_where_it_could_be_destroyed(data_dir: Path) -> None:
    """As of a store that is not mounted; one that is lost for good has records to end, too."""
    with made_service(f"sqlite:///{data_dir / 'openvbs.db'}") as service:
        add_backup(service, "alpha")
    store = data_dir / "store"
    store.rename(data_dir / "unmounted")
    forgetting = ["key", "forget", "alpha", "--data-dir", str(data_dir)]
    assert "If it is only not mounted, mount it first" in run(*forgetting, code=1, said="no\n").stderr
    assert "holds no key of project alpha, so none was destroyed" in run(*forgetting, "--yes").stdout
    (data_dir / "unmounted").rename(store)
    opened_with(data_dir, data_dir / "root.key")
    said = json.loads(run(*forgetting, "--yes", "--json").stdout)
    assert said == {"project_id": "alpha", "backups": 0, "shares": 0, "objects": 1, "key_destroyed": True}


def test_forgetting_ends_records_of_a_lost_store_that_are_deleted_but_owed(data_dir: Path) -> None:
    """Else the project could never make a backup again: its store would have to come back for their data to go."""
    url = f"sqlite:///{data_dir / 'openvbs.db'}"
    with made_service(url) as service:
        backup_id = add_backup(service, "alpha")
        with service.database.write() as connection:
            backups.mark_deleted(connection, backup_id, now=service.clock())
    (data_dir / "store").rename(data_dir / "lost")
    run("key", "forget", "alpha", "--data-dir", str(data_dir), "--yes")
    with made_service(url) as service, service.database.read() as connection:
        assert not backups.must_be_stored(connection, "alpha")
    assert "nothing of a project alpha" in run("key", "forget", "alpha", "--data-dir", str(data_dir), code=1).stderr


def test_forgetting_needs_the_service_to_be_stopped(data_dir: Path) -> None:
    with DataFolder(data_dir):
        assert "in use by process" in run("key", "forget", "alpha", "--data-dir", str(data_dir), "--yes", code=1).stderr
    opened_with(data_dir, data_dir / "root.key")
