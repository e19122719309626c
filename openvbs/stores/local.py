"""Objects as files below one directory. Whatever returned is durable: file and directory are flushed."""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from openvbs.files import open_draft, sweep_drafts, sync_folder
from openvbs.stores.base import (
    BadName,
    Bytes,
    NameTaken,
    ObjectInfo,
    ObjectMissing,
    ObjectTooShort,
    StoreError,
    StoreFull,
    StoreUnavailable,
    check_name,
)
from openvbs.units import MIB

_DRAFTS = ".drafts"
"""Where objects are written before they get their name. No object's name can start with a dot."""
_DIRECT_BYTES_MIN = 1 * MIB
_DIRECT_ALIGNMENT = 4096
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING = {errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY}


class LocalStore:
    """A directory, made at the first write. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._drafts = root / _DRAFTS
        self._known: set[str] = set()
        self._known_lock = threading.Lock()
        with _translated(str(root)):
            sweep_drafts(self._drafts, "")

    def put(self, name: str, data: Bytes) -> None:
        path = self._prepare(name)
        with _translated(name), self._draft(data) as draft:
            draft.replace(path)
            sync_folder(path.parent)

    def create(self, name: str, data: Bytes) -> None:
        path = self._prepare(name)
        with _translated(name), self._draft(data) as draft:
            try:
                os.link(draft, path)
            except FileExistsError as error:
                # Who made it may not have flushed the directory yet, and our caller will build on it.
                sync_folder(path.parent)
                raise NameTaken(f"{name} exists already") from error
            sync_folder(path.parent)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with _translated(name):
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(descriptor).st_size
                wanted = size - offset if length is None else length
                if wanted < 0 or offset + wanted > size:
                    raise ObjectTooShort(f"{name} has {size} bytes; {offset + max(wanted, 0)} were asked for")
                data = os.pread(descriptor, wanted, offset)
                while len(data) < wanted:
                    more = os.pread(descriptor, wanted - len(data), offset + len(data))
                    if not more:
                        raise ObjectTooShort(f"{name} ended early, at {offset + len(data)} bytes")
                    data += more
                return data
            finally:
                os.close(descriptor)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        with _translated(prefix or str(self._root)):
            yield from self._walk(folder, prefix)

    def stat(self, name: str) -> ObjectInfo:
        with _translated(name):
            status = self._path(name).stat()
            return ObjectInfo(name, status.st_size, status.st_mtime)

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _translated(name):
            try:
                path.unlink()
            except FileNotFoundError:
                return
            sync_folder(path.parent)

    def close(self) -> None:
        pass

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    def _prepare(self, name: str) -> Path:
        """The object's path; its directories exist, durably."""
        path = self._path(name)
        folder = name.rpartition("/")[0]
        with self._known_lock:
            if folder in self._known:
                return path
        with _translated(name):
            self._make_folder(self._drafts)
            self._make_folder(path.parent)
        with self._known_lock:
            self._known.add(folder)
        return path

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, durably."""
        is_ours = folder == self._root or self._root in folder.parents
        if folder == folder.parent or (not is_ours and folder.exists()):
            return
        self._make_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
            self._hand_over(folder)
        # Even if another process made it: it may not have come to that yet.
        sync_folder(folder.parent)

    def _hand_over(self, made: Path | int) -> None:
        """What root makes in somebody's store becomes theirs, or their service could not read it."""
        if os.geteuid() == 0 and self._root.exists() and (owner := self._root.stat()).st_uid:
            with suppress(PermissionError):  # of a filesystem without owners
                os.chown(made, owner.st_uid, owner.st_gid)

    @contextmanager
    def _draft(self, data: Bytes) -> Iterator[Path]:
        """A durable file with the data, gone again at the end unless it was renamed."""
        draft, descriptor = open_draft(self._drafts, "")
        try:
            self._hand_over(descriptor)
            rest = _write_direct(descriptor, memoryview(data))
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fdatasync(descriptor)
            yield draft
        finally:
            draft.unlink(missing_ok=True)
            os.close(descriptor)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(self._root / folder) as scan:
                entries = [(entry.name + "/" if entry.is_dir() else entry.name, entry) for entry in scan]
        except FileNotFoundError:
            return
        start = f"{folder}/" if folder else ""
        for suffix, entry in sorted(entries, key=lambda item: item[0]):
            name = start + suffix
            try:
                # Other files are no objects; a folder such as lost+found holds none, and may be closed to us.
                check_name(name.removesuffix("/"))
                if suffix.endswith("/"):
                    if name.startswith(prefix) or prefix.startswith(name):
                        yield from self._walk(name[:-1], prefix)
                elif name.startswith(prefix):
                    status = entry.stat()
                    yield ObjectInfo(name, status.st_size, status.st_mtime)
            except (BadName, FileNotFoundError):
                continue


def _write_direct(descriptor: int, data: memoryview) -> memoryview:
    """Write as much as can go past the page cache, and give back the rest.

    That saves a copy, and packs that are not read again soon push nothing out of the cache.
    """
    rest = data[: len(data) & -_DIRECT_ALIGNMENT] if len(data) >= _DIRECT_BYTES_MIN else data[:0]
    total = len(rest)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        if rest:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        if error.errno != errno.EINVAL:  # the filesystem cannot, or the buffer is not aligned
            raise
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return data[total - len(rest) :]


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as error:
        _raise(name, error)


def _raise(name: str, error: OSError) -> NoReturn:
    text = f"{name}: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        raise ObjectMissing(f"there is no object {name}") from error
    if error.errno in _FULL:
        raise StoreFull(f"the store is full: {text}") from error
    if error.errno in _PASSING:
        raise StoreUnavailable(f"the store did not answer: {text}") from error
    raise StoreError(f"the store refused: {text}") from error
