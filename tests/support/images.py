"""Disk contents for tests, and whether two files hold the same bytes."""

import os
import random
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from openvbs.units import GIB, MIB

_PIECE_BYTES = 4 * MIB


def write_image(path: Path, *, data_bytes: int, seed: int, size_bytes: int = GIB) -> Path:
    """A sparse file of size_bytes, of which data_bytes in scattered pieces of 4 MiB look random; repeatable by seed."""
    chance = random.Random(seed)
    stream = Cipher(AES256(chance.randbytes(32)), CTR(bytes(16))).encryptor()
    places = chance.sample(range(size_bytes // _PIECE_BYTES), data_bytes // _PIECE_BYTES)
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for place in places:
            os.pwrite(file.fileno(), stream.update(bytes(_PIECE_BYTES)), place * _PIECE_BYTES)
    return path


def digest(path: Path) -> str:
    """BLAKE3 of all bytes, holes being zeros."""
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
