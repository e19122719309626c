"""A sorted, memory-mapped file of where blocks lie: a piece of the index on the local disk. Only a cache.

Lookups cost one read of a bucket table and one search through about 16 ids, wherever the 100 million entries lie; the
file's pages belong to the kernel, which may drop them. All numbers are little-endian u32.

    header   magic, number of entries, capacity, packs, segments, bucket bits
    buckets  2^bits + 1 positions: entries of bucket b are [b, b+1)
    ids      32 bytes each, sorted
    places   pack number, offset, length
    packs    pack id, size, segment number
    segments 16-byte ids of the index segments that this file covers
"""

import heapq
import mmap
import os
import struct
from array import array
from collections.abc import Iterable, Iterator
from copy import copy
from pathlib import Path
from typing import NamedTuple

from openvbs.engine.format import ID_BYTES
from openvbs.engine.ids import BlockId, PackId
from openvbs.files import replacing, sweep_drafts

_MAGIC = b"OVBSRUN1"
_HEADER = struct.Struct("<8sIIIII36x")
_PLACE = struct.Struct("<III")
_PACK = struct.Struct("<16sII")
_BUCKET = struct.Struct("<II")
_BUCKET_ENTRIES = 16
_BUCKET_BITS_MAX = 24
_BUFFER_ENTRIES = 8192
_SEGMENT_BYTES = 16
_DRAFT = "openvbs-draft-"


class Place(NamedTuple):
    """Where a block lies."""

    pack_id: PackId
    offset_bytes: int
    length_bytes: int


class PackRow(NamedTuple):
    """A pack as one segment names it. A pack named by two segments has two rows."""

    pack_id: PackId
    size_bytes: int
    segment: bytes


class IndexRun:
    """One file, open for lookups. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, self.entries, capacity, packs, segments, bits = _HEADER.unpack_from(self._map)
        if magic != _MAGIC:
            raise ValueError(f"{path} is not an index run")
        self._shift = 32 - bits
        self._buckets, self._ids, self._places, table, names = _layout(capacity, packs, bits)
        self._table = table
        self.packs = packs
        """Number of pack rows, gone ones included."""
        cut = self._map[names : names + segments * _SEGMENT_BYTES]
        self._names = [cut[i : i + _SEGMENT_BYTES] for i in range(0, len(cut), _SEGMENT_BYTES)]
        self.segments = frozenset(self._names)
        """The index segments that this file covers."""
        self.answered = self.segments
        """Those of them that it answers for."""
        self.gone: frozenset[int] = frozenset()
        """Numbers of the pack rows whose segment has left the store, or is another run's to answer for."""

    def pack_row(self, number: int) -> PackRow:
        """The row of the pack with this number."""
        pack_id, size, segment = _PACK.unpack_from(self._map, self._table + number * _PACK.size)
        return PackRow(PackId(pack_id), size, self._names[segment])

    def pack_rows(self) -> Iterator[tuple[int, PackRow]]:
        """Number and row of every pack whose segment has not gone."""
        for number in range(self.packs):
            if number not in self.gone:
                yield number, self.pack_row(number)

    def answering_for(self, segments: frozenset[bytes]) -> "IndexRun":
        """The same file, answering only with packs that these segments, all of them among its own, name.

        A lookup that began with this one goes on as it began.
        """
        if segments == self.answered:
            return self
        other = copy(self)
        other.answered = segments
        other.gone = frozenset(n for n in range(self.packs) if self.pack_row(n).segment not in segments)
        return other

    def find(self, block_id: BlockId) -> Iterator[tuple[int, Place]]:
        """Position and place of every entry of this id whose pack row is not gone."""
        bucket = int.from_bytes(block_id[:4], "big") >> self._shift if self._shift < 32 else 0
        first, last = _BUCKET.unpack_from(self._map, self._buckets + 4 * bucket)
        chunk = self._map[self._ids + first * ID_BYTES : self._ids + last * ID_BYTES]
        at = chunk.find(block_id)
        while at >= 0:
            if at % ID_BYTES == 0:
                position = first + at // ID_BYTES
                number, offset, length = _PLACE.unpack_from(self._map, self._places + position * _PLACE.size)
                if number not in self.gone:
                    yield position, Place(self._pack_id(number), offset, length)
            at = chunk.find(block_id, at + 1)

    def places(self) -> Iterator[tuple[int, int]]:
        """(pack number, length) of every entry, in order of position; gone rows included."""
        for start in range(0, self.entries, _BUFFER_ENTRIES):
            end = min(self.entries, start + _BUFFER_ENTRIES)
            chunk = self._map[self._places + start * _PLACE.size : self._places + end * _PLACE.size]
            for number, _offset, length in _PLACE.iter_unpack(chunk):
                yield number, length

    def records(self, renumbered: dict[int, int]) -> Iterator[bytes]:
        """The sorted records with new pack numbers, without those whose pack has none."""
        for start in range(0, self.entries, _BUFFER_ENTRIES):
            end = min(self.entries, start + _BUFFER_ENTRIES)
            ids = self._map[self._ids + start * ID_BYTES : self._ids + end * ID_BYTES]
            places = self._map[self._places + start * _PLACE.size : self._places + end * _PLACE.size]
            for i, (number, offset, length) in enumerate(_PLACE.iter_unpack(places)):
                new = renumbered.get(number)
                if new is not None:
                    yield ids[i * ID_BYTES : (i + 1) * ID_BYTES] + _PLACE.pack(new, offset, length)

    def close(self) -> None:
        """Give back the mapping."""
        self._map.close()

    def _pack_id(self, number: int) -> PackId:
        start = self._table + number * _PACK.size
        return PackId(self._map[start : start + 16])


