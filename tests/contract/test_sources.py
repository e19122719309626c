"""What every source and target of volume bytes promises."""

import os
import random

import pytest

from openvbs.sources.base import ExtentKind, SourceError
from openvbs.sources.file import FileSource, FileTarget
from openvbs.units import KIB, MIB
from tests.support.repositories import BytesSource, BytesTarget

SIZE = 3 * MIB + 1234


def image() -> bytes:
    """Random data in some places, zeros elsewhere, an odd size, data up to the last byte."""
    chance = random.Random(7)
    data = bytearray(SIZE)
    for offset, length in [(0, 8192), (MIB, 300 * KIB), (2 * MIB + 77, 5000), (SIZE - 700, 700)]:
        data[offset : offset + length] = chance.randbytes(length)
    return bytes(data)


def sparse_file(path, data: bytes) -> None:
    with path.open("wb") as file:
        for offset in range(0, len(data), 4096):
            piece = data[offset : offset + 4096]
            if piece.strip(b"\0"):
                os.pwrite(file.fileno(), piece, offset)
        file.truncate(len(data))


def file_source(folder, data):
    sparse_file(folder / "image", data)
    return FileSource(folder / "image")


SOURCES = {"memory": lambda _folder, data: BytesSource(data), "file": file_source}


def file_target(folder, data):
    sparse_file(folder / "target", data)
    return FileTarget(folder / "target")


TARGETS = {
    "memory": lambda _folder, data: BytesTarget(data=data),
    "file": file_target,
    "new file": lambda folder, data: filled(FileTarget.create(folder / "new", len(data)), data),
}


def filled(target, data):
    assert target.is_blank
    target.write(0, data)
    return target


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    source = SOURCES[request.param](tmp_path, image())
    yield source
    source.close()


@pytest.fixture(params=TARGETS)
def target(request, tmp_path):
    target = TARGETS[request.param](tmp_path, image())
    yield target
    target.close()


def content(volume) -> bytes:
    buffer = bytearray(volume.size_bytes)
    volume.read_into(0, memoryview(buffer))
    return bytes(buffer)


def test_size_and_bytes(source):
    assert source.size_bytes == SIZE
    assert content(source) == image()


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (5, 4096), (SIZE - 1, 1), (2 * MIB, MIB)])
def test_any_range_can_be_read(source, offset, length):
    buffer = bytearray(length)
    source.read_into(offset, memoryview(buffer))
    assert buffer == image()[offset : offset + length]


def test_extents_cover_the_volume_in_order(source):
    position = 0
    for extent in source.extents():
        assert extent.offset_bytes == position
        assert extent.length_bytes > 0
        position += extent.length_bytes
    assert position == SIZE


def test_zero_extents_hold_only_zeros(source):
    for extent in source.extents():
        if extent.kind is ExtentKind.ZERO:
            end = extent.offset_bytes + extent.length_bytes
            assert image()[extent.offset_bytes : end] == bytes(extent.length_bytes)


def test_holes_of_a_file_are_found(tmp_path):
    source = file_source(tmp_path, image())
    zero = sum(extent.length_bytes for extent in source.extents() if extent.kind is ExtentKind.ZERO)
    source.close()
    assert zero > 2 * MIB


def test_a_volume_without_bytes_has_no_extents(tmp_path):
    for make in SOURCES.values():
        source = make(tmp_path, b"")
        assert list(source.extents()) == []
        source.close()


@pytest.mark.parametrize("offset", [0, 5000, SIZE - 3000])
def test_writes_are_read_back_and_touch_nothing_else(target, offset):
    target.write(offset, memoryview(b"\x01" * 3000))
    expected = bytearray(image())
    expected[offset : offset + 3000] = b"\x01" * 3000
    assert content(target) == expected
    target.flush()


@pytest.mark.parametrize(
    ("offset", "length"), [(0, SIZE), (100, 5), (MIB + 1, 100 * KIB), (SIZE - 700, 700), (7, 2 * MIB)]
)
def test_zeroed_ranges_read_as_zeros_and_nothing_else_does(target, offset, length):
    target.zero(offset, length)
    expected = bytearray(image())
    expected[offset : offset + length] = bytes(length)
    assert content(target) == expected
    assert target.size_bytes == SIZE


def test_zeroing_a_file_gives_its_space_back(tmp_path):
    target = file_target(tmp_path, os.urandom(2 * MIB))
    before = (tmp_path / "target").stat().st_blocks
    target.zero(0, MIB)
    target.close()
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
    source = file_source(tmp_path, image())
    os.truncate(tmp_path / "image", MIB)
    with pytest.raises(SourceError, match="ended early"):
        content(source)
    source.close()
