"""Filesystems of their own for tests, in sparse files; needs root."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from openvbs.units import MIB

_TOOLS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_MAKE = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
    "btrfs": ["mkfs.btrfs", "-q"],
    "ext4": ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0"],
}


@contextlib.contextmanager
def mounted(kind: str, folder: Path, *, size_bytes: int = 512 * MIB) -> Iterator[Path]:
    """A new, empty filesystem of this kind."""
    image, point = folder / f"{kind}.img", folder / kind
    point.mkdir()
    image.touch()
    os.truncate(image, size_bytes)
    _run(*_MAKE[kind], str(image))
    _run("mount", "-o", "loop", str(image), str(point))
    try:
        yield point
    finally:
        _run("umount", str(point))
        image.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": _TOOLS})
