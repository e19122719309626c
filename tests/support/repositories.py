"""Repositories, volumes and backups for tests of the engine, all in memory."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from openvbs.clock import utc_now
from openvbs.engine.backup import back_up
from openvbs.engine.facts import BackupFacts, BackupRecord
from openvbs.engine.keys import RootKey, root_key_from_secret
from openvbs.engine.repository import Repository, create_repository
from openvbs.engine.restore import RestoreStats, restore
from openvbs.sources.base import Extent, ExtentKind
from openvbs.stores.base import Store
from openvbs.stores.memory import MemoryStore
from openvbs.units import KIB

BLOCK = 4 * KIB
ROOT_KEY = root_key_from_secret(bytes(range(32)))


class BytesSource:
    """A volume in memory. Without extents all of it is data."""

    def __init__(self, data: bytes, extents: list[Extent] | None = None) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.reads: list[tuple[int, int]] = []
        self._extents = extents

    def extents(self) -> Iterator[Extent]:
        if self._extents is not None:
            return iter(self._extents)
        return iter([Extent(0, self.size_bytes, ExtentKind.DATA)] if self.data else [])

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        assert offset_bytes + len(buffer) <= self.size_bytes
        self.reads.append((offset_bytes, len(buffer)))
        buffer[:] = self.data[offset_bytes : offset_bytes + len(buffer)]

    def close(self) -> None:
        pass


class BytesTarget:
    """A target in memory, blank unless it is given bytes."""

    def __init__(self, size_bytes: int = 0, data: bytes | None = None) -> None:
        self.data = bytearray(size_bytes if data is None else data)
        self.size_bytes = len(self.data)
        self.is_blank = data is None
        self.flushed = False
        self.written: list[tuple[int, int]] = []

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        assert offset_bytes + len(buffer) <= self.size_bytes
        buffer[:] = self.data[offset_bytes : offset_bytes + len(buffer)]

    def write(self, offset_bytes: int, data: bytes | memoryview) -> None:
        assert offset_bytes + len(data) <= self.size_bytes
        self.written.append((offset_bytes, len(data)))
        self.data[offset_bytes : offset_bytes + len(data)] = data

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        assert offset_bytes + length_bytes <= self.size_bytes
        self.data[offset_bytes : offset_bytes + length_bytes] = bytes(length_bytes)

    def flush(self) -> None:
        self.flushed = True

    def close(self) -> None:
        pass


def facts(**given: object) -> BackupFacts:
    """Facts with a new id and whatever else is given."""
    values: dict[str, object] = {"backup_id": str(uuid4()), "name": "test", "created_at": utc_now()}
    return BackupFacts(**(values | given))


@contextmanager
def new_repository(
    store: Store | None = None, *, root_key: RootKey = ROOT_KEY, block_bytes: int = BLOCK, cache: Path | None = None
) -> Iterator[Repository]:
    """A repository with small blocks, so that small volumes have many."""
    made = create_repository(store or MemoryStore(), root_key, block_bytes=block_bytes, cache=cache)
    with made as repository:
        yield repository


def back_up_bytes(repository: Repository, data: bytes, **given: object) -> BackupRecord:
    """Back up a volume of these bytes."""
    return back_up(repository, BytesSource(data), facts(**given))


def restored(repository: Repository, backup_id: str) -> bytes:
    """What a restore of the backup gives."""
    target = BytesTarget(repository.load_backup(backup_id).size_bytes)
    restore_to(repository, backup_id, target)
    return bytes(target.data)


def restore_to(repository: Repository, backup_id: str, target: BytesTarget) -> RestoreStats:
    """Restore and see that it was flushed."""
    stats = restore(repository, backup_id, target)
    assert target.flushed
    return stats


def random_bytes(blocks: float) -> bytes:
    """Incompressible bytes, so many blocks long."""
    return secrets.token_bytes(int(blocks * BLOCK))
