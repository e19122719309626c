"""What every source and target of volume bytes promises."""

import os
import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from openvbs.engine.backup import back_up
from openvbs.sources.base import ExtentKind, SourceError
from openvbs.sources.file import FileSource, FileTarget
from openvbs.sources.hinted import ByteRange, HintedSource
from openvbs.sources.qcow2 import open_qcow2
from openvbs.units import KIB, MIB
from tests.support.repositories import BytesSource, BytesTarget, facts, new_repository, restored

SECTOR = 512
SIZES = {"loop device": 3 * MIB + 3 * SECTOR, "qcow2": 3 * MIB + 3 * SECTOR}
"""Whole sectors where the medium has nothing smaller."""
ODD_SIZE = 3 * MIB + 1234


def image(size: int = ODD_SIZE) -> bytes:
    """Random data in some places, zeros elsewhere, an odd size, data up to the last byte."""
    chance = random.Random(7)
    data = bytearray(size)
    for offset, length in [(0, 8192), (MIB, 300 * KIB), (2 * MIB + 77, 5000), (size - 700, 700)]:
        data[offset : offset + length] = chance.randbytes(length)
    return bytes(data)


def sparse_file(path, data: bytes) -> None:
    with path.open("wb") as file:
        for offset in range(0, len(data), 4096):
            piece = data[offset : offset + 4096]
            if piece.strip(b"\0"):
                os.pwrite(file.fileno(), piece, offset)
        file.truncate(len(data))


@contextmanager
def loop_device(folder, data):
    """A block device with these bytes; needs root."""
    sparse_file(folder / "disk", data)
    device = run("losetup", "--find", "--show", folder / "disk").strip()
    try:
        yield Path(device)
    finally:
        run("losetup", "--detach", device)


def run(*command) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


@contextmanager
def memory_source(_folder, data):
    yield BytesSource(data)


@contextmanager
def file_source(folder, data):
    sparse_file(folder / "image", data)
    with closing(FileSource(folder / "image")) as source:
        yield source


@contextmanager
def device_source(folder, data):
    with loop_device(folder, data) as device, closing(FileSource(device)) as source:
        yield source


@contextmanager
def qcow2_source(folder, data):
    with closing(open_qcow2(qcow2_image(folder, data))) as source:
        yield source


def qcow2_image(folder, data):
    sparse_file(folder / "raw", data)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", folder / "raw", folder / "image.qcow2")
    return folder / "image.qcow2"


@contextmanager
def hinted_source(folder, data):
    with file_source(folder, data) as source:
        yield HintedSource(source, lambda: [ByteRange(0, len(data))] if data else [])


SOURCES = {
    "memory": memory_source,
    "file": file_source,
    "hinted": hinted_source,
    "loop device": device_source,
    "qcow2": qcow2_source,
}


@contextmanager
def memory_target(_folder, data):
    yield BytesTarget(data=data)


@contextmanager
def file_target(folder, data):
    sparse_file(folder / "target", data)
    with closing(FileTarget(folder / "target")) as target:
        yield target


@contextmanager
def new_file_target(folder, data):
    with closing(FileTarget.create(folder / "new", len(data))) as target:
        assert target.is_blank
        target.write(0, data)
        yield target


@contextmanager
def device_target(folder, data):
    with loop_device(folder, data) as device, closing(FileTarget(device)) as target:
        yield target


TARGETS = {
    "memory": memory_target,
    "file": file_target,
    "new file": new_file_target,
    "loop device": device_target,
}


def kinds(makers):
    return [pytest.param(name, marks=pytest.mark.heavy if name in SIZES else ()) for name in makers]


@pytest.fixture(params=kinds(SOURCES))
def kind(request):
    return request.param


@pytest.fixture
def expected(kind):
    return image(SIZES.get(kind, ODD_SIZE))


@pytest.fixture
def source(kind, expected, tmp_path):
    with SOURCES[kind](tmp_path, expected) as source:
        yield source


@pytest.fixture(params=kinds(TARGETS))
def target(request, tmp_path):
    with TARGETS[request.param](tmp_path, image(SIZES.get(request.param, ODD_SIZE))) as target:
        yield target


def content(volume) -> bytes:
    buffer = bytearray(volume.size_bytes)
    volume.read_into(0, memoryview(buffer))
    return bytes(buffer)


def test_size_and_bytes(source, expected):
    assert source.size_bytes == len(expected)
    assert content(source) == expected


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (5, 4096), (-1, 1), (2 * MIB, MIB)])
def test_any_range_can_be_read(source, expected, offset, length):
    start = offset % len(expected)
    buffer = bytearray(length)
    source.read_into(start, memoryview(buffer))
    assert buffer == expected[start : start + length]


def test_threads_may_read_at_once(source, expected):
    def read(offset: int) -> bytes:
        buffer = bytearray(min(64 * KIB, len(expected) - offset))
        source.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    with ThreadPoolExecutor(8) as pool:
        assert b"".join(pool.map(read, range(0, len(expected), 64 * KIB))) == expected


def test_more_than_there_is_is_an_error(source, kind):
    if kind == "memory":  # asserts instead
        return
    with pytest.raises(SourceError):
        source.read_into(source.size_bytes - 10, memoryview(bytearray(SECTOR + 10)))


def test_extents_cover_the_volume_in_order(source, expected):
    position = 0
    for extent in source.extents():
        assert extent.offset_bytes == position
        assert extent.length_bytes > 0
        position += extent.length_bytes
    assert position == len(expected)


def test_zero_extents_hold_only_zeros(source, expected):
    for extent in source.extents():
        if extent.kind is ExtentKind.ZERO:
            end = extent.offset_bytes + extent.length_bytes
            assert expected[extent.offset_bytes : end] == bytes(extent.length_bytes)


