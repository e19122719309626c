"""From the extents of a source to batches of whole blocks. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from openvbs.engine.format import PAGE_IDS_MAX
from openvbs.engine.tree import TreeShape
from openvbs.sources.base import Extent, ExtentKind, SourceError


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive blocks that are dealt with alike."""

    first_block: int
    count: int
    kind: ExtentKind


def runs_of(extents: Iterable[Extent], shape: TreeShape, *, use_hints: bool) -> Iterator[Run]:
    """Runs that cover the volume in order; neighbours differ in kind.

    A block is ZERO or SAME only if all of it is; what is mixed is read. Without hints SAME is read too. SourceError
    if the extents do not cover the volume exactly.
    """
    run: Run | None = None
    for piece in _pieces(extents, shape, use_hints=use_hints):
        if run is not None and run.kind is piece.kind:
            run = Run(run.first_block, run.count + piece.count, run.kind)
            continue
        if run is not None:
            yield run
        run = piece
    if run is not None:
        yield run


def batches_of(run: Run, blocks_max: int) -> Iterator[Run]:
    """The run in batches that end where a page or a multiple of blocks_max (a power of two) ends."""
    step = min(blocks_max, PAGE_IDS_MAX)
    first, end = run.first_block, run.first_block + run.count
    while first < end:
        cut = min(end, (first // step + 1) * step)
        yield Run(first, cut - first, run.kind)
        first = cut


def _pieces(extents: Iterable[Extent], shape: TreeShape, *, use_hints: bool) -> Iterator[Run]:
    """Each block once, in order; the last block of every extent is held back until its kind is certain."""
    position = 0
    held: Run | None = None
    for extent in extents:
        if extent.offset_bytes != position or extent.length_bytes <= 0:
            raise SourceError(f"the source's extents do not join at {position} bytes")
        kind = ExtentKind.DATA if extent.kind is ExtentKind.SAME and not use_hints else extent.kind
        position += extent.length_bytes
        first, last = extent.offset_bytes // shape.block_bytes, (position - 1) // shape.block_bytes
        if held is not None and held.first_block == first:
            held = held if held.kind is kind else Run(first, 1, ExtentKind.DATA)
            if last == first:
                continue
            first += 1
        if held is not None:
            yield held
        if last > first:
            yield Run(first, last - first, kind)
        held = Run(last, 1, kind)
    if held is not None:
        yield held
    if position != shape.size_bytes:
        raise SourceError(f"the source's extents end at {position} of {shape.size_bytes} bytes")
