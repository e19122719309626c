"""What one piece of work adds to a repository: builders to fill, packs written in the background, then segments."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait

from openvbs.engine.format import Kind, PackListing, pack_name
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.pack import PACK_BYTES, PackBuilder
from openvbs.engine.repository import Repository
from openvbs.units import MIB

SEGMENT_PACKS = 4
"""Packs per segment: what a killed upload has to do again at most, beside the packs in the builders."""
WRITERS = 2
BUILDER_BYTES_MAX = 160 * MIB
"""All packs in memory, being filled or written: most of the memory of a backup, however many threads fill them."""


class Packing:
    """Stores blocks that the repository does not have yet. Threads may share it.

    A block is claimed by the thread that stores it, so that equal blocks of one volume are stored once. After ``flush``
    returned, everything added is durable and in the index. An error of a background write is raised by the next call.
    """

    def __init__(self, repository: Repository, *, threads: int) -> None:
        """At most this many threads may call at once."""
        self._repository = repository
        # Each thread may have one pack of blocks open and all together one of pages; so the writers always have some.
        builders = threads + 1 + WRITERS
        self._pack_bytes = max(min(PACK_BYTES, BUILDER_BYTES_MAX // builders), repository.block_bytes + MIB)
        self._slots = threading.Semaphore(builders)
        self._page_lock = threading.Lock()
        self._spare: list[PackBuilder] = []
        self._open: dict[Kind, list[PackBuilder]] = {Kind.BLOCK: [], Kind.PAGE: []}
        self._lock = threading.Lock()
        self._segment_lock = threading.Lock()
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="pack")
        self._writing: set[Future[None]] = set()
        self._error: BaseException | None = None
        self._claims: dict[BlockId, object] = {}
        self._unlisted: list[PackListing] = []
        self.reused: set[PackId] = set()
        """Packs that hold blocks which were found to be stored."""
        self.written: set[PackId] = set()
        self.bytes_stored = 0

    def has(self, block_id: BlockId) -> bool:
        """True if the block is stored, or will be once flush has returned."""
        place = self._repository.index.find_lasting(block_id)
        if place is not None:
            self.reused.add(place.pack_id)
            return True
        return block_id in self._claims

    def claim(self, block_id: BlockId) -> bool:
        """True if the caller must now store the block; False if another thread does."""
        mine = object()
        return self._claims.setdefault(block_id, mine) is mine

    def add_blocks(self, blocks: list[tuple[BlockId, memoryview]]) -> None:
        """Seal claimed blocks into a pack. May wait until a pack is written."""
        self._add(Kind.BLOCK, blocks)

    def store_page(self, page: bytes) -> BlockId:
        """Make sure that a page is or will be stored; its id."""
        page_id = self._repository.codec.id_of(page, Kind.PAGE)
        if not self.has(page_id) and self.claim(page_id):
            with self._page_lock:
                self._add(Kind.PAGE, [(page_id, memoryview(page))])
        return page_id

    def copy(self, block_id: BlockId, kind: Kind, data: bytes) -> None:
        """Store a block once more, wherever else it lies."""
        if self.claim(block_id):
            self._add(kind, [(block_id, memoryview(data))])

    def flush(self) -> None:
        """Write all open packs and a segment of them. After an earlier error only what is complete is made findable."""
        with self._lock:
            builders = [builder for kind in self._open.values() for builder in kind]
            for kind in self._open.values():
                kind.clear()
        for builder in builders:
            if builder.is_empty:
                self._give_back(builder)
            else:
                self._ship(builder)
        while True:
            with self._lock:
                writing = list(self._writing)
            if not writing:
                break
            wait(writing)  # and _wrote keeps the errors
        self._write_segment(0)
        self._raise_error()

    def close(self) -> None:
        """Wait for the writers and give back memory. Without flush before, what is not complete is lost."""
        self._writers.shutdown()

    def _add(self, kind: Kind, blocks: list[tuple[BlockId, memoryview]]) -> None:
        builder = self._take(kind)
        for block_id, data in blocks:
            while not builder.has_room(len(data)):  # the next one may be one that another thread gave back
                self._ship(builder)
                builder = self._take(kind)
            builder.add(block_id, kind, data)
        with self._lock:
            self._open[kind].append(builder)

    def _take(self, kind: Kind) -> PackBuilder:
        self._raise_error()
        with self._lock:
            if self._open[kind]:
                return self._open[kind].pop()
        self._slots.acquire()
        with self._lock:
            if self._spare:
                return self._spare.pop()
        return PackBuilder(self._repository.codec, self._pack_bytes)

    def _give_back(self, builder: PackBuilder) -> None:
        builder.start()
        with self._lock:
            self._spare.append(builder)
        self._slots.release()

    def _ship(self, builder: PackBuilder) -> None:
        future = self._writers.submit(self._write, builder)
        with self._lock:
            self._writing.add(future)
        future.add_done_callback(self._wrote)

    def _wrote(self, future: Future[None]) -> None:
        with self._lock:
            self._error = self._error or future.exception()
            self._writing.discard(future)

    def _write(self, builder: PackBuilder) -> None:
        """Make one pack durable. Whatever happens the builder is given back, so that nobody waits for ever."""
        try:
            if self._error is None:
                data, listing = builder.finish()
                self._repository.store.put(pack_name(listing.pack_id), data)
                with self._lock:
                    self._unlisted.append(listing)
                    self.written.add(listing.pack_id)
                    self.bytes_stored += len(data)
                self._write_segment(SEGMENT_PACKS)
        finally:
            self._give_back(builder)

    def _write_segment(self, packs_min: int) -> None:
        """List the packs that no segment names, if there are that many (I2: they are durable by now)."""
        with self._segment_lock:
            with self._lock:
                if not self._unlisted or len(self._unlisted) < packs_min:
                    return
                listings = self._unlisted.copy()
            self._repository.index.write_segment(listings)
            with self._lock:
                del self._unlisted[: len(listings)]
            # The index answers for these blocks now.
            for listing in listings:
                for entry in listing:
                    self._claims.pop(entry.block_id, None)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
