"""Who a worker is: the same after a restart, so that it goes on at once with the jobs that it had."""

import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openvbs.files import write_private

_ID = re.compile(r"[0-9a-f-]{36}")


@contextmanager
def worker_id(directory: Path) -> Iterator[str]:
    """The first id of the directory that no other process holds, held while the context lasts; a new one if need be.

    The lock goes with the process, however it ends.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = 0
    while True:
        number += 1
        lock = os.open(directory / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield _read_or_make(directory / f"{number}.id")
        finally:
            os.close(lock)
        return


def _read_or_make(path: Path) -> str:
    if path.exists() and _ID.fullmatch(found := path.read_text().strip()):
        return found
    made = str(uuid.uuid4())
    write_private(path, made + "\n")
    return made
