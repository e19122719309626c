"""What a power cut would take away, told from the calls that a program makes of the operating system."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

_WRITES_TO = {"write": 0, "pwrite": 0, "ftruncate": 0, "copy_file_range": 1, "sendfile": 0}
"""Where each call names the descriptor that it writes to."""


class Disk:
    """Files below a folder while it is watched. Names that begin with a dot are drafts: nobody counts on them.

    What lay there before counts as durable. Writes of Python's own files are seen by the size that they leave.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._flushed = {_inode(path): path.stat().st_size for path in root.rglob("*") if path.is_file()}
        self._dirty: set[tuple[int, int]] = set()
        self._opened: dict[Path, tuple[int, int]] = {}
        self._names: set[Path] = set()
        self.too_early: list[str] = []
        """What was done before that on which it rests was durable, so that a power cut may leave neither."""

    def lost_bytes(self) -> list[str]:
        """Files that would come back from a power cut with other bytes."""
        return sorted(
            self._short(path)
            for path, inode in self._opened.items()
            if not self._is_draft(path) and path.exists() and _inode(path) == inode and not self._is_durable(path)
        )

    def lost_names(self) -> list[str]:
        """Names that would come back, or not, other than they are now."""
        return sorted(map(self._short, self._names))

    def losses(self) -> list[str]:
        """All that is not durable now, and all that was done too early."""
        return [*self.lost_bytes(), *self.lost_names(), *self.too_early]

    def open(self, real: Callable[..., int], path: str | Path, flags: int, *rest: object, **named: object) -> int:
        is_new = bool(flags & os.O_CREAT) and not Path(path).exists()
        descriptor = real(path, flags, *rest, **named)
        if is_new:
            self._renamed(Path(path))
        if flags & (os.O_WRONLY | os.O_RDWR):
            status = os.fstat(descriptor)
            self._opened.setdefault(_path_of(descriptor), (status.st_dev, status.st_ino))
            self._flushed.setdefault((status.st_dev, status.st_ino), status.st_size)
        return descriptor

    def wrote(self, descriptor: int) -> None:
        self._dirty.add(_inode(descriptor))

    def flushed(self, descriptor: int) -> None:
        path = _path_of(descriptor)
        self._names = {name for name in self._names if name.parent != path}
        self._dirty.discard(_inode(descriptor))
        self._flushed[_inode(descriptor)] = os.fstat(descriptor).st_size

    def names(self, source: Path, target: Path) -> None:
        """The source is about to get, or has, the name target."""
        if not source.is_dir() and not self._is_durable(source):
            self.too_early.append(f"{self._short(target)} was named before its bytes were flushed")
        self._opened[target] = _inode(source)

    def takes_away(self, path: Path) -> None:
        """What the name stood for is about to go."""
        if path.exists() and not self._is_draft(path):
            waiting = [name for name in self._names if name.parent == path.parent and name != path]
            self.too_early += [f"{self._short(path)} went before {self._short(name)} was flushed" for name in waiting]

    def _renamed(self, path: Path) -> None:
        if not self._is_draft(path):
            self._names.add(path)

    def renamed(self, *paths: Path) -> None:
        for path in paths:
            self._renamed(path)

    def _is_durable(self, path: Path) -> bool:
        inode = _inode(path)
        return inode not in self._dirty and self._flushed.get(inode) == path.stat().st_size

    def _is_draft(self, path: Path) -> bool:
        inside = path.is_relative_to(self._root)
        return not inside or any(part.startswith(".") for part in path.relative_to(self._root).parts)

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self._root))


@contextmanager
def watched(root: Path) -> Iterator[Disk]:
    """A Disk that sees what happens below root meanwhile."""
    disk = Disk(root)
    real = {name: getattr(os, name) for name in (*_WRITES_TO, "open", "fsync", "fdatasync", "link", "unlink", "mkdir")}
    real_replace = os.replace

    def write(name: str) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            disk.wrote(arguments[_WRITES_TO[name]])
            return real[name](*arguments)

        return call

    def flush(name: str) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            real[name](descriptor)
            disk.flushed(descriptor)

        return call

    def link(source: str | Path, target: str | Path, **named: object) -> None:
        real["link"](source, target, **named)
        disk.names(Path(source), Path(target))
        disk.renamed(Path(target))

    def replace(source: str | Path, target: str | Path) -> None:
        disk.takes_away(Path(target))
        disk.names(Path(source), Path(target))
        real_replace(source, target)
        disk.renamed(Path(source), Path(target))

    def unlink(path: str | Path, **named: object) -> None:
        disk.takes_away(Path(path))
        real["unlink"](path, **named)
        disk.renamed(Path(path))

    def mkdir(path: str | Path, *rest: object, **named: object) -> None:
        real["mkdir"](path, *rest, **named)
        disk.renamed(Path(path))

    calls = {name: write(name) for name in _WRITES_TO} | {name: flush(name) for name in ("fsync", "fdatasync")}
    calls |= {"open": lambda *a, **k: disk.open(real["open"], *a, **k), "mkdir": mkdir}
    calls |= {"link": link, "replace": replace, "rename": replace, "unlink": unlink, "remove": unlink}
    with ExitStack() as stack:
        for name, call in calls.items():
            stack.enter_context(patch.object(os, name, call))
        yield disk


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _inode(file: int | Path) -> tuple[int, int]:
    status = os.fstat(file) if isinstance(file, int) else file.stat()
    return status.st_dev, status.st_ino
