"""Raw images in files, and block devices: read for a backup, written by a restore."""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from openvbs.files import sync_folder
from openvbs.sources.base import Extent, ExtentKind, SourceError
from openvbs.units import KIB, MIB

_ZEROS = bytes(MIB)
_FALLOC_KEEP_SIZE = 1
_FALLOC_PUNCH_HOLE = 2
_SYNC_FILE_RANGE_WRITE = 2
_DIRECT_ALIGNMENT = 4 * KIB
_DIRECT_BYTES_MIN = 256 * KIB
_BLKZEROOUT = 0x127F  # linux/fs.h: _IO(0x12, 127)
_CANNOT = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.EPERM}
_libc = ctypes.CDLL(None, use_errno=True)


class FileSource:
    """A file or block device that does not change while it is open. Holes of a file cost nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor, self.size_bytes = _open(path, os.O_RDONLY)

    def extents(self) -> Iterator[Extent]:
        position = 0
        while position < self.size_bytes:
            data = self._seek(position, os.SEEK_DATA)
            if data > position:
                yield Extent(position, data - position, ExtentKind.ZERO)
            if data >= self.size_bytes:
                return
            position = self._seek(data, os.SEEK_HOLE)
            yield Extent(data, position - data, ExtentKind.DATA)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        _read_into(self._descriptor, self._path, offset_bytes, buffer)

    def close(self) -> None:
        os.close(self._descriptor)

    def _seek(self, position: int, whence: int) -> int:
        """The next data or hole from position on; the end where there is none."""
        try:
            return min(os.lseek(self._descriptor, position, whence), self.size_bytes)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self.size_bytes
            if error.errno == errno.EINVAL:  # a device or filesystem that cannot tell: all of it is data
                return position if whence == os.SEEK_DATA else self.size_bytes
            raise SourceError(f"cannot map {self._path} at {position}: {error.strerror}") from error


class FileTarget:
    """A file or block device to restore to. Use ``create`` for a new file, the constructor for what is there.

    A device that is mounted, or otherwise in use, is refused.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_blank = False
        # For a device O_EXCL means that neither a mounted filesystem nor another restore has it; for a file nothing.
        self._descriptor, self.size_bytes = _open(path, os.O_RDWR | os.O_EXCL)
        self._is_device = stat.S_ISBLK(os.fstat(self._descriptor).st_mode)
        self._direct = self._open_direct()

    @classmethod
    def create(cls, path: Path, size_bytes: int) -> "FileTarget":
        """A new sparse file of this size, its name durable, or SourceError, also if something of this name exists."""
        with _translated(path, "create"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, size_bytes)
                sync_folder(path.parent)
            except BaseException:
                path.unlink()
                raise
            finally:
                os.close(descriptor)
        target = cls(path)
        target.is_blank = True
        return target

    def reserve(self) -> None:
        """SourceError if another process has reserved the file, or removed it, until this one closes it."""
        with suppress(OSError):  # of a filesystem without locks
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SourceError(f"another restore writes to {self._path}; wait for it") from error
        if not os.fstat(self._descriptor).st_nlink:
            raise SourceError(f"{self._path} was removed just now, by a restore that failed; try again")

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        _read_into(self._descriptor, self._path, offset_bytes, buffer)

    def write(self, offset_bytes: int, data: bytes | memoryview) -> None:
        with _translated(self._path, f"write at {offset_bytes} to"):
            position, rest = self._write_direct(offset_bytes, memoryview(data))
            start, length = ctypes.c_int64(position), ctypes.c_int64(len(rest))
            while rest:
                written = os.pwrite(self._descriptor, rest, position)
                rest, position = rest[written:], position + written
        if length.value >= _DIRECT_BYTES_MIN:
            # The disk begins now and not at the flush. Only a wish: whether it worked shows there.
            _libc.sync_file_range(self._descriptor, start, length, _SYNC_FILE_RANGE_WRITE)

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        with _translated(self._path, f"zero at {offset_bytes} of"):
            if self._is_device:
                done = self._zero_device(offset_bytes, length_bytes)
            else:
                done = self._punch_hole(offset_bytes, length_bytes)
        if not done:
            self._write_zeros(offset_bytes, length_bytes)

    def flush(self) -> None:
        with _translated(self._path, "flush"):
            os.fsync(self._descriptor)

    def close(self) -> None:
        if self._direct is not None:
            os.close(self._direct)
        os.close(self._descriptor)

    def _open_direct(self) -> int | None:
        """The same file once more, for writes past the page cache: on ext4 they take a tenth of the processor time."""
        try:
            return os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:
            return None  # the filesystem cannot; what else is wrong shows at the ordinary writes

    def _write_direct(self, position: int, data: memoryview) -> tuple[int, memoryview]:
        """Write as much as can go past the page cache; where the rest begins, and the rest."""
        count = len(data) & -_DIRECT_ALIGNMENT
        if self._direct is None or position % _DIRECT_ALIGNMENT or count < _DIRECT_BYTES_MIN:
            return position, data
        try:
            while count:
                written = os.pwrite(self._direct, data[:count], position)
                position, data, count = position + written, data[written:], count - written
        except OSError as error:
            if error.errno != errno.EINVAL:  # the buffer is not aligned, or the medium wants more alignment
                raise
        return position, data

    def _punch_hole(self, offset: int, length: int) -> bool:
        mode = _FALLOC_PUNCH_HOLE | _FALLOC_KEEP_SIZE
        result = _libc.fallocate(self._descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length))
        return result == 0 or _cannot(ctypes.get_errno())

    def _zero_device(self, offset: int, length: int) -> bool:
        try:
            fcntl.ioctl(self._descriptor, _BLKZEROOUT, struct.pack("QQ", offset, length))
        except OSError as error:
            return _cannot(error.errno or 0)
        return True

    def _write_zeros(self, offset: int, length: int) -> None:
        """Only where there are others: a device that cannot zero may be dear to write to."""
        buffer = bytearray(min(length, MIB))
        while length:
            part = min(length, MIB)
            _read_into(self._descriptor, self._path, offset, memoryview(buffer)[:part])
            if not _ZEROS.startswith(buffer[:part]):
                self.write(offset, memoryview(_ZEROS)[:part])
            offset, length = offset + part, length - part


def _cannot(code: int) -> bool:
    """False if the medium cannot do it, so that it must be done in another way; other errors are raised."""
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code))


def _open(path: Path, flags: int) -> tuple[int, int]:
    """Descriptor and size of a file or block device."""
    with _translated(path, "open"):
        mode = path.stat().st_mode  # before it is opened: that would wait for the other end of a pipe
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise SourceError(f"{path} is neither a file nor a block device")
        descriptor = os.open(path, flags | os.O_CLOEXEC)
        return descriptor, os.lseek(descriptor, 0, os.SEEK_END)


def _read_into(descriptor: int, path: Path, offset: int, buffer: memoryview) -> None:
    with _translated(path, f"read at {offset} from"):
        while buffer:
            count = os.preadv(descriptor, [buffer], offset)
            if not count:
                raise SourceError(f"{path} ended early, at {offset} bytes: it changed while it was read")
            buffer, offset = buffer[count:], offset + count


@contextmanager
def _translated(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "; it is mounted or in use: unmount it first" if error.errno == errno.EBUSY else ""
        raise SourceError(f"cannot {verb} {path}: {error.strerror}{hint}") from error
