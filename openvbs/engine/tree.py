"""The shape of one backup: ids in volume order, cut into pages, page ids cut into pages again, up to one root."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from openvbs.engine.errors import Corrupt
from openvbs.engine.format import ID_BYTES, PAGE_IDS_MAX
from openvbs.engine.ids import ZERO_ID, BlockId

StorePage = Callable[[bytes], BlockId]
"""Makes sure that a page is stored, or will be before the commit, and gives its page id."""
ReadPages = Callable[[list[BlockId]], dict[BlockId, bytes]]
"""Reads pages and gives them by id. Whether it raises or leaves out what cannot be read is its own choice."""

LOST_ID = BlockId(b"")
"""Stands for a page whose id is not known because the page above it could not be read."""


@dataclass(frozen=True, slots=True)
class TreeShape:
    """How many blocks and pages a volume has; follows from its size alone."""

    size_bytes: int
    block_bytes: int

    @property
    def blocks(self) -> int:
        """Number of blocks; the last one may be shorter."""
        return -(-self.size_bytes // self.block_bytes)

    @property
    def height(self) -> int:
        """Levels of pages above the blocks, at least 1."""
        height, reach = 1, PAGE_IDS_MAX
        while reach < self.blocks:
            height, reach = height + 1, reach * PAGE_IDS_MAX
        return height

    def level_ids(self, level: int) -> int:
        """Number of ids at a level; level 0 are the blocks."""
        count = self.blocks
        for _ in range(level):
            count = -(-count // PAGE_IDS_MAX)
        return count

    def block_length(self, block: int) -> int:
        """Bytes of the block with this number."""
        return min(self.block_bytes, self.size_bytes - block * self.block_bytes)


@dataclass(frozen=True, slots=True)
class Tree:
    """A stored tree: its shape and its root page."""

    shape: TreeShape
    root: BlockId


class TreeBuilder:
    """Takes the id of every block once, in any order and from any thread, and stores pages as they fill."""

    def __init__(self, shape: TreeShape, store_page: StorePage) -> None:
        self._shape = shape
        self._store_page = store_page
        self._lock = threading.Lock()
        self._open: dict[int, _OpenPage] = {}
        self._leaves = bytearray(shape.level_ids(1) * ID_BYTES)

    def put(self, first_block: int, ids: list[BlockId]) -> None:
        """Set the ids of consecutive blocks that lie in one page."""
        self._fill(first_block, b"".join(ids))

    def put_zeros(self, first_block: int, count: int) -> None:
        """Consecutive blocks are all zeros; they may span any number of pages, and whole ones cost nothing."""
        for page, start, length in self._pages(first_block, count):
            if length < self._page_ids(page):
                self._fill(start, bytes(length * ID_BYTES))

    def put_page(self, page: int, page_id: BlockId) -> None:
        """A whole leaf page is one that is stored already, or zeros."""
        self._leaves[page * ID_BYTES : (page + 1) * ID_BYTES] = page_id

    def finish(self) -> Tree:
        """Store the upper pages and give the tree. Every block must have been put."""
        assert not self._open, "some blocks were never put"
        level = bytes(self._leaves)
        for _ in range(self._shape.height - 1):
            level = b"".join(self._page_id(page) for page in _cut(level))
        return Tree(self._shape, BlockId(level) if level else ZERO_ID)

    def _fill(self, first_block: int, ids: bytes) -> None:
        page, start = divmod(first_block, PAGE_IDS_MAX)
        with self._lock:
            filling = self._open.get(page)
            if filling is None:
                filling = self._open[page] = _OpenPage(self._page_ids(page))
            filling.ids[start * ID_BYTES : start * ID_BYTES + len(ids)] = ids
            filling.missing -= len(ids) // ID_BYTES
            if filling.missing:
                return
            del self._open[page]
        # Outside the lock: storing a page may wait for a pack to be written.
        self.put_page(page, self._page_id(bytes(filling.ids)))

    def _page_id(self, page: bytes) -> BlockId:
        return self._store_page(page) if page.strip(b"\0") else ZERO_ID

    def _page_ids(self, page: int) -> int:
        return min(PAGE_IDS_MAX, self._shape.blocks - page * PAGE_IDS_MAX)

    def _pages(self, first_block: int, count: int) -> Iterator[tuple[int, int, int]]:
        return pages_of(first_block, count)


class _OpenPage:
    def __init__(self, ids: int) -> None:
        self.ids = bytearray(ids * ID_BYTES)
        self.missing = ids


def pages_of(first_block: int, count: int) -> Iterator[tuple[int, int, int]]:
    """(page, first block, blocks) of each leaf page that a run of blocks touches."""
    end = first_block + count
    while first_block < end:
        page = first_block // PAGE_IDS_MAX
        length = min(end, (page + 1) * PAGE_IDS_MAX) - first_block
        yield page, first_block, length
        first_block += length


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf page of a tree: the blocks it covers, its id and theirs."""

    first_block: int
    count: int
    page_id: BlockId
    ids: list[BlockId] | None
    """None if the page could not be read; for a page of zeros all are ZERO_ID."""

    @property
    def is_zero(self) -> bool:
        """True if nothing of it is stored."""
        return self.page_id == ZERO_ID


