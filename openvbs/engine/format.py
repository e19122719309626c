"""Every magic, struct, limit and version of the stored bytes, as docs/format.md has them. Pure; no I/O."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from openvbs.engine.errors import Corrupt, UnknownFormat
from openvbs.engine.ids import BlockId, PackId
from openvbs.units import KIB, MIB

FORMAT = 1
KEY_VERSION = 1

BLOCK_BYTES_DEFAULT = 512 * KIB
BLOCK_BYTES_MIN = 4 * KIB
BLOCK_BYTES_MAX = 16 * MIB
PAGE_IDS_MAX = 256
ID_BYTES = 32
PAGE_BYTES_MAX = PAGE_IDS_MAX * ID_BYTES
TAG_BYTES = 16
SALT_BYTES = 16
PACK_BYTES_MAX = 128 * MIB
OBJECT_PLAIN_BYTES_MAX = 64 * MIB

HEADER_NAME = "repository.json"
HEADER_MAGIC = "openvbs repository"
PACKS = "packs/"
SEGMENTS = "index/"
BACKUPS = "backups/"
LEASES = "leases/"
COLLECTIONS = "collections/"
REFERENCES = "references/"
REMOVALS = "removals/"
RECORDS = "records/"
DAMAGE = "damage/"

PACK_MAGIC = b"OVBSPACK"
TRAILER_MAGIC = b"OVBSTAIL"
OBJECT_MAGIC = b"OVBSSEAL"

PACK_HEADER = struct.Struct("<8sBB6s16s")
BLOCK_HEADER = struct.Struct("<32sIIIBBBB")
ENTRY = struct.Struct("<32sII")
TRAILER = struct.Struct("<8sII16s")
OBJECT_HEADER = struct.Struct("<8sBBBBI16s")
SEGMENT_PACK = struct.Struct("<16sII")
assert PACK_HEADER.size == 32
assert BLOCK_HEADER.size == 48
assert ENTRY.size == 40
assert TRAILER.size == 32
assert OBJECT_HEADER.size == 32
assert SEGMENT_PACK.size == 24

DIRECTORY_NONCE = b"\xff" * 12
OBJECT_NONCE = bytes(12)
_NONCE_TAIL = bytes(8)


class Compression(IntEnum):
    """How the bytes were made smaller before they were sealed."""

    NONE = 0
    ZSTD = 1


class Kind(IntEnum):
    """What a sealed block of a pack is."""

    BLOCK = 1
    PAGE = 2


class ObjectKind(IntEnum):
    """What a sealed object is."""

    BACKUP = 1
    SEGMENT = 2
    LEASE = 3
    CANDIDATES = 4
    VERDICT = 5
    RECORD = 6
    DAMAGE = 7


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """The 48 bytes before a sealed block."""

    block_id: BlockId
    sealed_bytes: int
    plain_bytes: int
    number: int
    compression: Compression
    kind: Kind

    def pack(self) -> bytes:
        """The header as stored; also the associated data of the block."""
        return BLOCK_HEADER.pack(
            self.block_id,
            self.sealed_bytes,
            self.plain_bytes,
            self.number,
            FORMAT,
            self.compression,
            KEY_VERSION,
            self.kind,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one block lies in its pack: offset of its header, and length with the header."""

    block_id: BlockId
    offset_bytes: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class PackListing:
    """What one pack holds, as a segment or the pack's own directory tells it."""

    pack_id: PackId
    size_bytes: int
    entries: bytes
    """Directory entries of 40 bytes each."""

    def __iter__(self) -> "_Entries":
        return _Entries(self.entries)

    def __len__(self) -> int:
        return len(self.entries) // ENTRY.size


class _Entries:
    def __init__(self, entries: bytes) -> None:
        self._rows = ENTRY.iter_unpack(entries)

    def __iter__(self) -> "_Entries":
        return self

    def __next__(self) -> Entry:
        block_id, offset, length = next(self._rows)
        return Entry(BlockId(block_id), offset, length)


