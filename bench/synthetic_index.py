"""An index of as many blocks as asked for, made without a repository, and how it answers.

    python -m bench.synthetic_index make FOLDER ENTRIES
    python -m bench.synthetic_index ask FOLDER ENTRIES   prints one JSON document

Making takes memory of its own, so whoever wants to know what an open index takes asks in another process.
"""

import json
import os
import random
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

from blake3 import blake3

from openvbs.engine.codec import Codec
from openvbs.engine.format import ID_BYTES, PAGE_IDS_MAX, SEGMENTS
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.index import Index
from openvbs.engine.index_run import PackRow, record, write_run
from openvbs.engine.keys import derive_project_keys
from openvbs.engine.packing import SEGMENT_PACKS
from openvbs.stores.base import ObjectInfo
from openvbs.stores.memory import MemoryStore
from openvbs.units import KIB

PACK_BLOCKS = 100
"""As many blocks of 512 KiB as a pack has when they compress to half."""
_CHUNK = 4096
_TAIL_BYTES = 26
_PREFIX = struct.Struct(">Q")
ASKED = 300_000


def ids_of(first: int, count: int, entries: int) -> list[BlockId]:
    """Ids of consecutive entries: evenly spread prefixes and random tails, so they are sorted like real ones."""
    tails = blake3(_PREFIX.pack(first)).digest(length=_TAIL_BYTES * count)
    step = (1 << 48) // entries
    return [
        BlockId(_PREFIX.pack((first + i) * step)[2:] + tails[i * _TAIL_BYTES : (i + 1) * _TAIL_BYTES])
        for i in range(count)
    ]


def _number(what: str, number: int) -> bytes:
    return blake3(f"{what} {number}".encode()).digest(length=16)


def _segments(entries: int) -> int:
    return -(-entries // (PACK_BLOCKS * SEGMENT_PACKS))


def _records(entries: int) -> Iterator[bytes]:
    packs = -(-entries // PACK_BLOCKS)
    for first in range(0, entries, _CHUNK):
        for i, block_id in enumerate(ids_of(first, min(_CHUNK, entries - first), entries), first):
            # Neighbours by id lie in packs far apart, as they do in life.
            yield record(block_id, i * 7919 % packs, i // packs * 260 * KIB, 260 * KIB)


def make(folder: Path, entries: int) -> None:
    """Write the file that an index keeps in its cache."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [_number("segment", i) for i in range(_segments(entries))]
    packs = [
        PackRow(PackId(_number("pack", i)), 32 * 1024 * KIB, names[i // SEGMENT_PACKS])
        for i in range(-(-entries // PACK_BLOCKS))
    ]
    write_run(folder / "synthetic.run", _records(entries), capacity=entries, packs=packs, segments=names).close()


class _ListingStore(MemoryStore):
    """A store that lists the segments which the file was made of, and takes no memory for them."""

    def __init__(self, segments: int) -> None:
        super().__init__()
        self._segments = segments

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        assert prefix == SEGMENTS
        return (ObjectInfo(SEGMENTS + _number("segment", i).hex(), 1, 0.0) for i in range(self._segments))


def _mapped_bytes(path: Path) -> int:
    """Bytes of the file that this process has in its memory."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            ours = line.endswith(str(path))
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1]) * KIB
    return total


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) * KIB for line in lines if line.startswith(("RssAnon", "RssShmem")))


def _per_second(index: Index, ids: Iterable[list[BlockId]], *, found: bool) -> float:
    seconds, asked = 0.0, 0
    for batch in ids:
        started = time.perf_counter()
        places = [index.find_lasting(block_id) for block_id in batch]
        seconds += time.perf_counter() - started
        asked += len(batch)
        assert all((place is not None) is found for place in places)
    return asked / seconds


def _chosen(entries: int, seed: int, asked: int) -> Iterator[list[BlockId]]:
    """Batches of a page's size, of blocks from anywhere."""
    chooser = random.Random(seed)
    for _ in range(asked // PAGE_IDS_MAX):
        yield [_id_of(chooser.randrange(entries), entries) for _ in range(PAGE_IDS_MAX)]


def _unknown(seed: int, asked: int) -> Iterator[list[BlockId]]:
    chooser = random.Random(seed)
    for _ in range(asked // PAGE_IDS_MAX):
        yield [BlockId(chooser.randbytes(ID_BYTES)) for _ in range(PAGE_IDS_MAX)]


def _id_of(entry: int, entries: int) -> BlockId:
    first = entry // _CHUNK * _CHUNK
    tail = blake3(_PREFIX.pack(first)).digest(length=_TAIL_BYTES, seek=(entry - first) * _TAIL_BYTES)
    return BlockId(_PREFIX.pack(entry * ((1 << 48) // entries))[2:] + tail)


def ask(folder: Path, entries: int) -> dict[str, float]:
    """Open the index and look up known and unknown blocks."""
    path = folder / "synthetic.run"
    size = path.stat().st_size
    before = _anonymous_bytes()
    index = Index(_ListingStore(_segments(entries)), Codec(derive_project_keys(bytes(32), UUID(int=1)), 4096), folder)
    started = time.perf_counter()
    index.refresh()
    opened = time.perf_counter() - started
    read = _mapped_bytes(path)
    cold_ids = list(_chosen(entries, 1, 20_000))
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    cold = _per_second(index, cold_ids, found=True)
    with path.open("rb") as file:
        while file.read(1024 * KIB):
            pass
    _per_second(index, _chosen(entries, 2, ASKED), found=True)  # maps the pages
    hits = _per_second(index, _chosen(entries, 2, ASKED), found=True)
    misses = _per_second(index, _unknown(3, ASKED), found=False)
    return {
        "entries": entries,
        "file bytes": size,
        "open seconds": opened,
        "bytes read by opening": read,
        "anonymous bytes before": before,
        "anonymous bytes": _anonymous_bytes(),
        "cold hits per second": cold,
        "hits per second": hits,
        "misses per second": misses,
    }


def main() -> None:
    verb, folder, entries = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if verb == "make":
        make(folder, entries)
    else:
        print(json.dumps(ask(folder, entries), indent=1))


if __name__ == "__main__":
    main()
