import errno
import itertools
import os
import stat
from pathlib import Path

import pytest

from openvbs.files import is_named, sweep_drafts
from openvbs.sources.base import SourceError
from openvbs.units import MIB
from openvbs.volumes.copy import TEMPORARY_PREFIX, Watch, copy_file, copy_to_new_file, replacing
from openvbs.volumes.files import VolumeFiles
from openvbs.volumes.images import image_at
from openvbs.volumes.reserve import RESERVE_BYTES, Reserve
from tests.support.crashes import crashes_at


class StoppedError(Exception):
    pass


@pytest.fixture
def files(tmp_path):
    files = VolumeFiles(tmp_path / "data")
    files.prepare()
    return files


def sparse_image(path: Path) -> bytes:
    """40 MiB with data at the start, in the middle and at the end."""
    size = 40 * MIB
    content = bytearray(size)
    with path.open("wb") as file:
        file.truncate(size)
        for offset in (0, 17 * MIB, size - MIB):
            data = os.urandom(MIB)
            file.seek(offset)
            file.write(data)
            content[offset : offset + MIB] = data
    return bytes(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_volume_is_private_all_zero_and_takes_no_space(files):
    files.create_volume("v1", 64 * MIB)
    status = files.volume("v1").stat()
    assert (status.st_size, status.st_blocks, stat.S_IMODE(status.st_mode)) == (64 * MIB, 0, 0o600)
    assert files.is_hole("v1")
    with files.volume("v1").open("r+b") as file:
        file.write(b"x")
    assert not files.is_hole("v1")


def test_creating_a_volume_again_keeps_what_it_holds(files):
    files.create_volume("v1", MIB)
    files.volume("v1").write_bytes(b"kept")
    files.create_volume("v1", MIB)
    assert files.volume("v1").read_bytes() == b"kept"


def test_copy_keeps_bytes_and_holes_and_reports_progress(files, tmp_path):
    content = sparse_image(tmp_path / "image")
    seen = []
    watch = Watch(on_progress=lambda done, total: seen.append((done, total)))
    files.copy_to_volume(tmp_path / "image", "v1", size_bytes=64 * MIB, watch=watch)
    copied = files.volume("v1")
    assert copied.read_bytes() == content + bytes(24 * MIB)
    assert copied.stat().st_blocks * 512 < 8 * MIB
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (40 * MIB, 40 * MIB)


def test_copy_of_an_empty_and_of_an_all_hole_file(files, tmp_path):
    (tmp_path / "image").touch()
    copy_file(tmp_path / "image", tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 0
    os.truncate(tmp_path / "image", 5 * MIB)
    copy_file(tmp_path / "image", tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 5 * MIB
    assert (tmp_path / "copy").stat().st_blocks == 0


def test_copy_between_filesystems(tmp_path):
    content = sparse_image(tmp_path / "image")
    shared = Path("/dev/shm") / f"openvbs-test-{os.getpid()}"
    try:
        copy_file(tmp_path / "image", shared)
        assert shared.read_bytes() == content
    finally:
        shared.unlink(missing_ok=True)


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_a_copy_that_is_stopped_leaves_the_target_as_it_was(files, tmp_path, stop_at):
    sparse_image(tmp_path / "image")
    files.create_volume("v1", MIB)
    calls = 0

    def checkpoint():
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise StoppedError

    with pytest.raises(StoppedError):
        files.copy_to_volume(tmp_path / "image", "v1", size_bytes=64 * MIB, watch=Watch(checkpoint=checkpoint))
    assert names(files.volume("v1").parent) == ["v1"]
    assert files.volume("v1").read_bytes() == bytes(MIB)


def test_a_missing_source_is_named(files, tmp_path):
    with pytest.raises(SourceError, match="nowhere cannot be read"):
        copy_file(tmp_path / "nowhere", tmp_path / "copy")
    assert names(tmp_path) == ["data"]


def test_a_new_file_takes_no_name_that_something_has(tmp_path):
    (tmp_path / "image").write_bytes(b"new")
    target = tmp_path / "out"
    for there in (target.touch, lambda: target.symlink_to("nowhere"), target.mkdir):
        there()
        before = target.lstat()
        with pytest.raises(FileExistsError):
            copy_to_new_file(tmp_path / "image", target, draft_prefix=".tmp-job-")
        assert target.lstat() == before
        assert not is_named(target, ".tmp-job-")
        assert names(tmp_path) == ["image", "out"]
        target.rmdir() if target.is_dir() else target.unlink()
    copy_to_new_file(tmp_path / "image", target, draft_prefix=".tmp-job-")
    assert target.read_bytes() == b"new"
    assert is_named(target, ".tmp-job-")
    assert not is_named(target, ".tmp-other-")
    sweep_drafts(tmp_path, ".tmp-job-")
    assert names(tmp_path) == ["image", "out"]
    assert not is_named(target, ".tmp-job-")


def test_who_was_killed_knows_the_file_that_it_named_for_its_own(tmp_path):
    (tmp_path / "image").write_bytes(b"new")
    target = tmp_path / "out"
    for n in itertools.count():
        crashed = crashes_at(n, lambda: copy_to_new_file(tmp_path / "image", target, draft_prefix=".tmp-job-"))
        assert is_named(target, ".tmp-job-") == target.exists()
        assert not target.exists() or target.read_bytes() == b"new"
        for left in tmp_path.glob("*out*"):
            left.unlink()
        sweep_drafts(tmp_path, ".tmp-job-")
        assert names(tmp_path) == ["image"]
        if not crashed:
            assert n > 3
            return


def test_without_hard_links_a_new_file_takes_no_name_either(tmp_path, monkeypatch):
    """Python's os.link stands in for a filesystem without them, which make test cannot mount."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "image").write_bytes(b"new")
    target = tmp_path / "out"
    target.write_bytes(b"of somebody else")
    with pytest.raises(FileExistsError):
        copy_to_new_file(tmp_path / "image", target, draft_prefix=".tmp-job-")
    assert target.read_bytes() == b"of somebody else"
    target.unlink()
    copy_to_new_file(tmp_path / "image", target, draft_prefix=".tmp-job-")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["image", "out"]


@pytest.mark.timeout(20)  # opened first, the pipe would wait for ever for somebody to write to it
@pytest.mark.parametrize("look", [image_at, lambda path: copy_file(path, path.with_name("copy"))])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, look):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe is neither a file nor a block device"):
        look(tmp_path / "pipe")
    assert names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("left_bytes", [None, 0, MIB])
def test_space_is_set_aside_whatever_a_kill_left_of_it(tmp_path, left_bytes):
    path = tmp_path / "reserve"
    if left_bytes is not None:
        path.write_bytes(bytes(left_bytes))
    reserve = Reserve(path)
    for _ in range(2):
        reserve.keep()
        assert path.stat().st_size == RESERVE_BYTES
        assert path.stat().st_blocks * 512 >= RESERVE_BYTES
    reserve.release()
    assert not path.exists()


def test_a_sweep_takes_what_a_crash_left_but_not_what_is_being_written(tmp_path):
    (tmp_path / ".tmp-dead-0000").write_bytes(b"left")
    with replacing(tmp_path / "alive") as descriptor:
        os.write(descriptor, b"whole")
        assert [path.name for path in sweep_drafts(tmp_path, TEMPORARY_PREFIX)] == [".tmp-dead-0000"]
    assert names(tmp_path) == ["alive"]
    assert (tmp_path / "alive").read_bytes() == b"whole"


def test_extending_adds_zeros_and_never_shrinks(files):
    files.create_volume("v1", MIB)
    files.volume("v1").write_bytes(b"x" * MIB)
    files.extend_volume("v1", 3 * MIB)
    files.extend_volume("v1", 3 * MIB)
    with pytest.raises(SourceError, match="longer than that: ask for 1 GiB at least"):
        files.extend_volume("v1", 2 * MIB)
    assert files.volume("v1").read_bytes() == b"x" * MIB + bytes(2 * MIB)
    with pytest.raises(SourceError, match="cannot be extended"):
        files.extend_volume("absent", MIB)


def test_deleting_twice_is_no_error(files):
    files.create_volume("v1", MIB)
    files.copy_to_snapshot(files.volume("v1"), "s1", Watch())
    for _ in range(2):
        files.delete_volume("v1")
        files.delete_snapshot("s1")
    assert names(files.directory / "volumes") == names(files.directory / "snapshots") == []


def test_freezing_either_clones_or_leaves_nothing(files):
    """Which of the two depends on the filesystem below the tests; both must be whole."""
    files.create_volume("v1", MIB)
    files.volume("v1").write_bytes(b"x" * MIB)
    cloned = files.freeze_volume("v1", "job1")
    assert files.frozen_jobs() == (["job1"] if cloned else [])
    if cloned:
        assert files.frozen("job1").read_bytes() == b"x" * MIB
    files.thaw("job1")
    files.thaw("job1")
    assert files.frozen_jobs() == []
