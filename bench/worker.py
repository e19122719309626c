"""Backups with hints, which no command of ours gives yet, without the start of a program.

    python -m bench.worker BEFORE AFTER ALONE FOLDER

Backs AFTER up with hints against BEFORE, and ALONE, a file of what changed and no more. Prints one JSON document.
"""

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from openvbs.clock import utc_now
from openvbs.engine.backup import back_up
from openvbs.engine.facts import BackupFacts, BackupRecord
from openvbs.engine.keys import root_key_from_secret
from openvbs.engine.repository import Repository, create_repository
from openvbs.sources.base import Source
from openvbs.sources.file import FileSource
from openvbs.sources.hinted import ByteRange, HintedSource
from openvbs.stores.local import LocalStore
from openvbs.units import GIB, MIB

VOLUME_BYTES = 64 * GIB
CHANGED_BYTES = 64 * MIB
CHANGES = 64
"""The changes lie this many places, evenly spread."""


def changed_ranges() -> list[ByteRange]:
    """Where AFTER differs from BEFORE."""
    return [ByteRange(i * VOLUME_BYTES // CHANGES, CHANGED_BYTES // CHANGES) for i in range(CHANGES)]


def _repository(folder: Path) -> Repository:
    return create_repository(LocalStore(folder), root_key_from_secret(bytes(32)))


def _timed(repository: Repository, source: Source, parent: str | None = None) -> tuple[float, BackupRecord]:
    subprocess.run(["sync"], check=True)
    started = time.perf_counter()
    facts = BackupFacts(backup_id=str(uuid4()), name="bench", created_at=utc_now())
    record = back_up(repository, source, facts, parent=parent)
    return time.perf_counter() - started, record


def hinted(before: Path, after: Path, alone: Path, folder: Path) -> dict[str, float]:
    """Seconds of the backup with hints and of what changed alone; both store the same bytes."""
    with _repository(folder / "volume") as repository:
        with closing(FileSource(before)) as source:
            parent = _timed(repository, source)[1].facts.backup_id
        with closing(HintedSource(FileSource(after), changed_ranges)) as source:
            seconds, record = _timed(repository, source, parent)
    assert record.stats.bytes_read == CHANGED_BYTES
    assert record.stats.hints_wrong == 0
    with _repository(folder / "alone") as repository, closing(FileSource(alone)) as source:
        return {"hinted": seconds, "alone": _timed(repository, source)[0]}


def main() -> None:
    print(json.dumps(hinted(*map(Path, sys.argv[1:]))))


if __name__ == "__main__":
    main()
