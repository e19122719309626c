"""Seal and open one block or one object: hash, compress, encrypt, and back with every check. No I/O."""

import secrets
import threading

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openvbs.engine.errors import Corrupt, UnknownFormat
from openvbs.engine.format import (
    BLOCK_HEADER,
    FORMAT,
    KEY_VERSION,
    OBJECT_HEADER,
    OBJECT_MAGIC,
    OBJECT_NONCE,
    OBJECT_PLAIN_BYTES_MAX,
    SALT_BYTES,
    TAG_BYTES,
    BlockHeader,
    Compression,
    Kind,
    ObjectKind,
    nonce_of,
    parse_block_header,
)
from openvbs.engine.ids import BlockId
from openvbs.engine.keys import ProjectKeys

ZSTD_LEVEL = 1


class Codec:
    """Turns blocks into sealed blocks and back for one repository. Threads may share it."""

    def __init__(self, keys: ProjectKeys, block_bytes: int) -> None:
        self.keys = keys
        self.block_bytes = block_bytes
        self._zstd = _Zstd()

    def id_of(self, data: bytes | bytearray | memoryview, kind: Kind) -> BlockId:
        """The id of a block or a page with these bytes."""
        key = self.keys.page_id_key if kind is Kind.PAGE else self.keys.block_id_key
        return BlockId(blake3(data, key=key).digest())

    def seal_into(
        self,
        out: memoryview,
        data: bytes | memoryview,
        *,
        block_id: BlockId,
        kind: Kind,
        number: int,
        cipher: AESGCM,
    ) -> int:
        """Write header and sealed bytes at the start of out; how many bytes that were. Out has room for raw data."""
        compressed = self._zstd.compressor.compress(data)
        smaller = len(compressed) < len(data)
        header = BlockHeader(
            block_id,
            (len(compressed) if smaller else len(data)) + TAG_BYTES,
            len(data),
            number,
            Compression.ZSTD if smaller else Compression.NONE,
            kind,
        )
        packed = header.pack()
        end = BLOCK_HEADER.size + header.sealed_bytes
        out[: BLOCK_HEADER.size] = packed
        cipher.encrypt_into(nonce_of(number), compressed if smaller else data, packed, out[BLOCK_HEADER.size : end])
        return end

    def open_block(self, stored: memoryview, *, wanted: BlockId, cipher: AESGCM) -> bytes:
        """The bytes of the wanted block or page, or Corrupt or UnknownFormat. What is given hashes to its id (I9)."""
        header = parse_block_header(stored, block_bytes_max=self.block_bytes)
        end = BLOCK_HEADER.size + header.sealed_bytes
        if header.block_id != wanted or len(stored) != end:
            raise Corrupt(f"where block {wanted.hex()} should be lies something else")
        try:
            plain = cipher.decrypt(
                nonce_of(header.number), stored[BLOCK_HEADER.size : end], stored[: BLOCK_HEADER.size]
            )
        except InvalidTag as error:
            raise Corrupt(f"block {wanted.hex()} is damaged") from error
        if header.compression is Compression.ZSTD:
            plain = self._zstd.decompress(plain, header.plain_bytes)
        if len(plain) != header.plain_bytes or self.id_of(plain, header.kind) != wanted:
            raise Corrupt(f"block {wanted.hex()} does not hash to its id")
        return plain

    def seal_object(self, name: str, kind: ObjectKind, content: bytes) -> bytes:
        """Content as a sealed object for this name."""
        assert len(content) <= OBJECT_PLAIN_BYTES_MAX
        compressed = self._zstd.compressor.compress(content)
        smaller = len(compressed) < len(content)
        salt = secrets.token_bytes(SALT_BYTES)
        header = OBJECT_HEADER.pack(
            OBJECT_MAGIC,
            FORMAT,
            kind,
            Compression.ZSTD if smaller else Compression.NONE,
            KEY_VERSION,
            len(content),
            salt,
        )
        cipher = self.keys.object_cipher(salt)
        return header + cipher.encrypt(OBJECT_NONCE, compressed if smaller else content, header + name.encode("ascii"))

    def open_object(self, name: str, kind: ObjectKind, stored: bytes) -> bytes:
        """The content of a sealed object of this name and kind, or Corrupt, or UnknownFormat."""
        if len(stored) < OBJECT_HEADER.size + TAG_BYTES:
            raise Corrupt(f"{name} is cut off")
        magic, version, stored_kind, compression, key_version, plain_bytes, salt = OBJECT_HEADER.unpack_from(stored)
        if magic != OBJECT_MAGIC:
            raise Corrupt(f"{name} does not start like a sealed object")
        if version != FORMAT or key_version != KEY_VERSION or compression not in tuple(Compression):
            raise UnknownFormat(f"{name} has format {version}, key version {key_version}, compression {compression}")
        if stored_kind != kind or plain_bytes > OBJECT_PLAIN_BYTES_MAX:
            raise Corrupt(f"{name} is not a {kind.name.lower()} object")
        header = stored[: OBJECT_HEADER.size]
        try:
            content = self.keys.object_cipher(salt).decrypt(
                OBJECT_NONCE, stored[OBJECT_HEADER.size :], header + name.encode("ascii")
            )
        except InvalidTag as error:
            raise Corrupt(f"{name} is damaged, or was stored under another name") from error
        if compression == Compression.ZSTD:
            content = self._zstd.decompress(content, plain_bytes)
        if len(content) != plain_bytes:
            raise Corrupt(f"{name} has another length than its header states")
        return content


class _Zstd(threading.local):
    """One compressor per thread; they must not be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def decompress(self, frame: bytes, plain_bytes: int) -> bytes:
        # The frame's own size is checked first: it decides how much memory is taken.
        try:
            if zstandard.frame_content_size(frame) != plain_bytes:
                raise Corrupt("a compressed frame states another length than its header")
            return self._decompressor.decompress(frame, max_output_size=plain_bytes)
        except zstandard.ZstdError as error:
            raise Corrupt(f"a compressed frame does not decompress: {error}") from error
