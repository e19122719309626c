"""Proofs, before a commit, that what a backup needs is in the store."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor

from openvbs.engine.damage import note_of
from openvbs.engine.errors import BlockDamaged, BlockMissing, MustUploadAgain
from openvbs.engine.format import PACKS, pack_name, parse_pack_name
from openvbs.engine.ids import ZERO_ID, BlockId, PackId
from openvbs.engine.pack_table import PackTable, side_by_side
from openvbs.engine.reader import read_pages
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, leaves
from openvbs.stores.base import ObjectInfo, ObjectMissing

ASKED_ONE_BY_ONE_MAX = 1000
"""More packs than this are looked for in one listing instead."""
_THREADS = 8


def stored_packs(repository: Repository) -> Iterator[tuple[PackId, ObjectInfo]]:
    """Every pack in the store, in order of pack id; what is not named like a pack is passed by."""
    for info in repository.store.list(PACKS):
        if (pack := parse_pack_name(info.name)) is not None:
            yield pack, info


def lost_packs(repository: Repository, packs: AbstractSet[PackId]) -> frozenset[PackId]:
    """Those of the packs that are not in the store."""
    if len(packs) > ASKED_ONE_BY_ONE_MAX:
        return frozenset(packs).difference(pack for pack, _ in stored_packs(repository))
    ordered = list(packs)
    with ThreadPoolExecutor(_THREADS) as pool:
        present = list(pool.map(lambda pack: _is_stored(repository, pack), ordered))
    return frozenset(pack for pack, is_stored in zip(ordered, present, strict=True) if not is_stored)


def unstored_packs(repository: Repository) -> list[PackId]:
    """Packs that the index names and that are not in the store.

    A writer that stood still while its packs were collected may name them afterwards.
    """
    named = PackTable((row.pack_id, 0, 0) for row in repository.index.pack_rows())
    # Listed after the index was read, so that packs that came meanwhile are not among those named (I2).
    return [pack for pack, _, info in side_by_side(named, stored_packs(repository)) if info is None]


def prove_tree(repository: Repository, tree: Tree) -> None:
    """MustUploadAgain unless every block and page of the tree lies in a pack that is stored and not condemned.

    The caller holds a lease since before the index was read.
    """
    repository.refuse_unknown_condemned()
    packs: set[PackId] = set()

    def prove(ids: list[BlockId]) -> None:
        for block_id in ids:
            if block_id != ZERO_ID:
                place = repository.index.find_lasting(block_id)
                if place is None:
                    raise MustUploadAgain(f"block {block_id.hex()} has gone since the upload")
                packs.add(place.pack_id)

    def read_proven(ids: list[BlockId]) -> dict[BlockId, bytes]:
        prove(ids)
        try:
            return read_pages(repository, ids)
        except BlockMissing as error:
            raise MustUploadAgain(str(error)) from error
        except BlockDamaged as error:
            repository.note_damage(note_of(error))  # or the next upload would find it to be stored
            raise MustUploadAgain(str(error)) from error

    for leaf in leaves(tree, read_proven):
        prove(leaf.ids or [])
    if lost := lost_packs(repository, packs):
        repository.note_damage(dict.fromkeys(lost))
        raise MustUploadAgain(f"{len(lost)} packs have gone since the upload")


def _is_stored(repository: Repository, pack: PackId) -> bool:
    try:
        repository.store.stat(pack_name(pack))
    except ObjectMissing:
        return False
    return True
