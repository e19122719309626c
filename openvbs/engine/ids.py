"""Names of things inside a repository. The types keep them apart; the bytes are all random or hashes."""

import secrets
from typing import NewType

BlockId = NewType("BlockId", bytes)
"""32 bytes: the keyed BLAKE3 of a block or of a page."""

PackId = NewType("PackId", bytes)
"""16 random bytes: name and salt of a pack."""

ZERO_ID = BlockId(bytes(32))
"""Stands for a block or page that is all zeros and stored nowhere."""


def new_pack_id() -> PackId:
    """An id that no pack ever had (I5)."""
    return PackId(secrets.token_bytes(16))


def new_object_id() -> str:
    """The last part of the name of a new segment, lease or collection: 32 hex digits."""
    return secrets.token_hex(16)
