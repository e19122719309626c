"""The hardware's limit: hash, compress and seal the same blocks in memory, on all cores, with the same libraries."""

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import blake3
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openvbs.units import KIB, MIB

BLOCK_BYTES = 512 * KIB
SEGMENT_BYTES = 256 * MIB
_KEY = bytes(32)


def _hash_compress_seal(blocks: Iterable[memoryview]) -> None:
    compressor, cipher = zstandard.ZstdCompressor(level=1), AESGCM(_KEY)
    for number, block in enumerate(blocks):
        block_id = blake3.blake3(block, key=_KEY).digest()
        cipher.encrypt(number.to_bytes(12, "little"), compressor.compress(block), block_id)


def _compress(blocks: Iterable[memoryview]) -> None:
    compressor = zstandard.ZstdCompressor(level=1)
    for block in blocks:
        compressor.compress(block)


def limit_seconds(image: Path) -> dict[str, float]:
    """Seconds for all blocks of the image that are not zero, reading not counted."""
    seconds = {"limit": 0.0, "zstd alone": 0.0}
    zeros = bytes(BLOCK_BYTES)
    with image.open("rb") as file:
        while segment := file.read(SEGMENT_BYTES):
            view = memoryview(segment)
            cut = [view[at : at + BLOCK_BYTES] for at in range(0, len(view), BLOCK_BYTES)]
            blocks = [block for block in cut if block != zeros[: len(block)]]
            seconds["limit"] += _timed(_hash_compress_seal, blocks)
            seconds["zstd alone"] += _timed(_compress, blocks)
    return seconds


def _timed(work: Callable[[Iterable[memoryview]], None], blocks: list[memoryview]) -> float:
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(pool.map(work, [blocks[number::threads] for number in range(threads)]))
        return time.perf_counter() - started
