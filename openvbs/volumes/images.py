"""Image files that an operator imports."""

import os
import stat
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from openvbs.sources.base import SourceError
from openvbs.volumes.copy import opened

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQIIQ")
"""Magic, version, offset and size of the backing file's name, cluster bits, size of the disk."""
_QCOW2_FEATURES_OFFSET = 72
_QCOW2_EXTERNAL_DATA = 1 << 2
_HEADER_BYTES = 104
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
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            raise SourceError(f"{path} is neither a file nor a block device")
        header = os.pread(descriptor, _HEADER_BYTES, 0)
        end = os.lseek(descriptor, 0, os.SEEK_END)
    stored = end if stat.S_ISBLK(status.st_mode) else min(end, status.st_blocks * _BLOCK_BYTES)
    if header.startswith(_QCOW2_MAGIC):
        return Image(path, ImageFormat.QCOW2, _qcow2_size_bytes(path, header), stored)
    if end == 0:
        raise SourceError(f"{path} is empty; an image of a disk is wanted")
    return Image(path, ImageFormat.RAW, end, stored)


def _qcow2_size_bytes(path: Path, header: bytes) -> int:
    """The size of the disk. SourceError for an image that is damaged or whose bytes lie in other files too.

    Such an image would let whoever made it name any file of this machine to be read.
    """
    if len(header) < _HEADER_BYTES:
        raise SourceError(f"{path} says that it is qcow2 but ends in its header")
    _magic, version, backing_offset, _backing_size, _cluster_bits, size_bytes = _QCOW2_HEADER.unpack_from(header)
    if version not in {2, 3} or size_bytes == 0:
        raise SourceError(f"{path} is a damaged qcow2 image: version {version}, a disk of {size_bytes} bytes")
    features = int.from_bytes(header[_QCOW2_FEATURES_OFFSET : _QCOW2_FEATURES_OFFSET + 8], "big")
    if backing_offset or (version > 2 and features & _QCOW2_EXTERNAL_DATA):
        raise SourceError(
            f"{path} has a part of its bytes in another file; make it whole first: "
            f"qemu-img convert -O qcow2 {path} whole.qcow2"
        )
    return int(size_bytes)
