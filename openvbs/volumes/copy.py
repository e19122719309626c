"""Whole copies of disk files: a reflink where the filesystem can, else a copy that keeps holes."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openvbs import files
from openvbs.files import sync_folder
from openvbs.sources.base import SourceError
from openvbs.units import MIB

Checkpoint = Callable[[], None]
"""Called often during long work; it may raise to stop it."""
OnProgress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""

COPY_STEP_BYTES = 16 * MIB
TEMPORARY_PREFIX = ".tmp-"
_FICLONE = 0x40049409  # _IOW(0x94, 9, int) of linux/fs.h
_NO_REFLINK = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM})
_NO_RANGE_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class CannotClone(SourceError):
    """The filesystem cannot share blocks between files; nothing was made."""


def nothing() -> None:
    """A checkpoint that never stops."""


def no_progress(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How long work reports what it has done and learns that it must stop."""

    checkpoint: Checkpoint = nothing
    on_progress: OnProgress = no_progress


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[int]:
    """A descriptor of a new private file that becomes ``target`` at the end, durably and at once.

    After an error ``target`` is as before. A crash leaves at most a draft, which ``sweep_drafts`` takes.
    """
    with files.replacing(target, f"{TEMPORARY_PREFIX}{target.name}-") as descriptor:
        yield descriptor
    sync_folder(target.parent)


def copy_file(source: Path, target: Path, *, size_bytes: int | None = None, watch: Watch = Watch()) -> None:
    """Make ``target`` a copy of ``source``, of ``size_bytes`` if given (zeros at the end), durable on return.

    ``target`` appears whole or not at all. Raises SourceError, or whatever the watch's checkpoint raises.
    """
    with opened(source) as source_descriptor, replacing(target) as descriptor:
        _fill(source_descriptor, descriptor, size_bytes, watch)


def copy_to_new_file(source: Path, target: Path, *, draft_prefix: str, watch: Watch = Watch()) -> None:
    """Like copy_file, but FileExistsError if something has the name by then, which is left as it is.

    The draft stays as a second name of the target, for ``files.is_named``, until the caller sweeps it.
    """
    with opened(source) as source_descriptor, files.naming(target, draft_prefix) as descriptor:
        _fill(source_descriptor, descriptor, None, watch)
    sync_folder(target.parent)


def _fill(source: int, target: int, size_bytes: int | None, watch: Watch) -> None:
    if reflink(source, target):
        length = os.fstat(target).st_size
        watch.on_progress(length, length)
    else:
        copy_sparse(source, target, watch)
    if size_bytes is not None:
        os.ftruncate(target, size_bytes)
    os.fsync(target)  # the long part of what follows, before the last look at the checkpoint
    watch.checkpoint()


def clone_file(source: Path, target: Path) -> None:
    """Make ``target`` share the blocks of ``source``, durably and in no time. Raises CannotClone or SourceError."""
    with opened(source) as source_descriptor, replacing(target) as descriptor:
        if not reflink(source_descriptor, descriptor):
            raise CannotClone(f"the filesystem of {target.parent} has no reflinks")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read the file or block device, or SourceError."""
    try:
        mode = path.stat().st_mode  # before it is opened: that would wait for the other end of a pipe
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise SourceError(f"{path} is neither a file nor a block device")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reflink(source: int, target: int) -> bool:
    """Let the target share the source's blocks. False, and nothing done, where the filesystem cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def copy_sparse(source: int, target: int, watch: Watch) -> None:
    """Copy all bytes; holes of the source stay holes in the empty target. Not yet durable on return."""
    size_bytes = os.lseek(source, 0, os.SEEK_END)
    os.ftruncate(target, size_bytes)
    for start, end in _data_ranges(source, size_bytes):
        offset = start
        while offset < end:
            watch.checkpoint()
            copied = _copy_range(source, target, offset, min(COPY_STEP_BYTES, end - offset))
            if copied == 0:
                raise SourceError(f"the file ended at byte {offset} of {size_bytes} while it was copied")
            offset += copied
            watch.on_progress(offset, size_bytes)
    watch.on_progress(size_bytes, size_bytes)


def _data_ranges(descriptor: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size_bytes:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            if error.errno == errno.EINVAL:  # no map of holes: block devices, some network filesystems
                yield end, size_bytes
                return
            raise
        yield start, end


def _copy_range(source: int, target: int, offset: int, length: int) -> int:
    try:
        return os.copy_file_range(source, target, length, offset, offset)
    except OSError as error:
        if error.errno not in _NO_RANGE_COPY:
            raise
    os.lseek(target, offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, length)
