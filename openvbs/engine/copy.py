"""From a backup of one repository to a backup of another: opened and verified with one key, sealed with the other."""

import threading
from collections import OrderedDict
from collections.abc import Iterator

from openvbs.engine.backup import back_up
from openvbs.engine.facts import BackupFacts, BackupRecord
from openvbs.engine.format import PAGE_IDS_MAX
from openvbs.engine.ids import ZERO_ID, BlockId
from openvbs.engine.progress import Checkpoint, OnProgress, ignore_progress, never_stop
from openvbs.engine.reader import read_blocks, read_pages
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, leaf_page_ids, split_page
from openvbs.sources.base import Extent, ExtentKind

_PAGES_KEPT = 16


def copy_backup(
    source: Repository,
    backup_id: str,
    target: Repository,
    facts: BackupFacts,
    *,
    on_progress: OnProgress = ignore_progress,
    checkpoint: Checkpoint = never_stop,
) -> BackupRecord:
    """Store the source's backup in the target under other facts, as a backup of its own; what is there stays unwritten.

    Each block is verified before it is stored (I9). Stopped or failed, what was stored is found by the next try; if the
    target has a backup of the facts' id already, that one is given.
    """
    with source.working("copy") as lease:
        volume = _StoredVolume(source, source.load_backup(backup_id).tree)

        def check() -> None:
            lease.check()
            checkpoint()

        return back_up(target, volume, facts, on_progress=on_progress, checkpoint=check)


class _StoredVolume:
    """A Source whose volume is a backup. The caller holds a lease on its repository."""

    def __init__(self, repository: Repository, tree: Tree) -> None:
        self.size_bytes = tree.shape.size_bytes
        self._repository = repository
        self._shape = tree.shape
        self._pages = [page for _, ids in leaf_page_ids(tree, self._read_pages) for page in ids]
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, list[BlockId]] = OrderedDict()

    def extents(self) -> Iterator[Extent]:
        """Data and zeros, block by block where a page has both; nothing of the data is read."""
        for page, page_id in enumerate(self._pages):
            ids = [] if page_id == ZERO_ID else self._ids_of(page)
            start, end = page * PAGE_IDS_MAX, min((page + 1) * PAGE_IDS_MAX, self._shape.blocks)
            while start < end:
                stop = start + 1
                is_zero = not ids or ids[start % PAGE_IDS_MAX] == ZERO_ID
                while stop < end and (not ids or (ids[stop % PAGE_IDS_MAX] == ZERO_ID) == is_zero):
                    stop += 1
                offset = start * self._shape.block_bytes
                length = min(stop * self._shape.block_bytes, self.size_bytes) - offset
                yield Extent(offset, length, ExtentKind.ZERO if is_zero else ExtentKind.DATA)
                start = stop

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Verified bytes, or the EngineError that says what is wrong with the backup."""
        size = self._shape.block_bytes
        end_bytes = offset_bytes + len(buffer)
        wanted: dict[BlockId, list[int]] = {}
        for block in range(offset_bytes // size, -(-end_bytes // size)):
            wanted.setdefault(self._id_of(block), []).append(block)
        for block in wanted.pop(ZERO_ID, []):
            self._put(block, bytes(self._shape.block_length(block)), offset_bytes, buffer)
        for block_id, data in read_blocks(self._repository, wanted):
            for block in wanted[block_id]:
                self._put(block, data, offset_bytes, buffer)

    def close(self) -> None:
        """Nothing is held."""

    def _put(self, block: int, data: bytes, offset_bytes: int, buffer: memoryview) -> None:
        """What of the block the buffer is to hold: repositories may differ in the size of their blocks."""
        start = block * self._shape.block_bytes - offset_bytes
        first, last = max(start, 0), min(start + len(data), len(buffer))
        buffer[first:last] = data[first - start : last - start]

    def _id_of(self, block: int) -> BlockId:
        page = block // PAGE_IDS_MAX
        return ZERO_ID if self._pages[page] == ZERO_ID else self._ids_of(page)[block % PAGE_IDS_MAX]

    def _ids_of(self, page: int) -> list[BlockId]:
        with self._lock:
            ids = self._kept.pop(page, None)
        if ids is None:
            count = min(PAGE_IDS_MAX, self._shape.blocks - page * PAGE_IDS_MAX)
            page_id = self._pages[page]
            ids = split_page(self._read_pages([page_id])[page_id], count)
        with self._lock:
            self._kept[page] = ids  # the last one is the one used last
            while len(self._kept) > _PAGES_KEPT:
                self._kept.popitem(last=False)
        return ids

    def _read_pages(self, ids: list[BlockId]) -> dict[BlockId, bytes]:
        return read_pages(self._repository, ids)
