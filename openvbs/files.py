"""Writing small files that must be whole, private and still there after a power cut."""

import os
import secrets
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
