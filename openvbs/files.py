"""Writing files that must be whole once they have their name, and small private ones that outlast a power cut."""

import errno
import fcntl
import glob
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def write_private(path: Path, text: str) -> None:
    """Make ``text`` the content of ``path``, mode 0600, durable on return. A crash leaves the old or the new.

    The folder must exist. A crash may also leave a ``.tmp-`` file beside it, which nothing reads.
    """
    with replacing(path, f".tmp-{path.name}-") as descriptor, open(descriptor, "wb", closefd=False) as file:
        file.write(text.encode())
    sync_folder(path.parent)


def replacing(target: Path, draft_prefix: str) -> AbstractContextManager[int]:
    """A descriptor of a draft beside the target that gets its name at the end, flushed and at once.

    After an error the target is as before. The name is not durable until ``sync_folder``. A crash leaves at most the
    draft, which ``sweep_drafts`` takes.
    """
    return _drafted(target, draft_prefix, os.replace)


def naming(target: Path, draft_prefix: str) -> AbstractContextManager[int]:
    """Like replacing, but FileExistsError if something has the target's name at the end: that is left as it is.

    The draft stays as a second name of the file, by which ``is_named`` knows it, until ``sweep_drafts``. A filesystem
    without hard links keeps no second name. Neither name is durable until ``sync_folder``.
    """
    return _drafted(target, draft_prefix, _name)


@contextmanager
def _drafted(target: Path, draft_prefix: str, give_name: Callable[[Path, Path], None]) -> Iterator[int]:
    draft, descriptor = open_draft(target.parent, draft_prefix)
    try:
        yield descriptor
        os.fsync(descriptor)  # the name must not come back from a power cut with other bytes behind it
        give_name(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)  # it may have got its name already
        raise
    finally:
        os.close(descriptor)


def _name(draft: Path, target: Path) -> None:
    try:
        os.link(draft, target)
    except FileExistsError:
        if not is_same(draft, target):  # a file server says so, too, when it is asked again after a lost answer
            raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_to_free(draft, target)


def _rename_to_free(draft: Path, target: Path) -> None:
    # An empty file takes the name, which fails if anything has it. A crash just now leaves that.
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        draft.replace(target)
    except BaseException:
        target.unlink()
        raise


def is_named(target: Path, draft_prefix: str) -> bool:
    """Whether ``naming`` gave the target its name, and no sweep of the drafts has come since."""
    return any(is_same(target, draft) for draft in target.parent.glob(f"{glob.escape(draft_prefix)}*"))


def is_same(one: Path, other: Path) -> bool:
    """Whether both names lead to one file or device. What cannot be looked at is compared by name alone."""
    if one == other:
        return True
    try:
        first, second = one.stat(), other.stat()
    except OSError:
        return False
    if stat.S_ISBLK(first.st_mode) and stat.S_ISBLK(second.st_mode):
        return first.st_rdev == second.st_rdev  # one device may have several nodes
    return os.path.samestat(first, second)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_draft(folder: Path, prefix: str) -> tuple[Path, int]:
    """A new private file whose name begins so, open to read and write, to be renamed once it is whole.

    Its lock says that the writer lives: it goes with the descriptor, also by a kill.
    """
    while True:
        draft = folder / f"{prefix}{secrets.token_hex(16)}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:  # else a sweep came between the creation and the lock
            return draft, descriptor
        os.close(descriptor)


def sweep_drafts(folder: Path, prefix: str) -> list[Path]:
    """Remove the drafts whose writers are gone; which they were. What cannot be opened or removed is left alone."""
    removed = []
    for draft in folder.glob(f"{glob.escape(prefix)}*"):
        with suppress(OSError):
            # In a folder for everybody it may be anybody's, and anything.
            descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink()
                removed.append(draft)
            finally:
                os.close(descriptor)
    return removed
