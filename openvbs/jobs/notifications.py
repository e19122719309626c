"""Hand audit events to the operator: CADF, one JSON object a line, appended to a file that a log shipper reads.

An event is owed from the transaction that wrote it until its line is durable, so none is lost. A crash between the
two, or a failure of the disk, lets its line be written again: readers tell by the event's id.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from openvbs.clock import monotonic_seconds
from openvbs.db import audit
from openvbs.db.session import Database
from openvbs.domain.audit import AuditEvent
from openvbs.files import sync_folder
from openvbs.jobs.cadf import cadf_of

log = logging.getLogger(__name__)

AT_ONCE_MAX = 500
LOOK_SECONDS = 1.0
BUSY_SECONDS_MAX = 60.0
"""How long others may have the file to themselves before the operator is told."""


class _FileBusy(Exception):
    """Somebody else has the file just now."""


class Notifications:
    """Any number of workers may send at once; each event is sent by one of them."""

    def __init__(self, database: Database, path: Path | None) -> None:
        """Without a path nothing is sent."""
        self._database = database
        self._path = path
        self._busy_since: float | None = None

    def send_owed(self) -> None:
        """Write the lines of all events that are owed, the oldest first.

        OSError leaves the rest owed, and so does, without an error, somebody else who has the file just now.
        """
        sent = AT_ONCE_MAX if self._path is not None else 0
        try:
            while sent == AT_ONCE_MAX:
                sent = self._send_some()
        except _FileBusy:
            self._note_busy()
        else:
            self._busy_since = None

    def _note_busy(self) -> None:
        """Another worker is soon done. What has the file for longer keeps all events from being sent."""
        now = monotonic_seconds()
        if self._busy_since is None:
            self._busy_since = now
        elif now - self._busy_since > BUSY_SECONDS_MAX:
            self._busy_since = now
            log.warning("audit events wait, since another process has kept %s locked for a while", self._path)

    def _send_some(self) -> int:
        assert self._path is not None
        with self._database.read() as connection:
            if not audit.is_any_owed(connection):
                return 0
        with _open_alone(self._path) as file:
            if self._database.is_sqlite:
                return self._send_without_lock(file)
            with self._database.write() as connection:
                # Workers on other machines have files of their own; the locked rows keep them from sending the same.
                events = audit.owed(connection, limit=AT_ONCE_MAX)
                _append(file, events)
                audit.mark_sent(connection, [event.id for event in events])
        return len(events)

    def _send_without_lock(self, file: FileIO) -> int:
        """Sync before the transaction begins: SQLite's other writers, requests among them, wait while one is open.

        The file's lock is enough here: who shares an SQLite database shares the machine and its settings.
        """
        with self._database.read() as connection:
            events = audit.owed(connection, limit=AT_ONCE_MAX)
        if events:
            _append(file, events)
            with self._database.write() as connection:
                audit.mark_sent(connection, [event.id for event in events])
        return len(events)


@contextmanager
def _open_alone(path: Path) -> Iterator[FileIO]:
    """The file, while nobody else has it so, or _FileBusy. Opened each time, so that it may be rotated away."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _FileBusy from error
        if is_new:
            sync_folder(path.parent)
        yield file


def _append(file: FileIO, events: list[AuditEvent]) -> None:
    """A line for each, durable on return."""
    data = b"".join(json.dumps(cadf_of(event), separators=(",", ":")).encode() + b"\n" for event in events)
    if _is_torn(file.fileno()):
        data = b"\n" + data
    written = file.write(data)
    if written != len(data):
        raise OSError(f"{file.name}: only {written} of {len(data)} bytes were written")
    os.fsync(file.fileno())


def _is_torn(descriptor: int) -> bool:
    """Does the file end in the middle of a line, which a full disk or a crash left?"""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
