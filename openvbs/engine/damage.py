"""Notes of blocks that are known to be lost or damaged where they lie: one object per pack, for all who open the store.

A note takes nothing away. A writer that has what it names stores it anew, and who deletes packs does not count on it.
Who reads tries it last, since the store may have been mended; so a check says what it sees, not what is noted.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from openvbs.engine.codec import Codec
from openvbs.engine.errors import BlockDamaged, EngineError
from openvbs.engine.format import DAMAGE, ObjectKind, damage_name, parse_damage_name
from openvbs.engine.ids import BlockId, PackId
from openvbs.stores.base import ObjectMissing, Store

Blocks = frozenset[BlockId] | None
"""Damaged blocks of a pack; None means all that is in it."""
Damage = Mapping[PackId, Blocks]

_THREADS = 8


class DamageContent(msgspec.Struct):
    blocks: list[str] | None


def read_damage(store: Store, codec: Codec) -> dict[PackId, Blocks]:
    """All notes in the store, as of now."""
    packs = [pack for info in store.list(DAMAGE) if (pack := parse_damage_name(info.name)) is not None]
    if not packs:
        return {}
    with ThreadPoolExecutor(_THREADS) as pool:
        read = pool.map(lambda pack: _read_note(store, codec, pack), packs)
        return {pack: blocks for pack, blocks in zip(packs, read, strict=True) if blocks is None or blocks}


def add_damage(store: Store, codec: Codec, damage: Damage) -> dict[PackId, Blocks]:
    """Add to what is noted, durably; what is noted of these packs then.

    Joined with what the store says now: others note too. Of two who note of one pack in the very same moment, one note
    may be lost; the next who meets that damage notes it again.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        notes = pool.map(lambda pack: _add_to_note(store, codec, pack, damage[pack]), damage)
        return dict(zip(damage, notes, strict=True))


def drop_damage(store: Store, packs: Iterable[PackId]) -> None:
    """Take notes back, durably."""
    for pack in packs:
        store.delete(damage_name(pack))


def joined(one: Blocks, other: Blocks) -> Blocks:
    """Blocks that either names."""
    return None if one is None or other is None else one | other


def note_of(error: BlockDamaged) -> Damage:
    """What such an error says, to be noted."""
    return {PackId(pack): frozenset([BlockId(error.block_id)]) for pack in error.packs}


def _add_to_note(store: Store, codec: Codec, pack: PackId, more: Blocks) -> Blocks:
    blocks = joined(more, _read_note(store, codec, pack))
    name = damage_name(pack)
    content = DamageContent(None if blocks is None else sorted(block.hex() for block in blocks))
    store.put(name, codec.seal_object(name, ObjectKind.DAMAGE, msgspec.json.encode(content)))
    return blocks


def _read_note(store: Store, codec: Codec, pack: PackId) -> Blocks:
    """What is noted. A note that cannot be read itself counts against all of the pack: that costs only space."""
    name = damage_name(pack)
    try:
        content = msgspec.json.decode(codec.open_object(name, ObjectKind.DAMAGE, store.get(name)), type=DamageContent)
        return None if content.blocks is None else frozenset(BlockId(bytes.fromhex(text)) for text in content.blocks)
    except ObjectMissing:
        return frozenset()  # taken back just now
    except (EngineError, msgspec.DecodeError, ValueError):
        return None
