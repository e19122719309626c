"""The data directory: made private, held by one service at a time."""

import fcntl
import os
import pwd
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from openvbs.clock import monotonic_seconds
from openvbs.errors import OpenVbsError

_CHILDREN_SECONDS_MAX = 15
_POLL_SECONDS = 0.05


class FolderInUse(OpenVbsError):
    """Another service works in this data directory."""


class FolderUnusable(OpenVbsError):
    """The data directory cannot be made or written."""


def make_private(path: Path) -> None:
    """The folder is there, mode 0700 if it had to be made. Raises FolderUnusable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FolderUnusable(f"data_dir: cannot use {path}: {error.strerror or error}") from error


def refuse_root(path: Path) -> None:
    """Raises FolderUnusable for root where the path is somebody else's, who could not read what root makes there."""
    if os.geteuid() != 0 or not path.exists():
        return
    owner = path.stat().st_uid
    if owner == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"'#{owner}'"  # as sudo takes a number
    raise FolderUnusable(
        f"{path} belongs to user {name}, who could not read what root makes; run this as that user: "
        f"sudo -u {name} openvbs ..."
    )


class DataFolder:
    """A data directory that is ours while the object is open.

    Two locks, both given back by the kernel however their holders end. ``lock`` is held by this process alone, so it
    tells at once whether a service lives. ``lock.children`` is inherited by the children and held until the last of
    them has ended: after a kill -9 a new service must not start beside a worker that is still dying.
    """

    def __init__(self, path: Path) -> None:
        """Make the directory, mode 0700, and lock it. Raises FolderInUse, FolderUnusable."""
        self.path = path
        make_private(path)
        try:
            self._own = _open(path / "lock")
            self.children_lock = _open(path / "lock.children")
        except OSError as error:
            raise FolderUnusable(f"data_dir: cannot use {path}: {error.strerror or error}") from error
        if not _try_lock(self._own):
            holder = os.pread(self._own, 20, 0).decode("ascii", "replace").strip() or "another process"
            self.close()
            raise FolderInUse(f"data_dir: {path} is in use by process {holder}; stop it, or choose another --data-dir")
        os.ftruncate(self._own, 0)
        os.pwrite(self._own, f"{os.getpid()}\n".encode(), 0)
        self._wait_for_children()

    def _wait_for_children(self) -> None:
        deadline = monotonic_seconds() + _CHILDREN_SECONDS_MAX
        while not _try_lock(self.children_lock):
            if monotonic_seconds() > deadline:
                self.close()
                raise FolderInUse(f"data_dir: a process of an earlier service still works in {self.path}; stop it")
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Give the directory back. Children that are still alive keep it from the next service."""
        os.close(self._own)
        os.close(self.children_lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
