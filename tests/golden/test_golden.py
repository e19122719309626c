"""Repositories made by earlier versions: two programs restore what is good in them, and both refuse what is damaged."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openvbs.engine import errors
from openvbs.engine.check import check_data
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.engine.repair import repair_index
from openvbs.engine.repository import Repository, open_repository
from openvbs.stores.local import LocalStore
from tests.golden.make import make
from tests.support import second_reader
from tests.support.repositories import restored

FORMATS = sorted(Path(__file__).parent.glob("format-*"))
ALL = {"monday", "tuesday", "one byte", "zeros", "empty"}


class Golden:
    """A copy of a golden repository that a test may damage."""

    def __init__(self, folder: Path) -> None:
        self.store, self.key = folder / "store", folder / "root.key"
        self.key.chmod(0o600)  # git does not keep modes
        self.expected = json.loads((folder / "expected.json").read_text())

    def id_of(self, name: str) -> str:
        return self.expected[name]["id"]

    def path_of(self, name: str) -> Path:
        return self.store / "backups" / self.id_of(name)

    def block_pack(self) -> Path:
        """The pack of the blocks that monday brought; tuesday needs most of them too."""
        return self._largest_pack_of(1)

    def page_pack(self) -> Path:
        """The pack of monday's pages; its first one is of monday alone."""
        return self._largest_pack_of(2)

    def _largest_pack_of(self, kind: int) -> Path:
        packs = [path for path in self.store.glob("packs/*/*") if path.read_bytes()[32 + 47] == kind]
        return max(packs, key=lambda path: path.stat().st_size)

    def segments(self) -> list[Path]:
        return sorted((self.store / "index").iterdir(), key=lambda path: path.stat().st_size)

    def opened(self) -> Repository:
        return open_repository(LocalStore(self.store), load_root_key(self.key))

    def by_the_engine(self, name: str) -> str:
        with self.opened() as repository:
            return hashlib.sha256(restored(repository, self.id_of(name))).hexdigest()

    def by_the_second_reader(self, name: str, to: Path) -> str:
        repository = second_reader.Repository(self.store, second_reader.read_key_file(self.key))
        repository.restore(self.id_of(name), to)
        return hashlib.sha256(to.read_bytes()).hexdigest()


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def golden(request, tmp_path):
    shutil.copytree(request.param, tmp_path / "golden")
    return Golden(tmp_path / "golden")


def test_both_readers_restore_every_backup(golden, tmp_path):
    assert set(golden.expected) == ALL
    for name, backup in golden.expected.items():
        assert golden.by_the_engine(name) == backup["sha256"]
        assert golden.by_the_second_reader(name, tmp_path / name) == backup["sha256"]
        assert (tmp_path / name).stat().st_size == backup["size_bytes"]


def test_both_readers_list_the_same_backups_and_check_finds_nothing(golden):
    wanted = {backup["id"]: name for name, backup in golden.expected.items()}
    with golden.opened() as repository:
        assert {record.facts.backup_id: record.facts.name for record in repository.list_backups()} == wanted
        report = check_data(repository)
    assert report.ok
    assert report.packs_checked == len(list(golden.store.glob("packs/*/*"))) == 8
    listed = second_reader.Repository(golden.store, second_reader.read_key_file(golden.key)).backups()
    assert {backup_id: backup["facts"]["name"] for backup_id, backup in listed.items()} == wanted


def test_a_lost_index_comes_back_from_the_packs(golden, tmp_path):
    assert len(golden.segments()) == 4
    shutil.rmtree(golden.store / "index")
    with golden.opened() as repository:
        repair_index(repository)
        assert check_data(repository).ok
    shutil.rmtree(golden.store / "index")
    for name, backup in golden.expected.items():
        assert golden.by_the_second_reader(name, tmp_path / name) == backup["sha256"]


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def seal_something_else(golden: Golden) -> None:
    """Put other bytes under the id of the first block, sealed with the right key: only hashing them tells."""
    path = golden.block_pack()
    data = bytearray(path.read_bytes())
    header = bytes(data[32:80])
    end = 80 + int.from_bytes(header[32:36], "little")
    nonce = header[40:44] + bytes(8)
    repository = second_reader.Repository(golden.store, second_reader.read_key_file(golden.key))
    cipher = AESGCM(repository._pack_key(path.name))
    plain = cipher.decrypt(nonce, bytes(data[80:end]), header)
    data[80:end] = cipher.encrypt(nonce, plain[::-1], header)
    path.write_bytes(data)


