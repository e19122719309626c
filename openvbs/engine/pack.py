"""Many sealed blocks in one object: the builder fills one, and a directory tells what it holds."""

import mmap
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag

from openvbs.engine.codec import Codec
from openvbs.engine.errors import Corrupt, EngineError
from openvbs.engine.format import (
    BLOCK_HEADER,
    DIRECTORY_NONCE,
    ENTRY,
    PACK_HEADER,
    TAG_BYTES,
    TRAILER,
    TRAILER_MAGIC,
    Kind,
    PackListing,
    pack_header,
    pack_name,
    parse_trailer,
)
from openvbs.engine.ids import BlockId, PackId, new_pack_id
from openvbs.stores.base import Store
from openvbs.units import MIB

PACK_BYTES = 32 * MIB
"""Size of a full pack. Bigger ones mean fewer objects, smaller ones less memory in the writers."""
PACK_BLOCKS_MAX = 16384
"""Bounds the directory to 640 KiB when blocks compress to next to nothing."""

_PACK_BYTES_MIN = PACK_HEADER.size + TRAILER.size


class PackBuilder:
    """One pack being filled in a buffer that is used again for the next one. For one thread at a time."""

    def __init__(self, codec: Codec, size_bytes: int = PACK_BYTES) -> None:
        self._codec = codec
        # A mapping and no bytearray: pages that a small pack never touches take neither memory nor time.
        self._buffer = memoryview(mmap.mmap(-1, size_bytes))
        self.start()

    def start(self) -> None:
        """Forget what the buffer holds and begin a new pack with a new id (I5)."""
        self.pack_id = new_pack_id()
        self._cipher = self._codec.keys.pack_cipher(self.pack_id)
        self._entries: list[bytes] = []
        self._used = PACK_HEADER.size
        self._buffer[: PACK_HEADER.size] = pack_header(self.pack_id)

    @property
    def is_empty(self) -> bool:
        """True if no block was added."""
        return not self._entries

    def has_room(self, plain_bytes: int) -> bool:
        """True if a block of this many bytes fits, however badly it compresses."""
        directory = (len(self._entries) + 1) * ENTRY.size + TAG_BYTES + TRAILER.size
        needed = BLOCK_HEADER.size + plain_bytes + TAG_BYTES + directory
        return len(self._entries) < PACK_BLOCKS_MAX and self._used + needed <= len(self._buffer)

    def add(self, block_id: BlockId, kind: Kind, data: bytes | memoryview) -> int:
        """Compress and seal a block into the pack; the bytes it takes there. There must be room."""
        length = self._codec.seal_into(
            self._buffer[self._used :],
            data,
            block_id=block_id,
            kind=kind,
            number=len(self._entries),
            cipher=self._cipher,
        )
        self._entries.append(ENTRY.pack(block_id, self._used, length))
        self._used += length
        return length

    def finish(self) -> tuple[memoryview, PackListing]:
        """The whole pack, valid until start is called, and what it holds."""
        entries = b"".join(self._entries)
        directory_bytes = len(entries) + TAG_BYTES
        trailer = TRAILER.pack(TRAILER_MAGIC, directory_bytes, len(self._entries), self.pack_id)
        end = self._used + directory_bytes
        self._cipher.encrypt_into(DIRECTORY_NONCE, entries, trailer, self._buffer[self._used : end])
        self._buffer[end : end + TRAILER.size] = trailer
        size = end + TRAILER.size
        return self._buffer[:size], PackListing(self.pack_id, size, entries)


def read_listing(store: Store, codec: Codec, pack_id: PackId) -> PackListing:
    """What a pack of the store says it holds, from its directory alone. Corrupt if that is damaged."""
    name = pack_name(pack_id)
    size = store.stat(name).size_bytes
    if size < _PACK_BYTES_MIN:
        raise Corrupt(f"pack {pack_id.hex()} is cut off")
    trailer = store.get(name, size - TRAILER.size, TRAILER.size)
    directory_bytes, _count = parse_trailer(trailer, pack_id)
    start = size - TRAILER.size - directory_bytes
    if start < PACK_HEADER.size:
        raise Corrupt(f"pack {pack_id.hex()} is cut off")
    return _open_directory(codec, pack_id, trailer, store.get(name, start, directory_bytes), start)


def listing_of(codec: Codec, pack_id: PackId, pack: bytes) -> PackListing:
    """The same of a pack that was read whole."""
    if len(pack) < _PACK_BYTES_MIN:
        raise Corrupt(f"pack {pack_id.hex()} is cut off")
    trailer = pack[-TRAILER.size :]
    directory_bytes, _count = parse_trailer(trailer, pack_id)
    start = len(pack) - TRAILER.size - directory_bytes
    if start < PACK_HEADER.size:
        raise Corrupt(f"pack {pack_id.hex()} is cut off")
    return _open_directory(codec, pack_id, trailer, pack[start : -TRAILER.size], start)


def _open_directory(codec: Codec, pack_id: PackId, trailer: bytes, sealed: bytes, start: int) -> PackListing:
    """The listing of a directory that begins at start; it must cover the pack up to there without gaps."""
    try:
        entries = codec.keys.pack_cipher(pack_id).decrypt(DIRECTORY_NONCE, sealed, trailer)
    except InvalidTag as error:
        raise Corrupt(f"the directory of pack {pack_id.hex()} is damaged") from error
    listing = PackListing(pack_id, start + len(sealed) + TRAILER.size, entries)
    position = PACK_HEADER.size
    for entry in listing:
        if entry.offset_bytes != position:
            raise Corrupt(f"the directory of pack {pack_id.hex()} has a gap at {position}")
        position += entry.length_bytes
    if position != start:
        raise Corrupt(f"the directory of pack {pack_id.hex()} does not cover the pack")
    return listing


def open_pack(codec: Codec, listing: PackListing, pack: bytes) -> Iterator[tuple[BlockId, bytes | EngineError]]:
    """Every block of a pack that was read whole, opened; a damaged one as the error that says so."""
    cipher = codec.keys.pack_cipher(listing.pack_id)
    view = memoryview(pack)
    for entry in listing:
        stored = view[entry.offset_bytes : entry.offset_bytes + entry.length_bytes]
        try:
            yield entry.block_id, codec.open_block(stored, wanted=entry.block_id, cipher=cipher)
        except EngineError as error:
            yield entry.block_id, error
