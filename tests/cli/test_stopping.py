"""Commands that somebody ends from outside: a lost session, a timeout of cron. Nothing half done stays behind."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openvbs.cli.stopping import stopped_by_signals
from openvbs.engine.keys import create_root_key
from openvbs.engine.repository import create_repository
from openvbs.stores.local import LocalStore
from openvbs.stores.prefixed import prefixed
from tests.support.repositories import BLOCK, back_up_bytes, random_bytes
from tests.support.service import OPENVBS, STOPS_WITH_THE_TESTS
from tests.support.waiting import until

TO_REACH_THE_PACK_SECONDS = 0.3


def started(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*STOPS_WITH_THE_TESTS, str(OPENVBS), *map(str, arguments)], stderr=subprocess.DEVNULL)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def let_go(pack: Path) -> None:
    """Whoever waits at the pack reads that it is empty."""
    with contextlib.suppress(OSError):  # nobody waits any more
        os.close(os.open(pack, os.O_WRONLY | os.O_NONBLOCK))


@pytest.mark.parametrize(
    ("number", "command"),
    [
        (signal.SIGTERM, lambda store, backup, out: ("repo", "restore", store / "alpha", backup, out / "new")),
        (signal.SIGHUP, lambda store, backup, out: ("repo", "restore", store / "alpha", backup, out / "new")),
        (signal.SIGTERM, lambda store, _backup, out: ("rescue", "restore", store, out)),
    ],
    ids=["repo TERM", "repo HUP", "rescue TERM"],
)
def test_a_restore_that_is_ended_leaves_neither_file_nor_lease(
    tmp_path: Path, number: signal.Signals, command: Callable[[Path, str, Path], tuple[object, ...]]
) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    out.mkdir()
    key = create_root_key(tmp_path / "key")
    with create_repository(prefixed(LocalStore(store), "alpha"), key, block_bytes=BLOCK) as repository:
        backup_id = back_up_bytes(repository, random_bytes(20.5)).facts.backup_id
    for pack in files(store / "alpha" / "packs"):
        pack.unlink()
        os.mkfifo(pack)  # whoever reads it waits
    process = started(*command(store, backup_id, out), "--key-file", tmp_path / "key")
    try:
        until(lambda: bool(files(out)), what="the file is made")
        time.sleep(TO_REACH_THE_PACK_SECONDS)
        process.send_signal(number)
        time.sleep(TO_REACH_THE_PACK_SECONDS)
        while process.poll() is None:
            for pack in (store / "alpha" / "packs").rglob("*"):
                let_go(pack)
    finally:
        process.kill()
    assert process.wait() == 128 + number
    assert files(out) == []
    assert files(store / "alpha" / "leases") == []


def test_a_store_that_was_being_verified_keeps_nothing(tmp_path: Path) -> None:
    process = started("repo", "verify-store", tmp_path)
    try:
        until(lambda: any(tmp_path.iterdir()), what="it writes")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert list(tmp_path.iterdir()) == []


def test_nohup_goes_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
