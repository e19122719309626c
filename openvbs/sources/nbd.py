"""Reads what a local NBD server shows, through libnbd (Debian: libnbd0), which starts and ends the server itself."""

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from openvbs.sources.base import Extent, ExtentKind, SourceError
from openvbs.units import GIB, MIB

LIBRARY = "libnbd.so.0"
PACKAGE = "libnbd0"
_ALLOCATION = b"base:allocation"
_READS_AS_ZERO = 2  # NBD_STATE_ZERO of the NBD protocol
_READ_BYTES_MAX = 32 * MIB
"""What every server must take, by the protocol."""
_MAP_BYTES = GIB

_EXTENTS = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_uint64,
    ctypes.POINTER(ctypes.c_uint32),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_int),
)


class _ExtentCallback(ctypes.Structure):
    """nbd_extent_callback of libnbd.h."""

    _fields_ = (("callback", _EXTENTS), ("user_data", ctypes.c_void_p), ("free", ctypes.c_void_p))


class LibraryMissing(SourceError):
    """libnbd is not on this machine; the operator installs a package."""

    def __init__(self) -> None:
        super().__init__(f"this needs {LIBRARY}; install the package that has it ({PACKAGE} on Debian and Ubuntu)")


class NbdSource:
    """A disk that a server shows, which is started for it by a command. Threads take turns.

    The command must take the socket as systemd gives one (LISTEN_FDS) and end once we close or die, as qemu-nbd does.
    """

    def __init__(self, command: list[str], *, shown: Path) -> None:
        """``shown`` is what errors name. SourceError if the server does not start; its words are on standard error."""
        self._shown = shown
        self._library = _library()
        self._handle = self._library.nbd_create()
        if not self._handle:
            raise SourceError(f"{shown}: {self._library.nbd_get_error().decode()}")
        try:
            self._call("nbd_add_meta_context", _ALLOCATION)
            words = (ctypes.c_char_p * (len(command) + 1))(*(os.fsencode(word) for word in command), None)
            self._call("nbd_connect_systemd_socket_activation", words)
            self._has_map = self._call("nbd_can_meta_context", _ALLOCATION) == 1
            self.size_bytes = self._call("nbd_get_size")
        except BaseException:
            self.close()
            raise

    def extents(self) -> Iterator[Extent]:
        if not self._has_map:
            if self.size_bytes:
                yield Extent(0, self.size_bytes, ExtentKind.DATA)
            return
        position = 0
        while position < self.size_bytes:
            for length, flags in self._map(position, min(_MAP_BYTES, self.size_bytes - position)):
                # The last one may go on after what was asked for.
                wanted = min(length, self.size_bytes - position)
                yield Extent(position, wanted, ExtentKind.ZERO if flags & _READS_AS_ZERO else ExtentKind.DATA)
                position += wanted

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        while buffer:
            part = buffer[:_READ_BYTES_MAX]
            address = ctypes.addressof(ctypes.c_char.from_buffer(part))
            self._call("nbd_pread", address, len(part), offset_bytes, 0)
            buffer, offset_bytes = buffer[len(part) :], offset_bytes + len(part)

    def close(self) -> None:
        """Give the source back; the server ends."""
        self._library.nbd_close(self._handle)

    def _map(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Lengths and flags of the extents from offset on; at least one."""
        found: list[tuple[int, int]] = []

        def note(_data: object, context: bytes, _offset: int, entries: object, count: int, _error: object) -> int:
            if context == _ALLOCATION:
                found.extend((entries[i], entries[i + 1]) for i in range(0, count, 2))  # type: ignore[index]
            return 0

        self._call("nbd_block_status", length, offset, _ExtentCallback(_EXTENTS(note), None, None), 0)
        if not found:
            raise SourceError(f"cannot map {self._shown} at {offset}: the server says nothing")
        return found

    def _call(self, name: str, *arguments: object) -> int:
        """A function of libnbd that gives -1 for an error; the library keeps its text per thread."""
        result = int(getattr(self._library, name)(self._handle, *arguments))
        if result == -1:
            raise SourceError(f"cannot read {self._shown}: {self._library.nbd_get_error().decode(errors='replace')}")
        return result


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise LibraryMissing from error
    handle, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64
    for name, result, arguments in (
        ("nbd_create", handle, ()),
        ("nbd_get_error", ctypes.c_char_p, ()),
        ("nbd_add_meta_context", number, (handle, ctypes.c_char_p)),
        ("nbd_can_meta_context", number, (handle, ctypes.c_char_p)),
        ("nbd_connect_systemd_socket_activation", number, (handle, ctypes.POINTER(ctypes.c_char_p))),
        ("nbd_get_size", ctypes.c_int64, (handle,)),
        ("nbd_pread", number, (handle, ctypes.c_void_p, ctypes.c_size_t, size, ctypes.c_uint32)),
        ("nbd_block_status", number, (handle, size, size, _ExtentCallback, ctypes.c_uint32)),
        ("nbd_close", None, (handle,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
