"""Large sparse volumes: 64 GiB of which 64 MiB changed, and 1 TiB that holds 8 GiB."""

import os
from pathlib import Path

from bench.worker import VOLUME_BYTES, changed_ranges
from openvbs.units import GIB, MIB

TIB_BYTES = 1024 * GIB
HELD_PIECES = 1024
HELD_PIECE_BYTES = 8 * MIB
_BASE_PIECE_BYTES = 8 * MIB


def make_hinted(image: Path, folder: Path) -> tuple[Path, Path, Path]:
    """A volume of 64 GiB with half a GiB of the image's data, the same with 64 MiB of it changed, and those alone."""
    before, after, alone = (folder / f"hinted-{name}.img" for name in ("before", "after", "alone"))
    pieces = _pieces(image, MIB)
    for path in (before, after):
        with path.open("wb") as file:
            file.truncate(VOLUME_BYTES)
            for changed in changed_ranges():
                # Behind every change lies what does not change.
                file.seek(changed.offset_bytes)
                file.write(pieces[changed.offset_bytes // MIB % len(pieces)][: changed.length_bytes])
                file.seek(changed.offset_bytes + 16 * MIB)
                for number in range(_BASE_PIECE_BYTES // MIB):
                    file.write(pieces[(changed.offset_bytes // MIB + number) % len(pieces)])
    with after.open("r+b") as file, alone.open("wb") as other:
        for number, changed in enumerate(changed_ranges()):
            # Shifted by some bytes, so that no block is one of before.
            data = (pieces[number % len(pieces)][100:] + pieces[(number + 1) % len(pieces)])[: changed.length_bytes]
            file.seek(changed.offset_bytes)
            file.write(data)
            other.write(data)
    return before, after, alone


def _pieces(image: Path, size_bytes: int) -> list[bytes]:
    """128 pieces of the image's files."""
    with image.open("rb") as file:
        found = []
        while len(found) < 128 and (piece := file.read(size_bytes)):
            if piece.strip(b"\0"):
                found.append(piece)
        return found


def make_tib(path: Path) -> None:
    """A sparse volume of 1 TiB with 8 GiB of data that neither compresses nor repeats, in a thousand places."""
    with path.open("wb") as file:
        file.truncate(TIB_BYTES)
        for number in range(HELD_PIECES):
            file.seek(number * (TIB_BYTES // HELD_PIECES))
            file.write(os.urandom(HELD_PIECE_BYTES))
