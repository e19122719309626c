"""Which backups damage in the store affects, and which bytes of their volumes."""

from collections.abc import Iterator

from openvbs.engine.check_report import ByteRange, CheckReport
from openvbs.engine.damage import note_of
from openvbs.engine.errors import BackupMissing, BlockDamaged, EngineError
from openvbs.engine.format import PACK_BYTES_MAX
from openvbs.engine.ids import ZERO_ID, BlockId, PackId
from openvbs.engine.progress import Checkpoint
from openvbs.engine.reader import try_read_blocks
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, leaves


class Walk:
    """Follows backups from their records to each of their blocks."""

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

    def walk(self, backup_ids: list[str], report: CheckReport) -> None:
        """Put every backup among the whole or the damaged ones."""
        for backup_id in backup_ids:
            try:
                tree = self._repository.load_backup(backup_id).tree
            except BackupMissing:
                continue  # deleted meanwhile
            except EngineError as error:
                report.note(str(error))
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
        """Those that are good. What is damaged is noted, so that the next backup of the volume stores it anew."""
        good = {}
        for page_id, page in try_read_blocks(self._repository, ids):
            if isinstance(page, BlockDamaged):
                self._repository.note_damage(note_of(page))
            elif not isinstance(page, EngineError):
                good[page_id] = page
        return good