def leaf_page_ids(tree: Tree, read_pages: ReadPages) -> Iterator[tuple[int, list[BlockId]]]:
    """The page ids of the leaves in order, in runs of up to 256: (number of the first leaf, ids).

    Below a page that read_pages does not give they are LOST_ID.
    """
    yield from _descend(tree, read_pages, tree.root, tree.shape.height, 0)


def leaves(tree: Tree, read_pages: ReadPages) -> Iterator[Leaf]:
    """Every leaf page in order."""
    for first_leaf, page_ids in leaf_page_ids(tree, read_pages):
        pages = read_pages([page_id for page_id in page_ids if page_id not in (ZERO_ID, LOST_ID)])
        for leaf, page_id in enumerate(page_ids, first_leaf):
            first_block = leaf * PAGE_IDS_MAX
            count = min(PAGE_IDS_MAX, tree.shape.blocks - first_block)
            if page_id == ZERO_ID:
                yield Leaf(first_block, count, page_id, [ZERO_ID] * count)
            elif page_id in pages:
                yield Leaf(first_block, count, page_id, split_page(pages[page_id], count))
            else:
                yield Leaf(first_block, count, page_id, None)


def split_page(page: bytes, count: int) -> list[BlockId]:
    """The ids of a page that must have this many, or Corrupt."""
    if len(page) != count * ID_BYTES:
        raise Corrupt(f"a page has {len(page)} bytes where {count * ID_BYTES} belong")
    return [BlockId(page[i : i + ID_BYTES]) for i in range(0, len(page), ID_BYTES)]


def _descend(
    tree: Tree, read_pages: ReadPages, page_id: BlockId, level: int, number: int
) -> Iterator[tuple[int, list[BlockId]]]:
    """Leaf ids below the page with this number of this level; level 1 are the leaves."""
    if level == 1:
        if tree.shape.blocks:
            yield number, [page_id]
        return
    first = number * PAGE_IDS_MAX
    count = min(PAGE_IDS_MAX, tree.shape.level_ids(level - 1) - first)
    if page_id in (ZERO_ID, LOST_ID):
        children = [page_id] * count
    else:
        page = read_pages([page_id]).get(page_id)
        children = [LOST_ID] * count if page is None else split_page(page, count)
    if level == 2:
        yield first, children
        return
    for child_number, child in enumerate(children, first):
        yield from _descend(tree, read_pages, child, level - 1, child_number)


def _cut(level: bytes) -> Iterator[bytes]:
    size = PAGE_IDS_MAX * ID_BYTES
    return (level[i : i + size] for i in range(0, len(level), size))
