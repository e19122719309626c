"""Two numbers about every pack, sorted by pack id, in 32 bytes each: a million packs must fit in memory."""

import operator
import struct
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby
from typing import NamedTuple, TypeVar

from openvbs.engine.ids import PackId

_ROW = struct.Struct("<16sQQ")
_CHUNK_ROWS = 65536
_Listed = TypeVar("_Listed")


class PackNumbers(NamedTuple):
    """Two numbers about a pack; what they mean is for who made the table to say."""

    pack_id: PackId
    first: int
    second: int


class PackTable:
    """Rows in order of pack id, which is the order in which stores list packs."""

    def __init__(
        self, rows: Iterable[tuple[PackId, int, int]], joined: Callable[[int, int], int] = operator.add
    ) -> None:
        """Rows may come in any order; of those of one pack each number is the sum, or is joined like this."""
        self._joined = joined
        self._chunks: list[bytes] = []
        chunk: list[bytes] = []
        for row in rows:
            chunk.append(_ROW.pack(*row))
            if len(chunk) == _CHUNK_ROWS:
                self._chunks.append(b"".join(sorted(chunk)))
                chunk = []
        self._chunks.append(b"".join(sorted(chunk)))

    def __iter__(self) -> Iterator[PackNumbers]:
        rows = merge(*(_ROW.iter_unpack(chunk) for chunk in self._chunks))
        for pack_id, same in groupby(rows, key=lambda row: row[0]):
            first = second = 0
            for _pack_id, more_first, more_second in same:
                first, second = self._joined(first, more_first), self._joined(second, more_second)
            yield PackNumbers(PackId(pack_id), first, second)


def side_by_side(
    table: Iterable[PackNumbers], listed: Iterable[tuple[PackId, _Listed]]
) -> Iterator[tuple[PackId, PackNumbers | None, _Listed | None]]:
    """Every pack of either, both in order of pack id: its row or None, and what is listed of it or None."""
    rows, others = iter(table), iter(listed)
    row, other = next(rows, None), next(others, None)
    while row is not None or other is not None:
        if other is None or (row is not None and row.pack_id < other[0]):
            assert row is not None
            yield row.pack_id, row, None
            row = next(rows, None)
        elif row is None or other[0] < row.pack_id:
            yield other[0], None, other[1]
            other = next(others, None)
        else:
            yield row.pack_id, row, other[1]
            row, other = next(rows, None), next(others, None)
