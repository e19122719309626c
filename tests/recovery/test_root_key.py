"""The root key is changed while backups stay as they are; whatever fails, the key in its place opens everything."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from openvbs.engine.errors import KeyUnusable, WrongKey
from openvbs.engine.format import HEADER_NAME
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.engine.repository import create_repository, open_repository
from openvbs.engine.rewrap import destroy_key, key_ids
from openvbs.recovery.repositories import NoRepositories, find_repositories
from openvbs.recovery.root_key import RotationRefused, alone, finish, next_file, previous_file, rotate
from openvbs.stores.base import ObjectInfo, Store, StoreUnavailable
from openvbs.stores.local import LocalStore
from openvbs.stores.memory import MemoryStore
from openvbs.stores.prefixed import prefixed
from tests.support.crashes import crashes_at
from tests.support.repositories import BLOCK, back_up_bytes, restored
from tests.support.stores import NthCallFails

PROJECTS = ("alpha", "beta", "gamma")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    create_root_key(tmp_path / "root.key")
    return tmp_path / "root.key"


def fill(store: Store, key_file: Path) -> dict[str, str]:
    """A repository with a backup for each project; the backups' ids."""
    return {project: add(store, key_file, project) for project in PROJECTS}


def add(store: Store, key_file: Path, project: str) -> str:
    with create_repository(prefixed(store, project), load_root_key(key_file), block_bytes=BLOCK) as repository:
        return back_up_bytes(repository, project.encode() * 1000).facts.backup_id


def see_all(store: Store, key_file: Path, made: dict[str, str]) -> None:
    """Every backup is restored with the key that is in place."""
    key = load_root_key(key_file)
    for project, backup_id in made.items():
        with open_repository(prefixed(store, project), key) as repository:
            assert restored(repository, backup_id) == project.encode() * 1000


def open_all(store: Store, key_file: Path, made: dict[str, str]) -> None:
    """The key that is in place opens every backup; a restore would take the disk's time too."""
    for project, backup_id in made.items():
        with open_repository(prefixed(store, project), load_root_key(key_file)) as repository:
            assert repository.load_backup(backup_id).facts.backup_id == backup_id


def content(store: Store) -> dict[str, bytes]:
    return {info.name: store.get(info.name) for info in store.list("")}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_only_headers_are_written_and_the_old_key_opens_nothing_in_the_end(key_file: Path) -> None:
    store = MemoryStore()
    made = fill(store, key_file)
    before, old = content(store), load_root_key(key_file)
    assert rotate(store, key_file) == len(PROJECTS)
    new = load_root_key(key_file)
    assert new != old
    assert load_root_key(previous_file(key_file)) == old
    assert not next_file(key_file).exists()
    see_all(store, key_file, made)
    see_all(store, previous_file(key_file), made)
    assert finish(store, key_file) == len(PROJECTS)
    see_all(store, key_file, made)
    after = content(store)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {f"{p}/{HEADER_NAME}" for p in PROJECTS}
    assert names(key_file.parent) == {"root.key"}
    for project in PROJECTS:
        with pytest.raises(WrongKey):
            open_repository(prefixed(store, project), old)


def test_steps_out_of_turn_change_nothing(key_file: Path) -> None:
    store = MemoryStore()
    fill(store, key_file)
    before = content(store)
    with pytest.raises(RotationRefused, match="no rotation to finish"):
        finish(store, key_file)
    assert content(store) == before
    create_root_key(next_file(key_file))
    with pytest.raises(RotationRefused, match="not in place yet"):
        finish(store, key_file)
    assert content(store) == before
    rotate(store, key_file)
    key = key_file.read_bytes()
    with pytest.raises(RotationRefused, match="--finish"):
        rotate(store, key_file)
    assert key_file.read_bytes() == key
    with alone(key_file), pytest.raises(RotationRefused, match="another command"):
        finish(store, key_file)


