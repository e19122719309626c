"""What returned is still there after a power cut: bytes are flushed before they get their name, and names too."""

import os

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from openvbs.engine.index_run import PackRow, record, write_run
from openvbs.engine.keys import create_root_key
from openvbs.files import write_private
from openvbs.recovery.root_key import finish, rotate
from openvbs.sources.file import FileTarget
from openvbs.stores.base import NameTaken
from openvbs.stores.local import LocalStore
from openvbs.stores.memory import MemoryStore
from openvbs.stores.prefixed import prefixed
from openvbs.units import KIB, MIB
from openvbs.volumes.copy import Watch
from openvbs.volumes.files import VolumeFiles
from tests.support.durability import watched
from tests.support.repositories import BLOCK, create_repository

NAME = "packs/ab/abcd"
SIZES = pytest.mark.parametrize("size", [10, MIB + 10], ids=["small", "past the page cache"])


@SIZES
@pytest.mark.parametrize("verb", ["put", "create"])
def test_an_object_of_the_local_store_is_durable_when_its_writer_returns(tmp_path, verb, size):
    with watched(tmp_path) as disk:
        store = LocalStore(tmp_path / "store")
        getattr(store, verb)(NAME, os.urandom(size))
        assert disk.losses() == []
        getattr(store, verb)(NAME + "-2", os.urandom(size))
        assert disk.losses() == []
        store.put(NAME, os.urandom(size))
        assert disk.losses() == []


def test_a_deleted_object_stays_away(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.put(NAME, b"old")
    with watched(tmp_path) as disk:
        store.delete(NAME)
        assert not (tmp_path / "store" / NAME).exists()
        assert disk.losses() == []


def test_who_hears_that_a_name_is_taken_may_build_on_it(tmp_path):
    """Whoever made it may not have flushed the folder yet."""
    store = LocalStore(tmp_path / "store")
    store.put(NAME + "-2", b"so that the folder is there")
    with watched(tmp_path) as disk:
        path = tmp_path / "store" / NAME
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, b"another process was here")
        os.fsync(descriptor)
        os.close(descriptor)
        assert disk.lost_names() == [f"store/{NAME}"]
        with pytest.raises(NameTaken):
            store.create(NAME, b"ours")
        assert disk.losses() == []


def test_every_new_folder_above_a_store_is_durable_too(tmp_path):
    with watched(tmp_path) as disk:
        LocalStore(tmp_path / "a" / "b" / "store").put(NAME, b"ours")
        assert disk.losses() == []


def test_folders_that_another_process_made_are_flushed_too(tmp_path):
    with watched(tmp_path) as disk:
        (tmp_path / "store" / "packs" / "ab").mkdir(parents=True)
        assert disk.lost_names() == ["store", "store/packs", "store/packs/ab"]
        LocalStore(tmp_path / "store").put(NAME, b"ours")
        assert disk.losses() == []


def test_a_private_file_is_durable_before_and_after_it_is_replaced(tmp_path):
    with watched(tmp_path) as disk:
        for text in ("first", "second"):
            write_private(tmp_path / "file", text)
            assert disk.losses() == []


def test_a_new_root_key_is_durable_before_anything_is_sealed_with_it(tmp_path):
    with watched(tmp_path) as disk:
        create_root_key(tmp_path / "root.key")
        assert disk.losses() == []


def test_a_rotation_never_rests_on_a_key_file_that_may_be_lost(tmp_path):
    store = MemoryStore()
    key_file = tmp_path / "root.key"
    create_repository(prefixed(store, "alpha"), create_root_key(key_file), block_bytes=BLOCK).close()
    with watched(tmp_path) as disk:
        rotate(store, key_file)
        assert disk.losses() == []
        finish(store, key_file)
        assert disk.losses() == []


def test_an_exported_root_key_is_durable_when_the_command_says_so(tmp_path):
    (outside := tmp_path / "outside").mkdir()
    data_dir = tmp_path / "data"
    for arguments in (["create"], ["export", str(outside / "root.key")]):
        with watched(outside) as disk:
            result = CliRunner().invoke(main, ["key", *arguments, "--data-dir", str(data_dir)])
            assert result.exit_code == 0, result.output
            assert disk.losses() == []
    assert (outside / "root.key").read_bytes() == (data_dir / "root.key").read_bytes()


@pytest.mark.parametrize("length", [4 * KIB, MIB], ids=["cached", "direct"])
def test_what_was_restored_to_a_file_is_durable_after_flush(tmp_path, length):
    path = tmp_path / "volume"
    path.write_bytes(bytes(2 * MIB))
    with watched(tmp_path) as disk:
        target = FileTarget(path)
        target.write(0, os.urandom(length))
        assert disk.lost_bytes() == ["volume"]
        target.flush()
        target.close()
        assert disk.losses() == []


def test_a_file_that_was_restored_to_keeps_its_name(tmp_path):
    with watched(tmp_path) as disk:
        target = FileTarget.create(tmp_path / "volume", MIB)
        target.write(0, os.urandom(MIB))
        target.flush()
        target.close()
        assert disk.losses() == []


@pytest.mark.parametrize(
    "work",
    [
        lambda files, source: files.create_volume("v2", MIB),
        lambda files, source: files.copy_to_volume(source, "v2", size_bytes=3 * MIB, watch=Watch()),
        lambda files, source: files.copy_to_volume(source, "v1", size_bytes=3 * MIB, watch=Watch()),
        lambda files, source: files.copy_to_snapshot(source, "s1", Watch()),
        lambda files, source: files.extend_volume("v1", 2 * MIB),
        lambda files, source: files.delete_volume("v1"),
    ],
    ids=["create", "copy", "copy over", "snapshot", "extend", "delete"],
)
def test_what_was_done_to_a_volume_is_durable_on_return(tmp_path, work):
    files = VolumeFiles(tmp_path / "data")
    files.prepare()
    files.create_volume("v1", MIB)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(2 * MIB))
    with watched(tmp_path) as disk:
        work(files, source)
        assert disk.losses() == []


def test_a_piece_of_the_index_is_flushed_before_it_gets_its_name(tmp_path):
    """The name itself may be lost with all of the cache, but must not come back with other bytes behind it."""
    segment = bytes(16)
    with watched(tmp_path) as disk:
        packs = [PackRow(bytes(16), 1, segment)]
        write_run(tmp_path / "a.run", [record(bytes(32), 0, 0, 1)], capacity=1, packs=packs, segments=[segment]).close()
        assert not disk.too_early