def edit_header(golden: Golden, old: bytes, new: bytes) -> None:
    path = golden.store / "repository.json"
    text = path.read_bytes()
    assert text.count(old) == 1
    path.write_bytes(text.replace(old, new))


def give_another_key(golden: Golden) -> None:
    golden.key.unlink()
    create_root_key(golden.key)


@dataclass(frozen=True)
class Damage:
    """What is done to a good repository, what each reader says to it, and what check says of it."""

    what: str
    apply: Callable[[Golden], object]
    engine: type[errors.EngineError]
    reader: type[second_reader.Refused]
    problem: str
    """A pattern of one of check's sentences, with names of what is damaged in braces."""
    hit: frozenset[str]
    """The backups that cannot be restored whole. All others must be."""


BIG = frozenset({"monday", "tuesday"})
MONDAY, TUESDAY = frozenset({"monday"}), frozenset({"tuesday"})
DAMAGES = [
    Damage(
        "a bit of a block",
        lambda golden: flip(golden.block_pack(), 32 + 48 + 100),
        errors.Corrupt,
        second_reader.BlockDamaged,
        "pack {blocks}: block [0-9a-f]{{64}} is damaged",
        BIG,
    ),
    Damage(
        "a bit of a block's header",
        lambda golden: flip(golden.block_pack(), 32 + 40),
        errors.Corrupt,
        second_reader.BlockDamaged,
        "pack {blocks}: block [0-9a-f]{{64}} is damaged",
        BIG,
    ),
    Damage(
        "a bit of a page",
        lambda golden: flip(golden.page_pack(), 32 + 48 + 10),
        errors.Corrupt,
        second_reader.BlockDamaged,
        "pack {pages}: block [0-9a-f]{{64}} is damaged",
        MONDAY,
    ),
    Damage(
        "other bytes under a block's id",
        seal_something_else,
        errors.Corrupt,
        second_reader.BlockDamaged,
        "pack {blocks}: block [0-9a-f]{{64}} does not hash to its id",
        BIG,
    ),
    Damage(
        "a pack cut short",
        lambda golden: cut(golden.block_pack(), 9000),
        errors.Corrupt,
        second_reader.BlockDamaged,
        "pack {blocks} has 9000 bytes instead of",
        BIG,
    ),
    Damage(
        "a pack gone",
        lambda golden: golden.block_pack().unlink(),
        errors.Corrupt,
        second_reader.BlockMissing,
        "pack {blocks} is missing",
        BIG,
    ),
    Damage(
        "a pack with the bytes of another",
        lambda golden: shutil.copyfile(golden.page_pack(), golden.block_pack()),
        errors.Corrupt,
        second_reader.BlockDamaged,
        "the header of pack {blocks} is damaged",
        BIG,
    ),
    Damage(
        "a bit of a backup",
        lambda golden: flip(golden.path_of("tuesday"), 100),
        errors.Corrupt,
        second_reader.ObjectDamaged,
        "backups/{tuesday} is damaged",
        TUESDAY,
    ),
    Damage(
        "a backup passed off as another",
        lambda golden: shutil.copyfile(golden.path_of("monday"), golden.path_of("tuesday")),
        errors.Corrupt,
        second_reader.ObjectDamaged,
        "backups/{tuesday} is damaged, or was stored under another name",
        TUESDAY,
    ),
    Damage(
        "a backup cut short",
        lambda golden: cut(golden.path_of("monday"), 20),
        errors.Corrupt,
        second_reader.ObjectDamaged,
        "backups/{monday} is cut off",
        MONDAY,
    ),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.what)
