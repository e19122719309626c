"""Byte units. Names end in what they count: sizes in code are bytes unless they say ``gib``."""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def gib_ceil(size_bytes: int) -> int:
    """The size in whole GiB as the APIs state it: rounded up, at least 1."""
    return max(1, -(-size_bytes // GIB))
