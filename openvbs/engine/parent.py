"""What can be taken over from the parent backup where the source says that nothing changed."""

from collections.abc import Iterator
from dataclasses import dataclass

from openvbs.engine.chunker import Run
from openvbs.engine.format import PAGE_IDS_MAX
from openvbs.engine.ids import ZERO_ID, BlockId
from openvbs.engine.reader import read_pages
from openvbs.engine.repository import Repository
from openvbs.engine.tree import Tree, TreeShape, leaf_page_ids, pages_of, split_page


@dataclass(frozen=True, slots=True)
class Piece:
    """Blocks of one page: the whole page by its id, or the blocks by theirs, or neither: then they must be read."""

    run: Run
    page: int
    page_id: BlockId | None
    ids: list[BlockId] | None


class ParentTree:
    """The parent's tree, asked in volume order."""

    def __init__(self, repository: Repository, tree: Tree, shape: TreeShape) -> None:
        """For a new tree of this shape. The caller holds a lease since before the parent was loaded."""
        self._repository = repository
        self._tree = tree
        self._shape = shape
        index = repository.index
        self.may_trust = not index.condemned and not index.damaged and not index.damage
        """False if what the tree names may lie where no writer relies on it: each id must be looked up (I7)."""
        self._leaves = leaf_page_ids(tree, lambda ids: read_pages(repository, ids))
        self._first_leaf = 0
        self._page_ids: list[BlockId] = []

    def pieces(self, run: Run) -> Iterator[Piece]:
        """The run, page by page."""
        for page, first_block, count in pages_of(run.first_block, run.count):
            yield self._piece(page, Run(first_block, count, run.kind))

    def _piece(self, page: int, run: Run) -> Piece:
        old = self._tree.shape
        last = run.first_block + run.count - 1
        if last >= old.blocks or old.block_length(last) != self._shape.block_length(last):
            return Piece(run, page, None, None)
        page_id = self._leaf(page)
        first = page * PAGE_IDS_MAX
        ids_here = min(PAGE_IDS_MAX, self._shape.blocks - first)
        ids_there = min(PAGE_IDS_MAX, old.blocks - first)
        if page_id == ZERO_ID:
            whole = run.count == ids_here
            return Piece(run, page, ZERO_ID, None) if whole else Piece(run, page, None, [ZERO_ID] * run.count)
        if self.may_trust and run.count == ids_here == ids_there:
            return Piece(run, page, page_id, None)
        ids = split_page(read_pages(self._repository, [page_id])[page_id], ids_there)
        start = run.first_block - first
        return Piece(run, page, None, ids[start : start + run.count])

    def _leaf(self, page: int) -> BlockId:
        while page >= self._first_leaf + len(self._page_ids):
            self._first_leaf, self._page_ids = next(self._leaves)
        return self._page_ids[page - self._first_leaf]