def test_damage_is_refused_by_both_reported_by_check_and_confined(golden, tmp_path, damage):
    names = {"blocks": golden.block_pack().name, "pages": golden.page_pack().name}
    problem = damage.problem.format(**names, monday=golden.id_of("monday"), tuesday=golden.id_of("tuesday"))
    damage.apply(golden)
    for name, backup in golden.expected.items():
        if name in damage.hit:
            with pytest.raises(damage.engine):
                golden.by_the_engine(name)
            with pytest.raises(damage.reader):
                golden.by_the_second_reader(name, tmp_path / name)
        else:
            assert golden.by_the_engine(name) == backup["sha256"]
            assert golden.by_the_second_reader(name, tmp_path / name) == backup["sha256"]
    with golden.opened() as repository:
        report = check_data(repository)
    assert any(re.match(problem, found) for found in report.problems), report.problems
    assert set(report.damaged) == {golden.id_of(name) for name in damage.hit}
    assert set(report.whole) == {golden.id_of(name) for name in ALL - damage.hit}


def test_a_damaged_directory_is_reported_and_no_restore_needs_it(golden, tmp_path):
    flip(golden.block_pack(), -40)
    with golden.opened() as repository:
        report = check_data(repository)
    assert report.problems == [f"the directory of pack {golden.block_pack().name} is damaged"]
    assert not report.damaged
    assert golden.by_the_engine("monday") == golden.expected["monday"]["sha256"]
    assert golden.by_the_second_reader("monday", tmp_path / "out") == golden.expected["monday"]["sha256"]
    shutil.rmtree(golden.store / "index")
    with pytest.raises(second_reader.PackDamaged):
        golden.by_the_second_reader("monday", tmp_path / "again")


def test_a_damaged_index_segment_is_reported_and_can_be_made_again(golden, tmp_path):
    flip(golden.segments()[-1], 60)
    with pytest.raises(errors.BlockMissing):
        golden.by_the_engine("monday")
    with pytest.raises(second_reader.ObjectDamaged):
        golden.by_the_second_reader("monday", tmp_path / "out")
    with golden.opened() as repository:
        report = check_data(repository)
        assert any("index segment" in problem for problem in report.problems)
        assert golden.id_of("monday") in report.damaged
        repair_index(repository)
        assert check_data(repository).ok
    assert golden.by_the_second_reader("monday", tmp_path / "out") == golden.expected["monday"]["sha256"]


UNOPENABLE = {
    "another root key": (give_another_key, errors.WrongKey, second_reader.WrongKey),
    "a newer format": (
        lambda golden: edit_header(golden, b'"format":1,', b'"format":2,'),
        errors.UnknownFormat,
        second_reader.UnknownFormat,
    ),
    "another block size": (
        lambda golden: edit_header(golden, b'"block_size_bytes":4096', b'"block_size_bytes":8192'),
        errors.Corrupt,
        second_reader.HeaderDamaged,
    ),
    "a bit of the time of making": (
        lambda golden: edit_header(golden, b'"created_at":"2', b'"created_at":"3'),
        errors.Corrupt,
        second_reader.HeaderDamaged,
    ),
    "a bit of the check digits": (
        lambda golden: flip(golden.store / "repository.json", -5),
        errors.Corrupt,
        second_reader.HeaderDamaged,
    ),
    "no more than half a header": (
        lambda golden: cut(golden.store / "repository.json", 200),
        errors.Corrupt,
        second_reader.HeaderDamaged,
    ),
}


@pytest.mark.parametrize(("apply", "engine", "reader"), UNOPENABLE.values(), ids=UNOPENABLE.keys())
def test_a_header_that_is_not_as_written_opens_for_nobody(golden, tmp_path, apply, engine, reader):
    apply(golden)
    with pytest.raises(engine):
        golden.opened()
    with pytest.raises(reader):
        golden.by_the_second_reader("monday", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_made_now_is_read_by_both(tmp_path):
    make(tmp_path / "golden")
    golden = Golden(tmp_path / "golden")
    for name, backup in golden.expected.items():
        assert golden.by_the_engine(name) == golden.by_the_second_reader(name, tmp_path / name) == backup["sha256"]


def test_what_is_committed_is_small():
    files = [path for folder in FORMATS for path in folder.rglob("*") if path.is_file()]
    assert files
    assert sum(path.stat().st_size for path in files) < 300 * 1024
