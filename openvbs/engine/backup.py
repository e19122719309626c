"""From a frozen volume to a committed backup."""

import logging
import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from openvbs.engine.chunker import Run, batches_of, runs_of
from openvbs.engine.damage import note_of
from openvbs.engine.errors import BackupExists, BackupMissing, BlockDamaged, BlockMissing, Corrupt, MustUploadAgain
from openvbs.engine.facts import BackupFacts, BackupRecord, BackupStats
from openvbs.engine.format import Kind
from openvbs.engine.hints import HintSample
from openvbs.engine.ids import ZERO_ID, BlockId
from openvbs.engine.leases import Lease
from openvbs.engine.packing import Packing
from openvbs.engine.parent import ParentTree
from openvbs.engine.presence import lost_packs, prove_tree
from openvbs.engine.progress import Checkpoint, OnProgress, Progress, ignore_progress, never_stop
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, TreeBuilder, TreeShape
from openvbs.errors import OpenVbsError
from openvbs.sources.base import ExtentKind, Source
from openvbs.stores.base import NameTaken
from openvbs.units import MIB

BATCH_BYTES_MAX = 8 * MIB
"""What a thread reads, hashes and seals at a time; blocks of a batch lie together in one pack."""
BUFFER_BYTES_MAX = 32 * MIB
"""Batches of all threads."""
THREADS_MAX = 8
_WAIT_SECONDS = 0.25
_TRIES_MAX = 4

_log = logging.getLogger(__name__)


def back_up(
    repository: Repository,
    source: Source,
    facts: BackupFacts,
    *,
    parent: str | None = None,
    on_progress: OnProgress = ignore_progress,
    checkpoint: Checkpoint = never_stop,
) -> BackupRecord:
    """Store the volume, durably, and commit. If a backup of this id was committed already, that one is given.

    Unless facts.full, what the source says is the same as in the parent is taken over unread. If a sample of it shows
    that this is not true, all is read, and stats.hints_wrong says so. If the work is stopped or fails, what was stored
    is found again by the next try. LeaseLapsed may leave a backup that is not whole: the caller tries again under the
    same id, which proves or mends it, or removes it.
    """
    if present := earlier_commit(repository, facts.backup_id):
        return present
    with repository.working("backup") as lease:
        volume = _Upload(repository, source, lease, on_progress, checkpoint)
        tree, stats = volume.run(None if facts.full else parent)
        return _commit(repository, BackupRecord(facts, stats, tree), lease)


def earlier_commit(repository: Repository, backup_id: str) -> BackupRecord | None:
    """The backup that an earlier try of the same work committed, proven to be whole; None if it must be made (again).

    It is not whole if that try stood still for minutes just before its commit, while a collection took what it relied
    on, and died just after. Nobody was told of it; storing the same blocks again mends it.
    """
    try:
        record = repository.load_backup(backup_id)
    except BackupMissing:
        return None
    with repository.working("commit"):
        try:
            prove_tree(repository, record.tree)
        except MustUploadAgain as error:
            _log.warning("what an earlier try committed as %s is not whole and is made again: %s", backup_id, error)
            return None
    return record


def _commit(repository: Repository, record: BackupRecord, lease: Lease) -> BackupRecord:
    lease.check_stored()
    try:
        repository.create_backup(record)
    except NameTaken as error:
        # Perhaps by our own earlier try, the answer to which was lost.
        present = repository.load_backup(record.facts.backup_id)
        if present.tree != record.tree:
            raise BackupExists(f"another backup {record.facts.backup_id} exists already") from error
        record = present
    # Who stood still for minutes before the creation may have lost blocks by now. If the lease is still there, every
    # collection that does not count on it walks this backup first (I10). It is not removed here: another worker may
    # have taken this work over and told people of the backup meanwhile.
    lease.check_stored()
    return record


