"""Finding damage, and saying which backups and which bytes of their volumes it affects."""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from openvbs.engine.errors import BackupMissing, EngineError
from openvbs.engine.format import (
    BACKUPS,
    LEASES,
    PACK_BYTES_MAX,
    PACK_HEADER,
    PACKS,
    ObjectKind,
    PackListing,
    pack_header,
    pack_name,
    parse_pack_name,
)
from openvbs.engine.ids import ZERO_ID, BlockId, PackId
from openvbs.engine.index import segment_sizes
from openvbs.engine.index_run import Place
from openvbs.engine.leases import Lease
from openvbs.engine.pack import listing_of, open_pack
from openvbs.engine.progress import Checkpoint, OnProgress, Progress, ignore_progress, never_stop
from openvbs.engine.reader import try_read_blocks
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, leaves
from openvbs.stores.base import ObjectMissing

THREADS_MAX = 4
_WAIT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of a volume."""

    offset_bytes: int
    length_bytes: int


@dataclass(slots=True, kw_only=True)
class CheckReport:
    """What a check saw. ``damaged`` and ``whole`` together are all backups there were."""

    problems: list[str] = field(default_factory=list)
    """What is wrong in the store, one sentence each; a pack or segment can be bad without a backup suffering."""
    damaged: dict[str, list[ByteRange]] = field(default_factory=dict)
    """Backup id -> what of its volume cannot be restored. No range at all means that its record cannot be read."""
    whole: list[str] = field(default_factory=list)
    packs_checked: int = 0
    blocks_checked: int = 0
    bytes_checked: int = 0
    """Bytes of packs that were read and verified."""

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return not self.problems and not self.damaged


def check_structure(repository: Repository, *, checkpoint: Checkpoint = never_stop) -> CheckReport:
    """See that every object opens, every pack is there in full size and every id of every backup is in one. Quick."""
    with repository.working("check") as lease:
        report = CheckReport()
        lease.check()
        _Walk(repository, _check_objects(repository, report), frozenset(), checkpoint).walk(report)
        return report


def check_data(
    repository: Repository,
    *,
    sample: float = 1.0,
    on_progress: OnProgress = ignore_progress,
    checkpoint: Checkpoint = never_stop,
) -> CheckReport:
    """Like check_structure, and read and verify every block of all packs, or of a random share of them."""
    with repository.working("check") as lease:
        report = CheckReport()
        broken = _check_objects(repository, report)
        present = repository.index.pack_sizes().keys() - {pack for pack, size in broken.items() if not size}
        chosen = _sampled(sorted(present), sample)
        bad = _DataCheck(repository, lease, report, on_progress, checkpoint).check(chosen)
        _Walk(repository, broken, bad, checkpoint).walk(report)
        return report


def _check_objects(repository: Repository, report: CheckReport) -> dict[PackId, int]:
    """Look at all objects but backups; the packs that have another size than they should, with that, 0 if missing."""
    for segment, error in repository.index.damaged.items():
        report.problems.append(f"index segment {segment.hex()} cannot be used: {error}")
    _check_segments(repository, report)
    _check_leases(repository, report)
    sizes = repository.index.pack_sizes()
    stored: dict[PackId, int] = {}
    for info in repository.store.list(PACKS):
        pack = parse_pack_name(info.name)
        if pack is None:
            report.problems.append(f"{info.name} is not named like a pack")
        elif pack in sizes:
            stored[pack] = info.size_bytes
    broken: dict[PackId, int] = {}
    for pack, size in sorted(sizes.items()):
        if stored.get(pack) == size:
            continue
        broken[pack] = stored.get(pack, 0)
        if pack not in repository.index.condemned:
            what = f"has {stored[pack]} bytes instead of {size}" if pack in stored else "is missing"
            report.problems.append(f"pack {pack.hex()} {what}")
    return broken


def _sampled(packs: list[PackId], sample: float) -> list[PackId]:
    """About this share of the packs. Their ids are random, so any window of ids is a random sample."""
    start = secrets.randbelow(1 << 32)
    width = int(sample * (1 << 32))
    return [pack for pack in packs if (int.from_bytes(pack[:4], "big") - start) % (1 << 32) < width]


def _check_segments(repository: Repository, report: CheckReport) -> None:
    """Those that the index took from a cache may have been damaged since."""
    for segment in sorted(segment_sizes(repository.store).keys() - repository.index.damaged.keys()):
        try:
            repository.index.read_segment(segment)
        except ObjectMissing:
            continue  # a collection replaced it
        except EngineError as error:
            report.problems.append(f"index segment {segment.hex()} is damaged, and a cache still has it: {error}")


def _check_leases(repository: Repository, report: CheckReport) -> None:
    for info in repository.store.list(LEASES):
        try:
            repository.codec.open_object(info.name, ObjectKind.LEASE, repository.store.get(info.name))
        except ObjectMissing:
            continue  # that work has ended
        except EngineError as error:
            report.problems.append(str(error))


class _DataCheck:
    """Reads packs and opens all that is in them."""

    def __init__(
        self,
        repository: Repository,
        lease: Lease,
        report: CheckReport,
        on_progress: OnProgress,
        checkpoint: Checkpoint,
    ) -> None:
        self._repository = repository
        self._lease = lease
        self._report = report
        self._on_progress = on_progress
        self._checkpoint = checkpoint

    def check(self, packs: list[PackId]) -> frozenset[tuple[PackId, BlockId]]:
        """The blocks that are damaged, with the packs in which they are."""
        sizes = self._repository.index.pack_sizes()
        total = sum(sizes[pack] for pack in packs)
        bad: set[tuple[PackId, BlockId]] = set()
        threads = min(THREADS_MAX, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="check")
        waiting: set[Future[_PackCheck]] = set()
        rest = iter(packs)
        try:
            while True:
                while len(waiting) < threads and (pack := next(rest, None)) is not None:
                    waiting.add(pool.submit(self._check_pack, pack))
                if not waiting:
                    return frozenset(bad)
                finished, waiting = wait(waiting, _WAIT_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    seen = future.result()
                    bad.update((seen.pack_id, block_id) for block_id in seen.bad)
                    self._report.problems += seen.problems
                    self._report.packs_checked += 1
                    self._report.blocks_checked += seen.blocks
                    self._report.bytes_checked += seen.size_bytes
                self._lease.check()
                self._on_progress(Progress(self._report.bytes_checked, total))
                self._checkpoint()
        finally:
            pool.shutdown(cancel_futures=True)

    def _check_pack(self, pack: PackId) -> "_PackCheck":
        """Read a whole pack and open all of it. Runs in a thread of the pool."""
        seen = _PackCheck(pack)
        try:
            data = self._repository.store.get(pack_name(pack))
        except ObjectMissing:
            if pack not in self._repository.index.condemned:
                seen.problems.append(f"pack {pack.hex()} is missing")
            return seen
        seen.size_bytes = len(data)
        if data[: PACK_HEADER.size] != pack_header(pack):
            seen.problems.append(f"the header of pack {pack.hex()} is damaged")
        try:
            listing = listing_of(self._repository.codec, pack, data)
        except EngineError as error:
            seen.problems.append(str(error))
            listing = self._listing_from_index(pack)
        seen.blocks = len(listing)
        for block_id, found in open_pack(self._repository.codec, listing, data):
            if isinstance(found, EngineError):
                seen.bad.append(block_id)
                seen.problems.append(f"pack {pack.hex()}: {found}")
        for entry in listing:
            if Place(pack, entry.offset_bytes, entry.length_bytes) not in self._repository.index.find_all(
                entry.block_id
            ):
                seen.problems.append(f"the index does not have block {entry.block_id.hex()} of pack {pack.hex()}")
        return seen

    def _listing_from_index(self, pack: PackId) -> PackListing:
        for segment in self._repository.index.segments_naming(frozenset([pack])):
            for listing in self._repository.index.read_segment(segment):
                if listing.pack_id == pack:
                    return listing
        return PackListing(pack, 0, b"")


@dataclass(slots=True)
class _PackCheck:
    pack_id: PackId
    size_bytes: int = 0
    blocks: int = 0
    bad: list[BlockId] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Walk:
    """Follows every backup from its record to each of its blocks."""

    def __init__(
        self,
        repository: Repository,
        broken: dict[PackId, int],
        bad: frozenset[tuple[PackId, BlockId]],
        checkpoint: Checkpoint,
    ) -> None:
        self._repository = repository
        self._broken = broken
        self._bad = bad
        self._checkpoint = checkpoint
        self._good_pages: set[BlockId] = set()

    def walk(self, report: CheckReport) -> None:
        """Put every backup among the whole or the damaged ones."""
        for info in self._repository.store.list(BACKUPS):
            backup_id = info.name[len(BACKUPS) :]
            try:
                tree = self._repository.load_backup(backup_id).tree
            except BackupMissing:
                continue  # deleted meanwhile
            except EngineError as error:
                report.problems.append(str(error))
                report.damaged[backup_id] = []
                continue
            ranges = list(self._damaged_ranges(tree))
            if ranges:
                report.damaged[backup_id] = ranges
            else:
                report.whole.append(backup_id)

    def _damaged_ranges(self, tree: Tree) -> Iterator[ByteRange]:
        """What of the volume cannot be restored; neighbours as one range."""
        start = end = 0
        for leaf in leaves(tree, self._read_good):
            self._checkpoint()
            if leaf.is_zero or leaf.page_id in self._good_pages:
                continue
            blocks = range(leaf.first_block, leaf.first_block + leaf.count)
            if leaf.ids is None:
                damaged = list(blocks)
            else:
                damaged = [
                    block for block, block_id in zip(blocks, leaf.ids, strict=True) if not self._is_good(block_id)
                ]
            if not damaged:
                self._good_pages.add(leaf.page_id)
            for block in damaged:
                offset = block * tree.shape.block_bytes
                if offset != end:
                    if end > start:
                        yield ByteRange(start, end - start)
                    start = offset
                end = offset + tree.shape.block_length(block)
        if end > start:
            yield ByteRange(start, end - start)

    def _is_good(self, block_id: BlockId) -> bool:
        return block_id == ZERO_ID or any(
            place.offset_bytes + place.length_bytes <= self._broken.get(place.pack_id, PACK_BYTES_MAX)
            and (place.pack_id, block_id) not in self._bad
            for place in self._repository.index.find_all(block_id)
        )

    def _read_good(self, ids: list[BlockId]) -> dict[BlockId, bytes]:
        return {
            page_id: page
            for page_id, page in try_read_blocks(self._repository, ids)
            if not isinstance(page, EngineError)
        }