@pytest.mark.parametrize("kind", kinds(["file", "qcow2"]), indirect=True)
def test_holes_are_found(source):
    zero = sum(extent.length_bytes for extent in source.extents() if extent.kind is ExtentKind.ZERO)
    assert zero > 2 * MIB


@pytest.mark.parametrize("kind", kinds(SOURCES), indirect=True)
def test_a_backup_of_every_kind_restores(source, expected):
    with new_repository() as repository:
        record = back_up(repository, source, facts())
        assert restored(repository, record.facts.backup_id) == expected


@pytest.mark.parametrize("name", ["memory", "file", "hinted"])
def test_a_volume_without_bytes_has_no_extents(name, tmp_path):
    with SOURCES[name](tmp_path, b"") as source:
        assert list(source.extents()) == []


@pytest.mark.parametrize("offset", [0, 5000, -3000])
def test_writes_are_read_back_and_touch_nothing_else(target, offset):
    offset %= target.size_bytes
    target.write(offset, memoryview(b"\x01" * 3000))
    expected = bytearray(image(target.size_bytes))
    expected[offset : offset + 3000] = b"\x01" * 3000
    assert content(target) == expected
    target.flush()


@pytest.mark.parametrize(
    ("offset", "length"), [(0, None), (100, 5), (MIB + 1, 100 * KIB), (4096, MIB), (-700, 700), (7, 2 * MIB)]
)
def test_zeroed_ranges_read_as_zeros_and_nothing_else_does(target, offset, length):
    size = target.size_bytes
    offset %= size
    length = length or size
    target.zero(offset, length)
    expected = bytearray(image(size))
    expected[offset : offset + length] = bytes(length)
    assert content(target) == expected
    assert target.size_bytes == size


def test_zeroing_a_file_gives_its_space_back(tmp_path):
    with file_target(tmp_path, os.urandom(2 * MIB)) as target:
        before = (tmp_path / "target").stat().st_blocks
        target.zero(0, MIB)
    assert (tmp_path / "target").stat().st_blocks <= before - MIB // 512


def test_only_a_new_file_is_blank(tmp_path):
    FileTarget.create(tmp_path / "new", 5 * MIB).close()
    assert (tmp_path / "new").stat().st_size == 5 * MIB
    target = FileTarget(tmp_path / "new")
    assert not target.is_blank
    target.close()


def test_creating_never_overwrites(tmp_path):
    (tmp_path / "there").write_bytes(b"precious")
    with pytest.raises(SourceError, match="exists"):
        FileTarget.create(tmp_path / "there", 10)
    assert (tmp_path / "there").read_bytes() == b"precious"


@pytest.mark.parametrize("kind", [FileSource, FileTarget])
def test_what_is_no_volume_is_refused(tmp_path, kind):
    with pytest.raises(SourceError, match="No such file"):
        kind(tmp_path / "absent")
    with pytest.raises(SourceError, match=r"irectory|neither"):
        kind(tmp_path)
    with pytest.raises(SourceError, match="neither a file nor a block device"):
        kind(tmp_path.__class__("/dev/null"))


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path):
    with file_source(tmp_path, image()) as source:
        os.truncate(tmp_path / "image", MIB)
        with pytest.raises(SourceError, match="ended early"):
            content(source)


@pytest.mark.heavy
def test_a_qcow2_image_is_read_whole_or_not_at_all(tmp_path):
    path = qcow2_image(tmp_path, image(3 * MIB))
    whole = path.read_bytes()
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", path, "-F", "qcow2", tmp_path / "on-top")
    with pytest.raises(SourceError, match="part of its bytes in another file"):
        open_qcow2(tmp_path / "on-top")
    for damaged in (whole[:100], whole[: len(whole) // 2], b"raw" + whole[3:]):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match="qcow2"):
            open_qcow2(path)
    with pytest.raises(SourceError, match="No such file"):
        open_qcow2(tmp_path / "absent")


@pytest.mark.heavy
def test_an_encrypted_qcow2_image_is_called_that(tmp_path):
    secret = ["--object", "secret,id=s,data=secret"]
    path = tmp_path / "secret.qcow2"
    run(
        "qemu-img", "create", "-q", *secret, "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s", path, "1M"
    )
    with pytest.raises(SourceError, match="is encrypted"):
        open_qcow2(path)


@pytest.mark.heavy
def test_the_map_of_a_large_disk_is_asked_for_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("openvbs.sources.nbd._MAP_BYTES", 100 * KIB)
    data = image(3 * MIB)
    with qcow2_source(tmp_path, data) as source:
        position = 0
        for extent in source.extents():
            assert extent.offset_bytes == position
            position += extent.length_bytes
            if extent.kind is ExtentKind.ZERO:
                assert not data[extent.offset_bytes : position].strip(b"\0")
        assert position == len(data)


@pytest.mark.heavy
def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    qcow2_image(tmp_path, image(3 * MIB)).rename("nbd:localhost:1")
    with closing(open_qcow2(Path("nbd:localhost:1"))) as source:
        assert content(source) == image(3 * MIB)


@pytest.mark.heavy
def test_a_reader_that_dies_is_an_error_and_none_stays(tmp_path):
    with qcow2_source(tmp_path, image(3 * MIB)) as source:
        readers = [path for path in Path("/proc").glob("[0-9]*/cmdline") if is_reader_of(path, tmp_path)]
        (reader,) = readers
        os.kill(int(reader.parent.name), signal.SIGKILL)
        with pytest.raises(SourceError, match=r"image\.qcow2"):
            content(source)
    assert not reader.exists()


def is_reader_of(path: Path, folder: Path) -> bool:
    try:
        words = path.read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return words[0].endswith(b"qemu-nbd") and str(folder).encode() in words[-2]
