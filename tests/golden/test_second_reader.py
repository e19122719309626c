"""docs/format.md is enough to read a repository: a program written from it alone agrees with ours."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from openvbs.engine import format as stored_format
from openvbs.engine.keys import create_root_key
from openvbs.stores.local import LocalStore
from tests.support import second_reader
from tests.support.repositories import BLOCK, back_up_bytes, new_repository, random_bytes

READER = Path(second_reader.__file__)
DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        bytes(5 * BLOCK),
        random_bytes(3.5),
        random_bytes(1) + bytes(600 * BLOCK) + b"text " * 9000 + random_bytes(0.1),
    ],
    ids=["empty", "one byte", "zeros", "random", "three levels"],
)
def test_the_second_reader_restores_what_we_stored(tmp_path, content):
    key = create_root_key(tmp_path / "key")
    with new_repository(LocalStore(tmp_path / "store"), root_key=key) as repository:
        back_up_bytes(repository, random_bytes(2))
        backup_id = back_up_bytes(repository, content, name="wanted").facts.backup_id
    listed = run(tmp_path)
    assert f"{backup_id} wanted {len(content)}" in listed.splitlines()
    run(tmp_path, backup_id, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == content


def run(folder: Path, *more: str) -> str:
    command = [sys.executable, str(READER), str(folder / "store"), str(folder / "key"), *more]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_second_reader_is_short_and_uses_nothing_of_ours():
    text = READER.read_text()
    assert len(text.splitlines()) < 250
    assert not re.search(r"^\s*(import|from) openvbs", text, re.MULTILINE)


def test_the_document_states_the_constants_of_the_code():
    text = DOCUMENT.read_text()
    for name in ("PACK_MAGIC", "TRAILER_MAGIC", "OBJECT_MAGIC"):
        assert f"`{getattr(stored_format, name).decode()}`" in text
    for name in (
        "PACKS",
        "SEGMENTS",
        "BACKUPS",
        "LEASES",
        "COLLECTIONS",
        "REFERENCES",
        "REMOVALS",
        "DAMAGE",
        "HEADER_NAME",
    ):
        assert f"`{getattr(stored_format, name)}" in text
    for kind in stored_format.ObjectKind:
        assert re.search(rf"\b{kind.value} (index )?{kind.name.lower()}\b", text)
    assert f"up to {stored_format.PAGE_IDS_MAX} ids" in text


def test_every_invariant_of_the_document_has_a_test_that_names_it():
    wanted = {f"I{number}" for number in re.findall(r"^- \*\*I(\d+)\*\*", DOCUMENT.read_text(), re.MULTILINE)}
    assert len(wanted) == 17
    tests = "".join(path.read_text() for path in (Path(__file__).parents[1]).rglob("test_*.py"))
    named = {match.upper() for match in re.findall(r"\b(I\d+)\b|test_(i\d+)_", tests) for match in match if match}
    assert wanted <= named, sorted(wanted - named)
