"""From a committed backup to a volume: verified, in parallel, writing only what differs."""

import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from openvbs.engine.format import Kind
from openvbs.engine.ids import ZERO_ID, BlockId
from openvbs.engine.leases import Lease
from openvbs.engine.progress import Checkpoint, OnProgress, Progress, ignore_progress, never_stop
from openvbs.engine.reader import read_blocks, read_pages
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, leaves
from openvbs.sources.base import Target, TargetTooSmall
from openvbs.units import KIB, MIB

BATCH_BYTES = 8 * MIB
THREADS_MAX = 8
_WAIT_SECONDS = 0.25
_PAGE_BYTES = 4 * KIB
"""What a restore in place writes at least: file systems change no less."""
_PART_BYTES = 64 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStats:
    """What a restore did; the three parts add up to bytes_total."""

    bytes_total: int
    bytes_written: int
    bytes_skipped: int
    """The target held these already."""
    bytes_zero: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """Consecutive blocks, not all zeros; or, without ids, any number of zero blocks."""

    first_block: int
    count: int
    ids: list[BlockId] | None


def restore(
    repository: Repository,
    backup_id: str,
    target: Target,
    *,
    on_progress: OnProgress = ignore_progress,
    checkpoint: Checkpoint = never_stop,
) -> RestoreStats:
    """Make the first bytes of the target those of the backup, durably; what lies beyond stays as it is.

    Each block is verified before it is written (I9). TargetTooSmall is raised before anything is written. After another
    error the target holds part of the backup.
    """
    with repository.working("restore") as lease:
        tree = repository.load_backup(backup_id).tree
        if target.size_bytes < tree.shape.size_bytes:
            raise TargetTooSmall(
                f"the backup has {tree.shape.size_bytes} bytes and the target only {target.size_bytes}"
            )
        stats = _Restore(repository, tree, target, lease, on_progress=on_progress, checkpoint=checkpoint).run()
        target.flush()
        return stats