def test_a_wrong_key_in_place_is_told_and_stays(key_file: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    fill(store, key_file)
    create_root_key(tmp_path / "other.key")
    before = content(store)
    with pytest.raises(WrongKey, match="name the right key file"):
        rotate(store, tmp_path / "other.key")
    assert content(store) == before
    with pytest.raises(KeyUnusable, match="no root key file"):
        rotate(store, tmp_path / "absent.key")


def test_a_repository_whose_key_was_destroyed_hinders_nothing(key_file: Path) -> None:
    store = MemoryStore()
    made = fill(store, key_file)
    destroy_key(prefixed(store, "beta"), load_root_key(key_file))
    del made["beta"]
    assert rotate(store, key_file) == finish(store, key_file) == len(made)
    see_all(store, key_file, made)
    assert key_ids(prefixed(store, "beta")) == []


class BackupsMeanwhile:
    """A store in which a project's first backup ends just after it was listed."""

    def __init__(self, store: Store, key_file: Path) -> None:
        self._store = store
        self._key_file = key_file
        self.made: dict[str, str] = {}

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        infos = [*self._store.list(prefix)]
        if prefix == "":
            project = f"new-{len(self.made)}"
            self.made[project] = add(self._store, self._key_file, project)
        return iter(infos)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_repositories_made_meanwhile_are_not_forgotten(key_file: Path) -> None:
    busy = BackupsMeanwhile(MemoryStore(), key_file)
    rotate(busy, key_file)
    finish(busy, key_file)
    assert len(busy.made) == 4
    key = load_root_key(key_file)
    for project, backup_id in busy.made.items():
        with open_repository(prefixed(busy, project), key) as repository:
            assert restored(repository, backup_id) == project.encode() * 1000


@pytest.mark.parametrize("after", [False, True], ids=["nothing done", "answer lost"])
def test_whichever_call_of_the_store_fails_the_key_in_place_opens_everything(key_file: Path, after: bool) -> None:
    store = MemoryStore()
    made = fill(store, key_file)
    for step in (rotate, finish):
        files = {path: path.read_bytes() for path in key_file.parent.iterdir()}
        headers = content(store)
        for n in count():
            for path in key_file.parent.iterdir():
                path.unlink()
            for path, data in files.items():
                path.touch(0o600)
                path.write_bytes(data)
            for name, data in headers.items():
                store.put(name, data)
            failing = NthCallFails(store, n, after=after)
            try:
                step(failing, key_file)
            except StoreUnavailable:
                see_all(store, key_file, made)
                _go_on(store, key_file, step)
            see_all(store, key_file, made)
            if not failing.failed:
                break
        assert n > 2 * len(PROJECTS)


@pytest.mark.heavy
@pytest.mark.parametrize("step", [rotate, finish], ids=["rotate", "finish"])
def test_a_crash_at_any_touch_of_a_file_leaves_a_key_in_place_that_opens_everything(
    tmp_path: Path, step: Callable[[Store, Path], int]
) -> None:
    (first := tmp_path / "first").mkdir()
    create_root_key(first / "root.key")
    made = fill(LocalStore(first / "store"), first / "root.key")
    if step is finish:
        rotate(LocalStore(first / "store"), first / "root.key")
    for n in count():
        folder = tmp_path / str(n)
        shutil.copytree(first, folder)  # fast: nothing of it has to be durable
        store, key_file = LocalStore(folder / "store"), folder / "root.key"
        crashed = crashes_at(n, partial(step, store, key_file))
        open_all(store, key_file, made)
        if crashed:
            _go_on(store, key_file, step)
            open_all(store, key_file, made)
        left = [key_ids(prefixed(store, project)) for project in PROJECTS]
        assert left == [left[0]] * len(PROJECTS)
        assert len(left[0]) == (1 if step is finish else 2)
        if not crashed:
            break
    assert n > 20


def _go_on(store: Store, key_file: Path, step: Callable[[Store, Path], int]) -> None:
    """The same command once more. A rotation that had done all but say so may be told that it had."""
    try:
        step(store, key_file)
    except RotationRefused:
        expected = {rotate: {"root.key", "root.key.previous"}, finish: {"root.key"}}
        assert names(key_file.parent) == expected[step]


def test_one_repository_is_not_a_store_of_the_service(key_file: Path) -> None:
    store = MemoryStore()
    create_repository(store, load_root_key(key_file), block_bytes=BLOCK).close()
    with pytest.raises(NoRepositories, match="openvbs repo"):
        rotate(store, key_file)


def test_only_repositories_right_below_are_found(key_file: Path) -> None:
    store = MemoryStore()
    fill(store, key_file)
    store.put("deeper/alpha/repository.json", b"")
    store.put("other/file", b"")
    assert find_repositories(store) == [*PROJECTS]
