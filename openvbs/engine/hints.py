"""A sample of what a source says is unchanged, read and compared with the parent, because hints have lied before."""

import heapq
import random
from typing import NamedTuple

from openvbs.engine.chunker import Run
from openvbs.engine.format import PAGE_IDS_MAX, Kind
from openvbs.engine.ids import ZERO_ID, BlockId
from openvbs.engine.parent import Piece
from openvbs.engine.reader import read_pages
from openvbs.engine.repository import Repository
from openvbs.engine.tree import TreeShape, split_page
from openvbs.sources.base import Source

RANDOM_BLOCKS_MAX = 32
"""Hints that leave out a tenth of all blocks are found out by these in 97 of 100 backups."""
EDGE_BLOCKS_MAX = 32
"""Blocks beside what is said to have changed: changes lie together, and maps are wrong at their edges."""

_chooser = random.Random()  # noqa: S311 - no secret hangs on it
"""Seeded by the system; to ask the system for each number would take a tenth of a small backup."""


class _Picked(NamedTuple):
    key: float
    block: int
    page_id: BlockId | None
    block_id: BlockId | None
    """One of the two is known."""


class HintSample:
    """Blocks picked at random from all that were taken over unread. Its size does not grow with the volume."""

    def __init__(self) -> None:
        self._anywhere: list[_Picked] = []
        self._edges: list[_Picked] = []

    def took_over(self, piece: Piece, same: Run) -> None:
        """A piece of a run of unchanged blocks was taken over; before and after the run lies something else."""
        first, count = piece.run.first_block, piece.run.count
        # As if each block drew a key of its own and the greatest keys stay, but drawn in falling order (the greatest of
        # n keys is the n-th root of one), so that the rest of the piece need not be drawn once one is too small.
        key, left, taken = 1.0, count, set[int]()
        while left:
            key *= _chooser.random() ** (1 / left)
            if len(self._anywhere) == RANDOM_BLOCKS_MAX and key < self._anywhere[0].key:
                break
            block = _chooser.choice([block for block in range(first, first + count) if block not in taken])
            taken.add(block)
            _keep(self._anywhere, _pick(piece, key, block), RANDOM_BLOCKS_MAX)
            left -= 1
        for block in {same.first_block, same.first_block + same.count - 1}:
            if first <= block < first + count:
                _keep(self._edges, _pick(piece, _chooser.random(), block), EDGE_BLOCKS_MAX)

    def wrong_blocks(self, repository: Repository, source: Source, shape: TreeShape) -> list[int]:
        """Those blocks of the sample that are not what the parent has."""
        picked = sorted({one.block: one for one in self._anywhere + self._edges}.values(), key=lambda one: one.block)
        pages = read_pages(repository, [one.page_id for one in picked if one.page_id not in (None, ZERO_ID)])
        buffer, zeros = bytearray(shape.block_bytes), bytes(shape.block_bytes)
        wrong = []
        for one in picked:
            size = shape.block_length(one.block)
            view = memoryview(buffer)[:size]
            source.read_into(one.block * shape.block_bytes, view)
            is_zero = buffer.startswith(zeros[:size])
            block_id = ZERO_ID if is_zero else repository.codec.id_of(view, Kind.BLOCK)
            if block_id != _expected(one, pages, shape):
                wrong.append(one.block)
        return wrong


def _pick(piece: Piece, key: float, block: int) -> _Picked:
    block_id = None if piece.ids is None else piece.ids[block - piece.run.first_block]
    return _Picked(key, block, piece.page_id, block_id)


def _keep(kept: list[_Picked], one: _Picked, most: int) -> None:
    """Keep the most with the greatest keys."""
    if len(kept) < most:
        heapq.heappush(kept, one)
    elif one.key > kept[0].key:
        heapq.heapreplace(kept, one)


def _expected(one: _Picked, pages: dict[BlockId, bytes], shape: TreeShape) -> BlockId:
    if one.block_id is not None:
        return one.block_id
    assert one.page_id is not None
    if one.page_id == ZERO_ID:
        return ZERO_ID
    page, number = divmod(one.block, PAGE_IDS_MAX)
    count = min(PAGE_IDS_MAX, shape.blocks - page * PAGE_IDS_MAX)
    return split_page(pages[one.page_id], count)[number]
