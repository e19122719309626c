"""What a directory does to a store that no other medium does."""

import multiprocessing
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from openvbs.stores import local
from openvbs.stores.base import ObjectTooShort
from openvbs.stores.local import LocalStore


@pytest.mark.parametrize("name", ["Readme.TXT", "packs/ab/.hidden", "packs/with space", "lost+found/x"])
def test_files_that_are_no_objects_are_not_listed(tmp_path, name):
    store = LocalStore(tmp_path)
    store.put("packs/ab/abcd", b"ours")
    foreign = tmp_path / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_bytes(b"not ours")
    assert [info.name for info in store.list("")] == ["packs/ab/abcd"]


class ForgetfulSystem:
    """The operating system for the local store, but every file has lost its last byte since it was looked at."""

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        return os.pread(descriptor, min(length, os.fstat(descriptor).st_size - 1 - offset), offset)


@pytest.mark.timeout(10)
def test_a_file_that_becomes_shorter_while_it_is_read_is_told(tmp_path):
    store = LocalStore(tmp_path)
    store.put("name", b"content")
    with patch.object(local, "os", ForgetfulSystem()):
        assert store.get("name", 0, 3) == b"con"
        with pytest.raises(ObjectTooShort, match="ended early, at 6 bytes"):
            store.get("name")


@pytest.mark.heavy
def test_a_store_may_be_the_top_folder_of_all(tmp_path):
    """As of a container's own filesystem; only root can try that."""
    process = multiprocessing.get_context("fork").Process(target=_put_at_the_top, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert (tmp_path / "a/b").read_bytes() == b"1"


def _put_at_the_top(folder):
    os.chroot(folder)
    LocalStore(Path("/")).put("a/b", b"1")