class _Restore:
    """One backup on its way to a target."""

    def __init__(
        self,
        repository: Repository,
        tree: Tree,
        target: Target,
        lease: Lease,
        *,
        on_progress: OnProgress,
        checkpoint: Checkpoint,
    ) -> None:
        self._repository = repository
        self._tree = tree
        self._shape = tree.shape
        self._target = target
        self._lease = lease
        self._on_progress = on_progress
        self._checkpoint = checkpoint
        self._batch_blocks = max(1, BATCH_BYTES // self._shape.block_bytes)
        self._threads = min(THREADS_MAX, 2 * (os.cpu_count() or 1))
        self._local = threading.local()
        self._written = self._skipped = self._zero = 0

    def run(self) -> RestoreStats:
        """Restore all blocks; not flushed yet."""
        waiting: set[Future[tuple[int, int, int]]] = set()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="restore")
        try:
            for batch in self._batches():
                if batch.ids is None:
                    size = self._bytes_of(batch.first_block, batch.count)
                    if not self._target.is_blank:
                        self._target.zero(batch.first_block * self._shape.block_bytes, size)
                    self._done([(0, 0, size)])
                    continue
                waiting.add(pool.submit(self._restore_batch, batch.first_block, batch.ids))
                waiting = self._reap(waiting, 2 * self._threads)
            self._reap(waiting, 0)
        finally:
            pool.shutdown(cancel_futures=True)
        return RestoreStats(
            bytes_total=self._shape.size_bytes,
            bytes_written=self._written,
            bytes_skipped=self._skipped,
            bytes_zero=self._zero,
        )

    def _batches(self) -> Iterator[_Batch]:
        for leaf in leaves(self._tree, lambda ids: read_pages(self._repository, ids)):
            if leaf.is_zero:
                yield _Batch(leaf.first_block, leaf.count, None)
                continue
            assert leaf.ids is not None  # read_pages raises rather than leave one out
            for start in range(0, leaf.count, self._batch_blocks):
                yield _Batch(leaf.first_block + start, 0, leaf.ids[start : start + self._batch_blocks])

    def _reap(self, waiting: set[Future[tuple[int, int, int]]], most: int) -> set[Future[tuple[int, int, int]]]:
        while len(waiting) > most:
            finished, waiting = wait(waiting, _WAIT_SECONDS, FIRST_COMPLETED)
            self._done([future.result() for future in finished])
        return waiting

    def _done(self, parts: list[tuple[int, int, int]]) -> None:
        for written, skipped, zero in parts:
            self._written += written
            self._skipped += skipped
            self._zero += zero
        self._lease.check()
        self._on_progress(Progress(self._written + self._skipped + self._zero, self._shape.size_bytes))
        self._checkpoint()

    def _restore_batch(self, first_block: int, ids: list[BlockId]) -> tuple[int, int, int]:
        """Restore consecutive blocks; bytes written, skipped and made zero. Runs in a thread of the pool."""
        zero = self._zero_runs(first_block, ids)
        wanted: dict[BlockId, list[int]] = {}
        for block, block_id in enumerate(ids, first_block):
            if block_id != ZERO_ID:
                wanted.setdefault(block_id, []).append(block)
        skipped = 0 if self._target.is_blank else self._drop_equal(first_block, wanted)
        asked = sum(self._shape.block_length(block) for blocks in wanted.values() for block in blocks)
        written = self._write(first_block, wanted)
        return written, skipped + asked - written, zero

    def _write(self, first_block: int, wanted: dict[BlockId, list[int]]) -> int:
        """Read blocks and write what differs of them, neighbours at once; how many bytes that were.

        Unless the target is blank, the buffer holds what is there now.
        """
        size = self._shape.block_bytes
        buffer = self._buffer()
        changed: list[tuple[int, int]] = []
        for block_id, data in read_blocks(self._repository, wanted):
            for block in wanted[block_id]:
                at = (block - first_block) * size
                whole = [(0, len(data))]
                for start, end in whole if self._target.is_blank else _differing(buffer[at : at + len(data)], data):
                    buffer[at + start : at + end] = data[start:end]
                    changed.append((at + start, at + end))
        written = 0
        for start, end in _joined(sorted(changed)):
            self._target.write(first_block * size + start, buffer[start:end])
            written += end - start
        return written

    def _zero_runs(self, first_block: int, ids: list[BlockId]) -> int:
        """Make the zero blocks zero, neighbours at once; how many bytes they are."""
        total = 0
        start = 0
        for i in range(1, len(ids) + 1):
            if i < len(ids) and (ids[i] == ZERO_ID) == (ids[start] == ZERO_ID):
                continue
            if ids[start] == ZERO_ID:
                size = self._bytes_of(first_block + start, i - start)
                total += size
                if not self._target.is_blank:
                    self._target.zero((first_block + start) * self._shape.block_bytes, size)
            start = i
        return total

    def _drop_equal(self, first_block: int, wanted: dict[BlockId, list[int]]) -> int:
        """Drop the blocks that the target holds already, known by hashing it; how many bytes they are.

        What it holds instead of the others is in the buffer then.
        """
        skipped = 0
        for block_id, blocks in list(wanted.items()):
            differing = []
            for block in blocks:
                size = self._shape.block_length(block)
                at = (block - first_block) * self._shape.block_bytes
                view = self._buffer()[at : at + size]
                self._target.read_into(block * self._shape.block_bytes, view)
                if self._repository.codec.id_of(view, Kind.BLOCK) == block_id:
                    skipped += size
                else:
                    differing.append(block)
            if differing:
                wanted[block_id] = differing
            else:
                del wanted[block_id]
        return skipped

    def _buffer(self) -> memoryview:
        """Room for a batch of this thread. A mapping begins at a page, as writing past the page cache asks for."""
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = memoryview(mmap.mmap(-1, self._batch_blocks * self._shape.block_bytes))
            self._local.buffer = buffer
        return buffer

    def _bytes_of(self, first_block: int, count: int) -> int:
        start = first_block * self._shape.block_bytes
        return min(start + count * self._shape.block_bytes, self._shape.size_bytes) - start


def _differing(old: memoryview, new: bytes) -> Iterator[tuple[int, int]]:
    """Where two blocks of one length differ, in pages: (start, end)."""
    for part in range(0, len(new), _PART_BYTES):
        if old[part : part + _PART_BYTES].tobytes() == new[part : part + _PART_BYTES]:
            continue
        for start in range(part, min(len(new), part + _PART_BYTES), _PAGE_BYTES):
            end = min(len(new), start + _PAGE_BYTES)
            if old[start:end].tobytes() != new[start:end]:
                yield start, end


def _joined(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted ranges, those that touch as one."""
    first = 0
    for i in range(1, len(ranges) + 1):
        if i == len(ranges) or ranges[i][0] != ranges[i - 1][1]:
            yield ranges[first][0], ranges[i - 1][1]
            first = i
