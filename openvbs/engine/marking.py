"""Which packs the backups need: every tree is walked once, and every id found is marked where it lies."""

from array import array
from collections.abc import Iterator

from openvbs.engine.errors import BackupMissing, BlockMissing, Corrupt
from openvbs.engine.format import BACKUPS
from openvbs.engine.ids import ZERO_ID, BlockId, PackId
from openvbs.engine.pack_table import PackTable
from openvbs.engine.presence import unstored_packs
from openvbs.engine.progress import Checkpoint
from openvbs.engine.reader import read_pages
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, leaves

_CHECKPOINT_IDS = 4096


def refuse_damage(repository: Repository) -> None:
    """Corrupt if a segment of the index is missing, so that needed packs would look unneeded, or a collection is."""
    repository.refuse_unknown_condemned()
    for segment, error in repository.index.damaged.items():
        raise Corrupt(f"nothing is collected while index segment {segment.hex()} is damaged; repair first") from error


class Marking:
    """What all backups need together, as of the moment that it was made: one bit per entry of the index.

    The caller holds a lease. BlockMissing or Corrupt if a backup is not whole or the index is damaged: then nothing may
    be deleted.
    """

    def __init__(self, repository: Repository, checkpoint: Checkpoint) -> None:
        self._repository = repository
        # Before the index is read: a backup that is committed meanwhile may need what only a later look would find.
        present = [info.name[len(BACKUPS) :] for info in repository.store.list(BACKUPS)]
        repository.refresh()
        refuse_damage(repository)
        self._checkpoint = checkpoint
        self._runs = repository.index.settle()
        # A block that is named there too is needed where it really lies.
        repository.note_damage(dict.fromkeys(unstored_packs(repository)))
        self._condemned = repository.index.condemned
        self._bits = [bytearray(run.entries // 8 + 1) for run in self._runs]
        self._since_checkpoint = 0
        self.needed_condemned: set[PackId] = set()
        """Condemned packs that hold a needed id that no other pack holds (I8)."""
        for backup_id in present:
            try:
                record = repository.load_backup(backup_id)
            except BackupMissing:
                continue  # deleted meanwhile
            self._mark_tree(record.tree)

    def usage(self) -> PackTable:
        """Needed and held bytes of every pack that the index names and that is not condemned."""
        return PackTable(self._usage(), max)

    def _usage(self) -> Iterator[tuple[PackId, int, int]]:
        """Named by two segments, a pack comes twice, and the larger numbers are right.

        Each naming holds all of it, and the one that lookups come to first has every mark.
        """
        for run, bits in zip(self._runs, self._bits, strict=True):
            needed, held = array("Q", bytes(8 * run.packs)), array("Q", bytes(8 * run.packs))
            for position, (number, length) in enumerate(run.places()):
                held[number] += length
                if bits[position >> 3] >> (position & 7) & 1:
                    needed[number] += length
            for number, row in run.pack_rows():
                if row.pack_id not in self._condemned:
                    yield row.pack_id, needed[number], held[number]

    def is_needed_in(self, block_id: BlockId, pack: PackId) -> bool:
        """True if the block is needed and this pack is the one that has it for all backups."""
        for run, bits in zip(self._runs, self._bits, strict=True):
            for position, place in run.find(block_id):
                if place.pack_id == pack and bits[position >> 3] >> (position & 7) & 1:
                    return True
        return False

    def _mark_tree(self, tree: Tree) -> None:
        for leaf in leaves(tree, self._read_unmarked):
            for block_id in leaf.ids or []:
                if block_id != ZERO_ID:
                    self._mark(block_id)
            self._since_checkpoint += leaf.count
            if self._since_checkpoint >= _CHECKPOINT_IDS:
                self._since_checkpoint = 0
                self._checkpoint()

    def _read_unmarked(self, ids: list[BlockId]) -> dict[BlockId, bytes]:
        """Those pages that were not met before; all that lies below the others is marked already."""
        return read_pages(self._repository, [page_id for page_id in ids if self._mark(page_id)])

    def _mark(self, block_id: BlockId) -> bool:
        """Mark where the block lies; True if it was not marked yet.

        One place is enough if it is whole as far as is known, and not condemned. Else every place counts.
        """
        condemned: list[PackId] = []
        damaged: list[tuple[bytearray, int]] = []
        is_damaged = self._repository.index.is_damaged if self._repository.index.damage else _is_not
        for run, bits in zip(self._runs, self._bits, strict=True):
            for position, place in run.find(block_id):
                if place.pack_id in self._condemned:
                    condemned.append(place.pack_id)
                    continue
                mask = 1 << (position & 7)
                if is_damaged(block_id, place.pack_id):
                    damaged.append((bits, position))
                    continue
                was_marked = bits[position >> 3] & mask
                bits[position >> 3] |= mask
                return not was_marked
        if not condemned and not damaged:
            raise BlockMissing(block_id)
        self.needed_condemned.update(condemned)
        was_marked = bool(damaged)
        for bits, position in damaged:
            mask = 1 << (position & 7)
            was_marked = was_marked and bool(bits[position >> 3] & mask)
            bits[position >> 3] |= mask
        return not was_marked


def _is_not(_block_id: BlockId, _pack: PackId) -> bool:
    return False
