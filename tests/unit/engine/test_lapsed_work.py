"""Who could not renew its lease for too long neither commits nor reads on (I10)."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from openvbs.clock import monotonic_seconds
from openvbs.engine import backup as backup_module
from openvbs.engine import leases
from openvbs.engine import restore as restore_module
from openvbs.engine.backup import back_up
from openvbs.engine.errors import LeaseLapsed
from openvbs.engine.format import BACKUPS
from openvbs.engine.leases import LAPSE_SECONDS
from openvbs.engine.progress import Progress
from openvbs.engine.restore import restore
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import (
    BLOCK,
    BytesSource,
    BytesTarget,
    back_up_bytes,
    facts,
    new_repository,
    random_bytes,
)


class StoppedMachine:
    """Its clock jumps at the first progress that work tells of; what is told after that is kept."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.told: list[Progress] = []

    def monotonic(self) -> float:
        return monotonic_seconds() + self.ahead

    def on_progress(self, progress: Progress) -> None:
        if self.ahead:
            self.told.append(progress)
        self.ahead = LAPSE_SECONDS + 1


@pytest.fixture
def machine() -> Iterator[StoppedMachine]:
    machine = StoppedMachine()
    with (
        patch.object(leases, "monotonic_seconds", machine.monotonic),
        patch.object(backup_module, "BATCH_BYTES_MAX", BLOCK),
        patch.object(restore_module, "BATCH_BYTES", BLOCK),
    ):
        yield machine


def test_i10_a_restore_does_not_read_on(machine):
    with new_repository() as repository:
        backup_id = back_up_bytes(repository, random_bytes(40)).facts.backup_id
        target = BytesTarget(40 * BLOCK)
        with pytest.raises(LeaseLapsed):
            restore(repository, backup_id, target, on_progress=machine.on_progress)
    assert not machine.told
    assert not target.flushed


def test_i10_a_backup_does_not_upload_on_and_is_not_committed(machine):
    store = MemoryStore()
    with new_repository(store) as repository, pytest.raises(LeaseLapsed):
        back_up(repository, BytesSource(random_bytes(40)), facts(), on_progress=machine.on_progress)
    assert not machine.told
    assert not list(store.list(BACKUPS))
