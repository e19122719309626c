"""What changed since an earlier state, joined with what a volume holds now."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from openvbs.sources.base import Extent, ExtentKind, Source, SourceError


class ByteRange(NamedTuple):
    """Consecutive bytes of a volume, never none."""

    offset_bytes: int
    length_bytes: int


class HintedSource:
    """A source of which somebody knows what changed since the parent backup; all else is SAME.

    ``changed`` is called anew for every walk over the extents and gives ranges in order, without overlap, inside the
    volume. It may name too much, never too little; engine/hints.py looks at a sample of what it leaves out.
    """

    def __init__(self, source: Source, changed: Callable[[], Iterable[ByteRange]]) -> None:
        self.size_bytes = source.size_bytes
        self._source = source
        self._changed = changed

    def extents(self) -> Iterator[Extent]:
        ranges = self._checked_ranges()
        changed = next(ranges, None)
        for extent in self._source.extents():
            position, end = extent.offset_bytes, extent.offset_bytes + extent.length_bytes
            while position < end:
                while changed is not None and sum(changed) <= position:
                    changed = next(ranges, None)
                start = end if changed is None else min(end, changed.offset_bytes)
                if position < start:
                    yield Extent(position, start - position, ExtentKind.SAME)
                    position = start
                if changed is not None and position < end:
                    cut = min(end, sum(changed))
                    yield Extent(position, cut - position, extent.kind)
                    position = cut

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._source.read_into(offset_bytes, buffer)

    def close(self) -> None:
        self._source.close()

    def _checked_ranges(self) -> Iterator[ByteRange]:
        position = 0
        for changed in self._changed():
            if changed.offset_bytes < position or changed.length_bytes <= 0 or sum(changed) > self.size_bytes:
                raise SourceError(f"the changed range {tuple(changed)} is empty, out of order or outside the volume")
            position = sum(changed)
            yield changed
