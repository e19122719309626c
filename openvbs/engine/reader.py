"""Reads blocks and pages from packs: neighbours in one request, every one verified."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from openvbs.engine.errors import BlockDamaged, BlockMissing, Corrupt, EngineError
from openvbs.engine.format import pack_name
from openvbs.engine.ids import BlockId
from openvbs.engine.index_run import Place
from openvbs.engine.repository import Repository
from openvbs.stores.base import ObjectMissing, ObjectTooShort
from openvbs.units import KIB, MIB

GAP_BYTES_MAX = 256 * KIB
"""Bytes between two blocks that are rather read and dropped than asked around."""
RANGE_BYTES_MAX = 8 * MIB
"""Sealed bytes that one request brings at most, unless a single block is larger."""

_Placed = tuple[Place, BlockId]


def read_blocks(repository: Repository, ids: Iterable[BlockId]) -> Iterator[tuple[BlockId, bytes]]:
    """Each different id once, in the order of the packs, with its verified bytes (I9); or what is wrong is raised."""
    for block_id, result in try_read_blocks(repository, ids):
        if isinstance(result, EngineError):
            raise result
        yield block_id, result


def read_pages(repository: Repository, ids: list[BlockId]) -> dict[BlockId, bytes]:
    """Pages by their ids."""
    return dict(read_blocks(repository, ids))


def try_read_blocks(repository: Repository, ids: Iterable[BlockId]) -> Iterator[tuple[BlockId, bytes | EngineError]]:
    """Like read_blocks, but a block that is missing or damaged wherever it lies comes as the error that says so."""
    placed: list[_Placed] = []
    for block_id in set(ids):
        place = repository.index.find(block_id)
        if place is None:
            yield block_id, BlockMissing(block_id)
        else:
            placed.append((place, block_id))
    placed.sort()
    for _pack, group in groupby(placed, key=lambda item: item[0].pack_id):
        for together in _ranges(list(group)):
            for place, block_id, result in _read_range(repository, together):
                yield block_id, _read_elsewhere(repository, block_id, place, result)


def _read_elsewhere(
    repository: Repository, block_id: BlockId, first: Place, found: bytes | EngineError
) -> bytes | EngineError:
    """What was found at the first place, or the block from another one if it was bad there and lies in several."""
    if not isinstance(found, EngineError):
        return found
    places = set(repository.index.find_all(block_id)) | {first}
    for place in sorted(places - {first}):
        for _place, _id, result in _read_range(repository, [(place, block_id)]):
            if not isinstance(result, EngineError):
                return result
    if isinstance(found, Corrupt):
        return BlockDamaged(str(found), block_id, frozenset(place.pack_id for place in places))
    return found


def _ranges(placed: list[_Placed]) -> Iterator[list[_Placed]]:
    """Sorted places of one pack, cut where a gap or the total becomes too large."""
    start = 0
    for i in range(1, len(placed)):
        end = placed[i - 1][0].offset_bytes + placed[i - 1][0].length_bytes
        place = placed[i][0]
        is_far = place.offset_bytes - end > GAP_BYTES_MAX
        if is_far or place.offset_bytes + place.length_bytes - placed[start][0].offset_bytes > RANGE_BYTES_MAX:
            yield placed[start:i]
            start = i
    yield placed[start:]


def _read_range(repository: Repository, placed: list[_Placed]) -> Iterator[tuple[Place, BlockId, bytes | EngineError]]:
    first, last = placed[0][0], placed[-1][0]
    start = first.offset_bytes
    name = pack_name(first.pack_id)
    try:
        data = memoryview(repository.store.get(name, start, last.offset_bytes + last.length_bytes - start))
    except (ObjectMissing, ObjectTooShort) as error:
        if len(placed) > 1 and isinstance(error, ObjectTooShort):
            # The pack is cut off; the blocks before the cut are good.
            for one in placed:
                yield from _read_range(repository, [one])
            return
        for place, block_id in placed:
            yield place, block_id, Corrupt(f"block {block_id.hex()} cannot be read: {error}")
        return
    cipher = repository.codec.keys.pack_cipher(first.pack_id)
    for place, block_id in placed:
        stored = data[place.offset_bytes - start : place.offset_bytes - start + place.length_bytes]
        try:
            yield place, block_id, repository.codec.open_block(stored, wanted=block_id, cipher=cipher)
        except EngineError as error:
            yield place, block_id, error
