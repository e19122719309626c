"""Writing files that must be whole once they have their name, and small private ones that outlast a power cut."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Make ``text`` the content of ``path``, mode 0600, durable on return. A crash leaves the old or the new.

    The folder must exist. A crash may also leave a ``.tmp-`` file beside it, which nothing reads.
    """
    temporary = path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def draft_in(folder: Path) -> Iterator[tuple[Path, int]]:
    """A new file in the folder, and a descriptor to write it by; gone at the end unless it was renamed.

    A kill leaves it to whoever makes the next draft there.
    """
    _remove_stale_drafts(folder)
    while True:
        draft = folder / f"openvbs-{secrets.token_hex(16)}.draft"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # The lock says that the writer lives. A cleaner may have got it first and have removed the file.
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)
    try:
        yield draft, descriptor
    finally:
        draft.unlink(missing_ok=True)
        os.close(descriptor)


def _remove_stale_drafts(folder: Path) -> None:
    """Remove what killed writers left, as far as it is ours; living ones hold the lock of their draft."""
    for draft in folder.glob("openvbs-*.draft"):
        with suppress(OSError):
            # The folder may be one in which everybody may put what looks like a draft.
            descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
