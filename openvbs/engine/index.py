"""Where each block lies, answered from index segments of the store through sorted files on the local disk."""

import re
import secrets
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openvbs.engine.codec import Codec
from openvbs.engine.damage import Damage
from openvbs.engine.errors import EngineError
from openvbs.engine.format import SEGMENTS, ObjectKind, PackListing, pack_segment, parse_segment
from openvbs.engine.ids import BlockId, PackId, new_object_id
from openvbs.engine.index_run import IndexRun, PackRow, Place, merge_runs, record, write_run
from openvbs.stores.base import ObjectMissing, Store

RECENT_ENTRIES_MAX = 100_000
"""Entries kept in memory (about 20 MB) before they become a file."""
RUNS_MAX = 8
_LOAD_THREADS = 8
_SEGMENT = re.compile("[0-9a-f]{32}")
_REFRESH_TRIES_MAX = 10
_NONE: frozenset[BlockId] = frozenset()


class Index:
    """All blocks of one repository. Threads may share it; lookups wait for nobody."""

    def __init__(self, store: Store, codec: Codec, cache: Path | None) -> None:
        """With a cache directory, runs are kept there for the next time; else their files have no name."""
        self._store = store
        self._codec = codec
        self._cache = cache
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._recent = _Recent()
        self._runs: tuple[IndexRun, ...] = ()
        self._opened = False
        self.condemned: frozenset[PackId] = frozenset()
        """Packs that a collection may delete: a writer must not rely on them (I6)."""
        self.damaged: dict[bytes, EngineError] = {}
        """Segments that could not be opened at the last refresh, and why."""
        self.damage: Damage = {}
        """What is known to be damaged where it lies: a writer must not rely on it either."""

    def find(self, block_id: BlockId) -> Place | None:
        """A place of the block: best one to rely on, or else one that is condemned, or else a damaged one."""
        condemned = damaged = None
        for place in self.find_all(block_id):
            if self.is_damaged(block_id, place.pack_id):
                damaged = place
            elif place.pack_id in self.condemned:
                condemned = place
            else:
                return place
        return condemned or damaged

    def find_lasting(self, block_id: BlockId) -> Place | None:
        """A place that is not condemned nor known to be damaged: what a writer may rely on."""
        for place in self.find_all(block_id):
            if place.pack_id not in self.condemned and not self.is_damaged(block_id, place.pack_id):
                return place
        return None

    def is_damaged(self, block_id: BlockId, pack: PackId) -> bool:
        """True if the block is known to be lost or damaged in this pack."""
        blocks = self.damage.get(pack, _NONE)
        return blocks is None or block_id in blocks

    def find_all(self, block_id: BlockId) -> Iterable[Place]:
        """Every place of the block, good or not."""
        # Recent is read first: entries that leave it meanwhile are in the runs by then.
        recent, runs = self._recent, self._runs
        yield from recent.find(block_id)
        for run in runs:
            yield from (place for _position, place in run.find(block_id))

    def pack_rows(self) -> Iterator[PackRow]:
        """Every pack as each segment names it, as of now. Rows are made one by one: there may be a million."""
        with self._lock:
            recent, runs = self._recent.packs.copy(), self._runs
        yield from recent
        for run in runs:
            yield from (row for _number, row in run.pack_rows())

    def pack_sizes(self) -> dict[PackId, int]:
        """Every pack that a segment names, with the size it had when it was written."""
        with self._lock:
            sizes = {row.pack_id: row.size_bytes for row in self._recent.packs}
            for run in self._runs:
                sizes.update((row.pack_id, row.size_bytes) for _number, row in run.pack_rows())
        return sizes

    def segments_naming(self, packs: frozenset[PackId]) -> frozenset[bytes]:
        """Segments that name one of the packs."""
        with self._lock:
            rows = [row for run in self._runs for _number, row in run.pack_rows()] + self._recent.packs
        return frozenset(row.segment for row in rows if row.pack_id in packs)

    def write_segment(self, listings: list[PackListing]) -> None:
        """Make a durable segment of packs that are durable already (I2), and answer with them from now on."""
        segment = new_object_id()
        name = SEGMENTS + segment
        self._store.put(name, self._codec.seal_object(name, ObjectKind.SEGMENT, pack_segment(listings)))
        with self._lock:
            self._add(bytes.fromhex(segment), listings)

    def read_segment(self, segment: bytes) -> list[PackListing]:
        """The listings of one segment of the store."""
        name = SEGMENTS + segment.hex()
        return parse_segment(self._codec.open_object(name, ObjectKind.SEGMENT, self._store.get(name)))

    def try_segments(self) -> Iterator[tuple[bytes, EngineError | None]]:
        """Open every segment in the store but those that are known to be damaged; which it was, and why not.

        One that the index took from a cache may have been damaged since. One that a collection replaced is left out.
        """
        for segment in sorted(segment_sizes(self._store).keys() - self.damaged.keys()):
            try:
                self.read_segment(segment)
            except ObjectMissing:
                continue
            except EngineError as error:
                yield segment, error
            else:
                yield segment, None

    def listing(self, pack: PackId) -> PackListing:
        """What the segments say of a pack; nothing if none names it."""
        for segment in self.segments_naming(frozenset([pack])):
            for listing in self.read_segment(segment):
                if listing.pack_id == pack:
                    return listing
        return PackListing(pack, 0, b"")

    def refresh(self) -> None:
        """Answer from the segments that are in the store now, and only from those."""
        with self._lock:
            if not self._opened:
                self._open_cached()
            for _ in range(_REFRESH_TRIES_MAX):
                if self._load():
                    self._tidy()
                    return
        raise EngineError("the index segments change faster than they can be read")

    def settle(self) -> tuple[IndexRun, ...]:
        """Everything as runs, for work that visits all entries."""
        with self._lock:
            self._spill()
            return self._runs

    def close(self) -> None:
        """Give back files and memory."""
        with self._lock:
            for run in self._runs:
                run.close()
            self._runs = ()

    def _open_cached(self) -> None:
        self._opened = True
        for path in sorted(self._cache.glob("*.run")) if self._cache else ():
            try:
                self._runs += (IndexRun(path),)
            except (FileNotFoundError, PermissionError, ValueError):
                # Another process merged it away, or it is another user's or version's: its segments are read again.
                continue

    def _load(self) -> bool:
        """Bring runs in line with the store; False if a segment vanished meanwhile and it must be done again.

        What the store has no more answers until the rest is read: a collection replaces segments by others that name
        the same packs, and lookups go on meanwhile.
        """
        damaged: dict[bytes, EngineError] = {}
        present = set(segment_sizes(self._store))
        missing = sorted(present - self._covered())
        with ThreadPoolExecutor(_LOAD_THREADS) as pool:
            for start in range(0, len(missing), _LOAD_THREADS):
                batch = missing[start : start + _LOAD_THREADS]
                try:
                    for segment, result in zip(batch, pool.map(self._try_read_segment, batch), strict=True):
                        if isinstance(result, EngineError):
                            damaged[segment] = result
                        else:
                            self._add(segment, result)
                except ObjectMissing:
                    return False
        self.damaged = damaged
        self._share_out(present)
        if not self._recent.segments <= present:
            self._recent = self._recent.without(self._recent.segments - present)
        return True

    def _share_out(self, present: set[bytes]) -> None:
        """Each segment to one run, though processes that share a cache may have put it into several files."""
        rest = frozenset(present)
        runs = []
        for run in sorted(self._runs, key=lambda run: run.entries, reverse=True):
            own = run.segments & rest
            if own:
                runs.append(run.answering_for(own))
                rest -= own
            else:
                run.path.unlink(missing_ok=True)
        self._runs = tuple(runs)

    def _try_read_segment(self, segment: bytes) -> list[PackListing] | EngineError:
        try:
            return self.read_segment(segment)
        except EngineError as error:
            return error

    def _covered(self) -> frozenset[bytes]:
        return self._recent.segments.union(*(run.segments for run in self._runs))

    def _add(self, segment: bytes, listings: list[PackListing]) -> None:
        if segment in self._covered():
            return
        self._recent.add(segment, listings)
        if len(self._recent) > RECENT_ENTRIES_MAX:
            self._spill()

    def _spill(self) -> None:
        recent = self._recent
        if not recent.packs:
            return
        records = sorted(recent.records())
        run = self._keep(
            write_run(self._new_path(), records, capacity=len(records), packs=recent.packs, segments=recent.segments)
        )
        # The run answers before recent stops to, so that no lookup misses in between.
        self._runs = (*self._runs, run)
        self._recent = _Recent()

    def _tidy(self) -> None:
        """Merge the smaller runs when there are many, so that a lookup asks few files."""
        if len(self._runs) <= RUNS_MAX:
            return
        by_size = sorted(self._runs, key=lambda run: run.entries)
        small, kept = (
            by_size[: RUNS_MAX // 2 + len(by_size) - RUNS_MAX],
            by_size[RUNS_MAX // 2 + len(by_size) - RUNS_MAX :],
        )
        merged = self._keep(merge_runs(self._new_path(), small))
        self._runs = (merged, *kept)
        # Lookups may still hold the old ones; the mapping goes with the last of them.
        for run in small:
            run.path.unlink(missing_ok=True)

    def _new_path(self) -> Path:
        folder = self._cache or Path(tempfile.gettempdir())
        return folder / f"openvbs-{secrets.token_hex(16)}.run"

    def _keep(self, run: IndexRun) -> IndexRun:
        """Without a cache nobody needs the file's name any more, so that not even a kill leaves it behind."""
        if self._cache is None:
            run.path.unlink()
        return run


def segment_sizes(store: Store) -> dict[bytes, int]:
    """The segments in the store with the sizes of their objects. What is not named like one is left out."""
    names = ((info.name[len(SEGMENTS) :], info.size_bytes) for info in store.list(SEGMENTS))
    return {bytes.fromhex(text): size for text, size in names if _SEGMENT.fullmatch(text)}


class _Recent:
    """Entries of the last few segments, in memory."""

    def __init__(self) -> None:
        self.packs: list[PackRow] = []
        self.segments: frozenset[bytes] = frozenset()
        self._places: dict[BlockId, tuple[int, int, int]] = {}
        self._more: dict[BlockId, list[tuple[int, int, int]]] = {}

    def __len__(self) -> int:
        return len(self._places) + sum(map(len, self._more.values()))

    def add(self, segment: bytes, listings: list[PackListing]) -> None:
        for listing in listings:
            number = len(self.packs)
            self.packs.append(PackRow(listing.pack_id, listing.size_bytes, segment))
            for entry in listing:
                self._put(entry.block_id, (number, entry.offset_bytes, entry.length_bytes))
        self.segments |= {segment}

    def find(self, block_id: BlockId) -> Iterable[Place]:
        first = self._places.get(block_id)
        if first is None:
            return
        for number, offset, length in (first, *self._more.get(block_id, ())):
            yield Place(self.packs[number].pack_id, offset, length)

    def records(self) -> Iterable[bytes]:
        for block_id, place in self._places.items():
            yield record(block_id, *place)
        for block_id, places in self._more.items():
            for place in places:
                yield record(block_id, *place)

    def without(self, segments: frozenset[bytes]) -> "_Recent":
        kept = _Recent()
        kept.segments = self.segments - segments
        renumbered = {}
        for number, row in enumerate(self.packs):
            if row.segment not in segments:
                renumbered[number] = len(kept.packs)
                kept.packs.append(row)
        for block_id, first in self._places.items():
            for number, offset, length in (first, *self._more.get(block_id, ())):
                if number in renumbered:
                    kept._put(block_id, (renumbered[number], offset, length))
        return kept

    def _put(self, block_id: BlockId, place: tuple[int, int, int]) -> None:
        if self._places.setdefault(block_id, place) is not place:
            self._more.setdefault(block_id, []).append(place)