def nonce_of(number: int) -> bytes:
    """The nonce of the block with this number in its pack."""
    return number.to_bytes(4, "little") + _NONCE_TAIL


def pack_header(pack_id: PackId) -> bytes:
    """The first 32 bytes of a pack."""
    return PACK_HEADER.pack(PACK_MAGIC, FORMAT, KEY_VERSION, bytes(6), pack_id)


def parse_block_header(data: bytes | memoryview, *, block_bytes_max: int) -> BlockHeader:
    """The header at the start of data, or Corrupt, or UnknownFormat. Nothing in it is authenticated yet."""
    if len(data) < BLOCK_HEADER.size:
        raise Corrupt("a block is cut off within its header")
    block_id, sealed, plain, number, version, compression, key_version, kind = BLOCK_HEADER.unpack_from(data)
    if version != FORMAT or key_version != KEY_VERSION:
        raise UnknownFormat(f"a block has format {version} and key version {key_version}; this program knows 1 and 1")
    least, most = (ID_BYTES, PAGE_BYTES_MAX) if kind == Kind.PAGE else (1, block_bytes_max)
    if kind not in (Kind.BLOCK, Kind.PAGE) or compression not in (Compression.NONE, Compression.ZSTD):
        raise UnknownFormat(f"a block has kind {kind} and compression {compression}, unknown to this program")
    if not least <= plain <= most or not TAG_BYTES < sealed <= plain + TAG_BYTES:
        raise Corrupt(f"a block header states impossible lengths ({plain} plain, {sealed} sealed)")
    return BlockHeader(BlockId(block_id), sealed, plain, number, Compression(compression), Kind(kind))


def parse_trailer(data: bytes | memoryview, pack_id: PackId) -> tuple[int, int]:
    """Length of the sealed directory and number of blocks, from a pack's last 32 bytes."""
    if len(data) != TRAILER.size:
        raise Corrupt(f"pack {pack_id.hex()} is cut off")
    magic, directory_bytes, count, stored_id = TRAILER.unpack(data)
    if magic != TRAILER_MAGIC or stored_id != pack_id or directory_bytes != count * ENTRY.size + TAG_BYTES:
        raise Corrupt(f"pack {pack_id.hex()} has a damaged trailer")
    return directory_bytes, count


def pack_segment(listings: list[PackListing]) -> bytes:
    """The content of an index segment."""
    parts = []
    for listing in listings:
        parts += [SEGMENT_PACK.pack(listing.pack_id, listing.size_bytes, len(listing)), listing.entries]
    return b"".join(parts)


def parse_segment(content: bytes) -> list[PackListing]:
    """The listings of an index segment, or Corrupt."""
    listings = []
    position = 0
    while position < len(content):
        if position + SEGMENT_PACK.size > len(content):
            raise Corrupt("an index segment is cut off")
        pack_id, size, count = SEGMENT_PACK.unpack_from(content, position)
        position += SEGMENT_PACK.size
        end = position + count * ENTRY.size
        if end > len(content):
            raise Corrupt("an index segment is cut off")
        listings.append(PackListing(PackId(pack_id), size, content[position:end]))
        position = end
    return listings


def pack_name(pack_id: PackId) -> str:
    """Where a pack lies in the store."""
    text = pack_id.hex()
    return f"{PACKS}{text[:2]}/{text}"


def parse_pack_name(name: str) -> PackId | None:
    """The id in a name below ``packs/``, or None for a name that is not a pack's."""
    text = name.rpartition("/")[2]
    return _parse_pack_id(text) if name == f"{PACKS}{text[:2]}/{text}" else None


def damage_name(pack: PackId) -> str:
    return DAMAGE + pack.hex()


def parse_damage_name(name: str) -> PackId | None:
    """The id of the pack of which a note below ``damage/`` tells, or None for a name that is not a note's."""
    return _parse_pack_id(name[len(DAMAGE) :])


def _parse_pack_id(text: str) -> PackId | None:
    if len(text) != 32 or not set(text) <= set("0123456789abcdef"):
        return None
    return PackId(bytes.fromhex(text))
