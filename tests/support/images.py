"""Disk contents for tests, and whether two files hold the same bytes."""

import hashlib
import os
import random
from pathlib import Path

from openvbs.units import GIB, MIB

_PIECE_BYTES = 4 * MIB


def write_image(path: Path, *, data_bytes: int, seed: int, size_bytes: int = GIB) -> Path:
    """A sparse file of size_bytes, of which data_bytes in scattered pieces of 4 MiB are random and do not compress."""
    chance = random.Random(seed)
    places = chance.sample(range(size_bytes // _PIECE_BYTES), data_bytes // _PIECE_BYTES)
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for place in places:
            os.pwrite(file.fileno(), chance.randbytes(_PIECE_BYTES), place * _PIECE_BYTES)
    return path


def digest(path: Path) -> str:
    """SHA-256 of all bytes, holes being zeros."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_bytes(path: Path) -> int:
    """What the file takes on the disk."""
    return path.stat().st_blocks * 512
