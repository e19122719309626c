"""Image files that an operator imports."""

import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from openvbs.sources.base import SourceError
from openvbs.sources.qcow2 import HEADER_BYTES, MAGIC, disk_size_bytes
from openvbs.volumes.copy import opened

_BLOCK_BYTES = 512  # of st_blocks


class ImageFormat(Enum):
    RAW = "raw"
    QCOW2 = "qcow2"


@dataclass(frozen=True, slots=True)
class Image:
    """An image. ``size_bytes`` is the size of the disk in it, ``stored_bytes`` what it takes as a file."""

    path: Path
    format: ImageFormat
    size_bytes: int
    stored_bytes: int


def image_at(path: Path) -> Image:
    """Look at an image file or block device. Whatever does not say that it is qcow2 is raw. Raises SourceError."""
    with opened(path) as descriptor:
        status = os.fstat(descriptor)
        header = os.pread(descriptor, HEADER_BYTES, 0)
        end = os.lseek(descriptor, 0, os.SEEK_END)
    stored = end if stat.S_ISBLK(status.st_mode) else min(end, status.st_blocks * _BLOCK_BYTES)
    if header.startswith(MAGIC):
        return Image(path, ImageFormat.QCOW2, disk_size_bytes(path, header), stored)
    if end == 0:
        raise SourceError(f"{path} is empty; an image of a disk is wanted")
    return Image(path, ImageFormat.RAW, end, stored)
