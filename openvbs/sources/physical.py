"""What differs between two files of a filesystem with reflinks, told by where their bytes lie, without reading them."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from openvbs.sources.base import SourceError
from openvbs.sources.hinted import ByteRange

_FS_IOC_FIEMAP = 0xC020660B  # linux/fs.h: _IOWR('f', 11, struct fiemap)
_REQUEST = struct.Struct("<QQIIII")
"""struct fiemap: start, length, flags, how many are mapped, how many have room, reserved."""
_EXTENT = struct.Struct("<QQQ16xI12x")
"""struct fiemap_extent: logical, physical, length, flags."""
_FLAG_SYNC = 1
_LAST = 0x1
_MERGED = 0x1000
_SHARED = 0x2000
_UNWRITTEN = 0x800
"""Allocated, but reads as zeros, as a hole."""
_COMPARABLE = _LAST | _MERGED | _SHARED
"""With any other flag the place says nothing of the bytes: compressed, inline, not allocated yet."""
_EXTENTS_PER_CALL = 1000
_END = 1 << 63
_HOLE = -1
_UNKNOWN = -2


class CannotCompare(SourceError):
    """The filesystem does not tell where files lie."""


class _Segment(NamedTuple):
    """Bytes from start to end; the first one lies at place, or all are zeros, or nobody knows."""

    start: int
    end: int
    place: int

    def place_of(self, position: int) -> int:
        return self.place if self.place < 0 else self.place + position - self.start


class PhysicalChanges:
    """What differs between a base and another clone of what it is a clone of. Neither changes while this is open.

    A block that the base still holds is never given to other bytes, so the same place means the same bytes. Only a
    defragmenter that moved both files' blocks into each other's places between two looks could belie that.
    """

    def __init__(self, base: Path, current: Path) -> None:
        """SourceError if one cannot be opened, CannotCompare if the filesystem does not tell."""
        with ExitStack() as stack:
            self._base, self._base_bytes = _open(stack, base)
            self._current, self._bytes = _open(stack, current)
            for descriptor in (self._base, self._current):
                next(_segments(descriptor, 1))
            self._stack = stack.pop_all()

    def __call__(self) -> Iterator[ByteRange]:
        """Ranges of the current file, in order, apart from each other: never too little, perhaps too much."""
        start = end = 0
        for changed in self._unmerged():
            if changed.offset_bytes != end:
                if end > start:
                    yield ByteRange(start, end - start)
                start = changed.offset_bytes
            end = sum(changed)
        if end > start:
            yield ByteRange(start, end - start)

    def close(self) -> None:
        """Close both files."""
        self._stack.close()

    def _unmerged(self) -> Iterator[ByteRange]:
        base_segments = _segments(self._base, self._base_bytes)
        base = next(base_segments, None)
        for segment in _segments(self._current, self._bytes):
            position = segment.start
            while position < segment.end:
                while base is not None and base.end <= position:
                    base = next(base_segments, None)
                there = base or _Segment(position, segment.end, _UNKNOWN)  # the current file is longer
                end = min(segment.end, there.end)
                place = segment.place_of(position)
                if place == _UNKNOWN or place != there.place_of(position):
                    yield ByteRange(position, end - position)
                position = end


def _open(stack: ExitStack, path: Path) -> tuple[int, int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(f"cannot open {path}: {error.strerror}") from error
    stack.callback(os.close, descriptor)
    return descriptor, os.fstat(descriptor).st_size


def _segments(descriptor: int, size_bytes: int) -> Iterator[_Segment]:
    """The file from 0 to its size, without gap or overlap."""
    position = 0
    for start, end, place in _mapped(descriptor):
        if start >= size_bytes:
            break
        if start > position:
            yield _Segment(position, start, _HOLE)
        yield _Segment(start, min(end, size_bytes), place)
        position = min(end, size_bytes)
    if position < size_bytes:
        yield _Segment(position, size_bytes, _HOLE)


def _mapped(descriptor: int) -> Iterator[_Segment]:
    position = 0
    while True:
        buffer = bytearray(_REQUEST.size + _EXTENTS_PER_CALL * _EXTENT.size)
        _REQUEST.pack_into(buffer, 0, position, _END - position, 0 if position else _FLAG_SYNC, 0, _EXTENTS_PER_CALL, 0)
        try:
            fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, buffer)
        except OSError as error:
            if error.errno in {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS}:
                raise CannotCompare("the filesystem does not tell where files lie (FIEMAP)") from error
            raise SourceError(f"cannot map a file at {position}: {error.strerror}") from error
        count = _REQUEST.unpack_from(buffer)[3]
        for number in range(count):
            start, physical, length, flags = _EXTENT.unpack_from(buffer, _REQUEST.size + number * _EXTENT.size)
            yield _Segment(start, start + length, _place(physical, flags))
            if flags & _LAST:
                return
            position = start + length
        if not count:
            return


def _place(physical: int, flags: int) -> int:
    if flags & ~(_COMPARABLE | _UNWRITTEN):
        return _UNKNOWN
    return _HOLE if flags & _UNWRITTEN else physical