def record(block_id: BlockId, pack_number: int, offset_bytes: int, length_bytes: int) -> bytes:
    """One entry for write_run."""
    return block_id + _PLACE.pack(pack_number, offset_bytes, length_bytes)


def write_run(
    path: Path, records: Iterable[bytes], *, capacity: int, packs: list[PackRow], segments: Iterable[bytes]
) -> IndexRun:
    """Write sorted records, at most capacity of them, as a new file and open it. It appears whole or not at all."""
    bits = min(_BUCKET_BITS_MAX, max(0, (capacity // _BUCKET_ENTRIES).bit_length()))
    names = sorted(segments)
    numbers = {name: i for i, name in enumerate(names)}
    buckets_at, ids_at, places_at, table_at, names_at = _layout(capacity, len(packs), bits)
    counts = array("I", bytes(4 * ((1 << bits) + 1)))
    sweep_drafts(path.parent, _DRAFT)
    with replacing(path, _DRAFT) as descriptor:
        entries = 0
        shift = 32 - bits
        for batch in _batched(records):
            ids, places = [], []
            for row in batch:
                ids.append(row[:ID_BYTES])
                places.append(row[ID_BYTES:])
                counts[(int.from_bytes(row[:4], "big") >> shift if bits else 0) + 1] += 1
            _write_at(descriptor, b"".join(ids), ids_at + entries * ID_BYTES)
            _write_at(descriptor, b"".join(places), places_at + entries * _PLACE.size)
            entries += len(batch)
        assert entries <= capacity
        for i in range(1, len(counts)):
            counts[i] += counts[i - 1]
        _write_at(descriptor, counts.tobytes(), buckets_at)
        table = b"".join(_PACK.pack(row.pack_id, row.size_bytes, numbers[row.segment]) for row in packs)
        _write_at(descriptor, table, table_at)
        _write_at(descriptor, b"".join(names), names_at)
        header = _HEADER.pack(_MAGIC, entries, capacity, len(packs), len(names), bits)
        _write_at(descriptor, header, 0)
    return IndexRun(path)


def merge_runs(path: Path, runs: list[IndexRun]) -> IndexRun:
    """One new run with everything of these that is not gone."""
    packs: list[PackRow] = []
    streams = []
    for run in runs:
        renumbered = {}
        for number, row in run.pack_rows():
            renumbered[number] = len(packs)
            packs.append(row)
        streams.append(run.records(renumbered))
    segments = {row.segment for row in packs}
    capacity = sum(run.entries for run in runs)
    return write_run(path, heapq.merge(*streams), capacity=capacity, packs=packs, segments=segments)


def _layout(capacity: int, packs: int, bits: int) -> tuple[int, int, int, int, int]:
    buckets = _HEADER.size
    ids = buckets + 4 * ((1 << bits) + 1)
    places = ids + capacity * ID_BYTES
    table = places + capacity * _PLACE.size
    return buckets, ids, places, table, table + packs * _PACK.size


def _batched(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch = []
    for row in records:
        batch.append(row)
        if len(batch) == _BUFFER_ENTRIES:
            yield batch
            batch = []
    if batch:
        yield batch


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
