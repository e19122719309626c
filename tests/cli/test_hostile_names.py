"""Tenants name things as they like; what an operator's terminal obeys must not reach it."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from openvbs.cli.tables import printable
from openvbs.engine.keys import create_root_key
from openvbs.engine.repository import create_repository
from openvbs.stores.local import LocalStore
from openvbs.stores.prefixed import prefixed
from tests.support.repositories import BLOCK, back_up_bytes, random_bytes
from tests.support.service import OPENVBS

HOSTILE = "A\x1b[2JB\nC\u202eD[/]"
SHOWN = r"A\x1b[2JB\nC\u202eD[/]"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of the service with one backup."""
    key = create_root_key(tmp_path / "key")
    with create_repository(prefixed(LocalStore(tmp_path / "store"), "alpha"), key, block_bytes=BLOCK) as repository:
        back_up_bytes(repository, random_bytes(1.5), name=HOSTILE)
    return tmp_path / "store"


def test_names_are_shown_with_escapes(store: Path, tmp_path: Path) -> None:
    with_key = ["--key-file", str(tmp_path / "key")]
    for command in (
        ["repo", "list", str(store / "alpha")],
        ["rescue", "list", str(store)],
        ["rescue", "restore", str(store), str(tmp_path / "out")],
    ):
        said = CliRunner().invoke(main, [*command, *with_key]).stdout
        assert SHOWN in said
        assert "\x1b" not in said
    (listed,) = json.loads(CliRunner().invoke(main, ["repo", "list", str(store / "alpha"), *with_key, "--json"]).stdout)
    assert listed["name"] == HOSTILE


def test_errors_quote_with_escapes(store: Path, tmp_path: Path) -> None:
    header = store / "alpha" / "repository.json"
    header.write_bytes(header.read_bytes().replace(b'"root_key_id":"', rb'"root_key_id":"\u001b[2J'))
    arguments = ["repo", "list", str(store / "alpha"), "--key-file", str(tmp_path / "key")]
    assert r"opens with root key \x1b[2J" in CliRunner().invoke(main, arguments).stderr


def test_words_of_all_scripts_stay_as_they_are() -> None:
    text = "Grüße, 日本\u3000語, Привет, a\u00a0b"
    assert printable(text) == text


def test_a_bar_takes_any_name(store: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [OPENVBS, "rescue", "restore", store, tmp_path / "out", "--key-file", tmp_path / "key"]
    environment = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:
        pass  # how a terminal says that nobody has it any more
    os.close(ours)
    assert process.wait() == 0, seen
    assert SHOWN.encode() in seen
    assert b"\x1b[2J" not in seen
