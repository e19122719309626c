"""The hardware's limit: what the same blocks cost with the same libraries on all cores, phase by phase and together."""

import os
import secrets
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import blake3
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openvbs.engine.codec import ZSTD_LEVEL
from openvbs.engine.format import BLOCK_BYTES_DEFAULT
from openvbs.engine.packing import WRITERS
from openvbs.stores.local import LocalStore
from openvbs.units import MIB

SEGMENT_BYTES = 256 * MIB
READ_BYTES = 8 * MIB
PACK_BYTES = 24 * MIB
_KEY = bytes(32)

Blocks = list[memoryview]
_Share = TypeVar("_Share")


def _hash_compress_seal(blocks: Blocks) -> None:
    compressor, cipher = zstandard.ZstdCompressor(level=ZSTD_LEVEL), AESGCM(_KEY)
    for number, block in enumerate(blocks):
        block_id = blake3.blake3(block, key=_KEY).digest()
        cipher.encrypt(number.to_bytes(12, "little"), compressor.compress(block), block_id)


def _hash(blocks: Blocks) -> None:
    for block in blocks:
        blake3.blake3(block, key=_KEY).digest()


def _compress(blocks: Blocks) -> None:
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    for block in blocks:
        compressor.compress(block)


def _seal(blocks: Blocks) -> None:
    """Half of every block: about what is left of it once it is compressed."""
    cipher = AESGCM(_KEY)
    for number, block in enumerate(blocks):
        cipher.encrypt(number.to_bytes(12, "little"), block[: len(block) // 2], None)


_WORK: dict[str, Callable[[Blocks], None]] = {
    "limit": _hash_compress_seal,
    "hash": _hash,
    "compress": _compress,
    "seal": _seal,
}


def limit_seconds(image: Path) -> dict[str, float]:
    """Seconds for all blocks of the image that are not zero, in memory: each phase alone; "limit" is all of them."""
    seconds = dict.fromkeys(_WORK, 0.0)
    zeros = bytes(BLOCK_BYTES_DEFAULT)
    with image.open("rb") as file:
        while segment := file.read(SEGMENT_BYTES):
            view = memoryview(segment)
            cut = [view[at : at + BLOCK_BYTES_DEFAULT] for at in range(0, len(view), BLOCK_BYTES_DEFAULT)]
            blocks = [block for block in cut if block != zeros[: len(block)]]
            threads = os.cpu_count() or 1
            shares = [blocks[number::threads] for number in range(threads)]
            for name, work in _WORK.items():
                seconds[name] += _timed(work, shares)
    return seconds


def read_seconds(image: Path, offsets: list[int]) -> float:
    """Seconds to read these pieces of READ_BYTES of a cached file."""
    descriptor = os.open(image, os.O_RDONLY)

    def read(share: Iterable[int]) -> None:
        buffer = bytearray(READ_BYTES)
        for offset in share:
            os.preadv(descriptor, [buffer], offset)

    try:
        threads = os.cpu_count() or 1
        return _timed(read, [offsets[number::threads] for number in range(threads)])
    finally:
        os.close(descriptor)


def write_seconds(folder: Path, size_bytes: int) -> float:
    """Seconds to make so many bytes durable as packs in a directory."""
    store = LocalStore(folder)
    data = secrets.token_bytes(PACK_BYTES)

    def write(numbers: Iterable[int]) -> None:
        for number in numbers:
            store.put(f"packs/{number:04}", data)

    packs = range(size_bytes // PACK_BYTES)
    return _timed(write, [packs[number::WRITERS] for number in range(WRITERS)])


def _timed(work: Callable[[_Share], None], shares: list[_Share]) -> float:
    with ThreadPoolExecutor(len(shares)) as pool:
        started = time.perf_counter()
        list(pool.map(work, shares))
        return time.perf_counter() - started