class _Upload:
    """One volume on its way into the repository."""

    def __init__(
        self,
        repository: Repository,
        source: Source,
        lease: Lease,
        on_progress: OnProgress,
        checkpoint: Checkpoint,
    ) -> None:
        self._repository = repository
        self._source = source
        self._lease = lease
        self._on_progress = on_progress
        self._checkpoint = checkpoint
        self._shape = TreeShape(source.size_bytes, repository.block_bytes)
        self._threads = min(THREADS_MAX, os.cpu_count() or 1)
        self._batch_blocks = max(1, min(BATCH_BYTES_MAX, BUFFER_BYTES_MAX // self._threads) // repository.block_bytes)
        self._zeros = bytes(repository.block_bytes)
        self._local = threading.local()
        self._stats_lock = threading.Lock()
        self._bytes_done = 0

    def run(self, parent: str | None) -> tuple[Tree, BackupStats]:
        """Upload until every pack that was relied on is proven to be there."""
        self._repository.refuse_unknown_condemned()
        written = BackupStats()
        hints_wrong = 0
        for _ in range(_TRIES_MAX):
            try:
                tree, packing, wrong = self._pass(parent)
            except (BlockMissing, Corrupt) as error:
                if parent is None:
                    raise
                if isinstance(error, BlockDamaged):
                    # Or the same page, built again, would be found to be stored.
                    self._repository.note_damage(note_of(error))
                _log.warning("the tree of the parent backup %s is damaged; all blocks are read", parent, exc_info=True)
                parent = None
                continue
            written = _plus_written(written, packing)
            if wrong:
                _log.warning("the source says that blocks are unchanged which are not (%s); all are read", wrong)
                hints_wrong, parent = len(wrong), None
                continue
            lost = lost_packs(self._repository, packing.reused - packing.written)
            if not lost:
                return tree, replace(
                    self._stats,
                    bytes_stored=written.bytes_stored,
                    object_count=written.object_count,
                    hints_wrong=hints_wrong,
                )
            _log.warning("%d packs are in the index but not in the store; their blocks are stored again", len(lost))
            self._repository.note_damage(dict.fromkeys(lost))
            parent = None  # what was taken over unread may lie in the lost packs
        raise MustUploadAgain("packs keep vanishing from the store while they are relied on; run check")

    def _pass(self, parent: str | None) -> tuple[Tree, Packing, list[int]]:
        """The volume once; also the blocks of a sample that are not what the hints say."""
        self._stats = BackupStats(blocks_total=self._shape.blocks)
        self._bytes_done = 0
        self._hints = HintSample()
        packing = Packing(self._repository, threads=self._threads + 1)
        builder = TreeBuilder(self._shape, packing.store_page)
        try:
            try:
                self._store_blocks(packing, builder, self._open_parent(parent))
                tree = builder.finish()
            except BaseException:
                self._keep_for_next_try(packing)
                raise
            # While the disk has the last packs, the processors have time for the sample.
            with ThreadPoolExecutor(1, thread_name_prefix="sample") as pool:
                sample = pool.submit(self._hints.wrong_blocks, self._repository, self._source, self._shape)
                packing.flush()
            return tree, packing, sample.result()
        finally:
            packing.close()

    def _keep_for_next_try(self, packing: Packing) -> None:
        try:
            packing.flush()
        except OpenVbsError:
            # Why the upload stopped is about to be raised, and it matters more.
            _log.warning("what was uploaded last could not be kept for the next try", exc_info=True)

    def _open_parent(self, parent: str | None) -> ParentTree | None:
        if parent is None:
            return None
        try:
            return ParentTree(self._repository, self._repository.load_backup(parent).tree, self._shape)
        except BackupMissing:
            _log.info("the parent backup %s is gone; the whole volume is read", parent)
            return None

    def _store_blocks(self, packing: Packing, builder: TreeBuilder, parent: ParentTree | None) -> None:
        waiting: set[Future[int]] = set()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="block")
        try:
            for run in runs_of(self._source.extents(), self._shape, use_hints=parent is not None):
                if run.kind is ExtentKind.ZERO:
                    builder.put_zeros(run.first_block, run.count)
                    self._count(blocks_zero=run.count)
                    self._done(self._bytes_of(run))
                    continue
                for data in self._take_over(run, parent, packing, builder):
                    for batch in batches_of(data, self._batch_blocks):
                        waiting.add(pool.submit(self._store_batch, batch, packing, builder))
                        waiting = self._reap(waiting, 2 * self._threads)
            self._reap(waiting, 0)
        finally:
            pool.shutdown(cancel_futures=True)

    def _take_over(self, run: Run, parent: ParentTree | None, packing: Packing, builder: TreeBuilder) -> Iterable[Run]:
        """Put what the parent has; give back what must be read."""
        if run.kind is not ExtentKind.SAME:
            yield run
            return
        assert parent is not None
        for piece in parent.pieces(run):
            if piece.page_id is not None:
                builder.put_page(piece.page, piece.page_id)
            elif piece.ids is not None and (
                parent.may_trust or all(block_id == ZERO_ID or packing.has(block_id) for block_id in piece.ids)
            ):
                builder.put(piece.run.first_block, piece.ids)
            else:
                yield replace(piece.run, kind=ExtentKind.DATA)
                continue
            self._hints.took_over(piece, run)
            self._count(blocks_same=piece.run.count)
            self._done(self._bytes_of(piece.run))

    def _reap(self, waiting: set[Future[int]], most: int) -> set[Future[int]]:
        """Wait until at most this many batches are under way; pass on errors; be stopped."""
        while len(waiting) > most:
            finished, waiting = wait(waiting, _WAIT_SECONDS, FIRST_COMPLETED)
            self._done(sum(future.result() for future in finished))
        return waiting

    def _done(self, size_bytes: int) -> None:
        self._bytes_done += size_bytes
        self._lease.check()
        self._on_progress(Progress(self._bytes_done, self._shape.size_bytes))
        self._checkpoint()

    def _store_batch(self, batch: Run, packing: Packing, builder: TreeBuilder) -> int:
        """Read, hash and store consecutive blocks; their size in bytes. Runs in a thread of the pool."""
        size = self._bytes_of(batch)
        buffer = self._buffer()
        view = memoryview(buffer)[:size]
        self._source.read_into(batch.first_block * self._shape.block_bytes, view)
        ids: list[BlockId] = []
        new: list[tuple[BlockId, memoryview]] = []
        new_bytes = 0
        zero_bytes = 0
        for start in range(0, size, self._shape.block_bytes):
            end = min(size, start + self._shape.block_bytes)
            # A comparison in C that ends at the first byte that is not zero, so it costs other blocks nothing.
            if buffer.startswith(self._zeros[: end - start], start, end):
                ids.append(ZERO_ID)
                zero_bytes += end - start
                continue
            block = view[start:end]
            block_id = self._repository.codec.id_of(block, Kind.BLOCK)
            ids.append(block_id)
            if not packing.has(block_id) and packing.claim(block_id):
                new.append((block_id, block))
                new_bytes += end - start
        if new:
            packing.add_blocks(new)
        builder.put(batch.first_block, ids)
        self._count(
            blocks_zero=ids.count(ZERO_ID),
            bytes_read=size,
            bytes_new=new_bytes,
            bytes_deduplicated=size - new_bytes - zero_bytes,
        )
        return size

    def _buffer(self) -> bytearray:
        buffer = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = bytearray(self._batch_blocks * self._shape.block_bytes)
        return buffer

    def _bytes_of(self, run: Run) -> int:
        end = (run.first_block + run.count) * self._shape.block_bytes
        return min(end, self._shape.size_bytes) - run.first_block * self._shape.block_bytes

    def _count(self, **more: int) -> None:
        with self._stats_lock:
            self._stats = replace(
                self._stats, **{name: getattr(self._stats, name) + value for name, value in more.items()}
            )


def _plus_written(stats: BackupStats, packing: Packing) -> BackupStats:
    return replace(
        stats,
        bytes_stored=stats.bytes_stored + packing.bytes_stored,
        object_count=stats.object_count + len(packing.written),
    )
