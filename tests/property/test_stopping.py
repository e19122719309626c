"""Work that is stopped or whose store fails wherever it can: nothing half is seen, and a retry finishes."""

import pytest

from openvbs.engine import packing as packing_module
from openvbs.engine.backup import back_up
from openvbs.engine.check import check_data
from openvbs.engine.facts import BackupFacts
from openvbs.engine.format import LEASES
from openvbs.engine.restore import restore
from openvbs.sources.base import SourceError, TargetTooSmall
from openvbs.stores.base import StoreError, StoreFull
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import (
    BLOCK,
    BytesSource,
    BytesTarget,
    back_up_bytes,
    facts,
    new_repository,
    random_bytes,
    restored,
)

BLOCKS = 64
CONTENT = random_bytes(BLOCKS) + bytes(300 * BLOCK) + random_bytes(BLOCKS + 0.3)


class Stopped(Exception):
    """What a caller raises to stop the work."""


def stopping_at(call: int):
    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Stopped

    return checkpoint


@pytest.fixture(autouse=True)
def small_work(monkeypatch):
    """Many batches and packs although the volume is small."""
    monkeypatch.setattr("openvbs.engine.backup.BATCH_BYTES_MAX", 4 * BLOCK)
    monkeypatch.setattr("openvbs.engine.restore.BATCH_BYTES", 4 * BLOCK)
    monkeypatch.setattr(packing_module, "PACK_BYTES", 0)
    monkeypatch.setattr(packing_module, "MIB", 8 * BLOCK)


def test_a_backup_stopped_at_every_checkpoint_is_invisible_and_its_work_is_not_lost():
    for call in range(1, 1000):
        with new_repository() as repository:
            what = facts()
            try:
                back_up(repository, BytesSource(CONTENT), what, checkpoint=stopping_at(call))
            except Stopped:
                pass
            else:
                break  # that were all
            assert list(repository.list_backups()) == []
            assert list(repository.store.list(LEASES)) == []
            assert check_data(repository).ok
            done = stored_bytes(repository)
            record = back_up(repository, BytesSource(CONTENT), what)
            assert record.stats.bytes_stored + done <= 1.2 * len(CONTENT.strip(b"\0"))
            assert restored(repository, what.backup_id) == CONTENT
    assert call > 20


def stored_bytes(repository) -> int:
    return sum(info.size_bytes for info in repository.store.list("packs/"))


def test_a_restore_stopped_at_every_checkpoint_has_written_only_right_bytes():
    with new_repository() as repository:
        backup_id = back_up_bytes(repository, CONTENT).facts.backup_id
        stops = 0
        for call in range(1, 60):
            target = BytesTarget(len(CONTENT))
            try:
                restore(repository, backup_id, target, checkpoint=stopping_at(call))
            except Stopped:
                stops += 1
            else:
                assert target.data == CONTENT
            assert list(repository.store.list(LEASES)) == []
            for offset, length in target.written:
                assert target.data[offset : offset + length] == CONTENT[offset : offset + length]
        assert stops > 5


class FailingStore(MemoryStore):
    """Fails the n-th call of put and create, before or after it did its work."""

    fail_at = 0
    after = False
    error: type[StoreError] = StoreFull
    calls = 0

    def put(self, name, data):
        self._count(lambda: MemoryStore.put(self, name, data))

    def create(self, name, data):
        self._count(lambda: MemoryStore.create(self, name, data))

    def _count(self, work):
        self.calls += 1
        fails = self.calls == self.fail_at
        if not fails or self.after:
            work()
        if fails:
            raise self.error("made to fail")


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but lost"])
def test_a_backup_whose_nth_write_fails_leaves_all_whole(after):
    call = 0
    while True:
        call += 1
        store = FailingStore()
        with new_repository(store) as repository:
            first = back_up_bytes(repository, CONTENT[: 20 * BLOCK]).facts.backup_id
            store.calls, store.fail_at, store.after = 0, call, after
            what = facts()
            try:
                back_up(repository, BytesSource(CONTENT), what)
                failed = False
            except StoreFull:
                failed = True
            is_done = store.calls < call
            store.fail_at = 0
            visible = {record.facts.backup_id for record in repository.list_backups()}
            assert first in visible
            assert check_data(repository).ok
            assert what.backup_id not in visible or restored(repository, what.backup_id) == CONTENT
            assert failed or what.backup_id in visible
            back_up(repository, BytesSource(CONTENT), what)
            assert restored(repository, what.backup_id) == CONTENT
            assert restored(repository, first) == CONTENT[: 20 * BLOCK]
        if is_done:
            break
    assert call > 10


def test_a_source_that_fails_in_the_middle_is_reported_as_such():
    class Failing(BytesSource):
        def read_into(self, offset_bytes, buffer):
            if offset_bytes > 30 * BLOCK:
                raise SourceError("cannot read at 30")
            super().read_into(offset_bytes, buffer)

    with new_repository() as repository:
        with pytest.raises(SourceError, match="at 30"):
            back_up(repository, Failing(CONTENT), facts())
        assert list(repository.list_backups()) == []
        assert list(repository.store.list(LEASES)) == []
        record = back_up(repository, BytesSource(CONTENT), facts())
        assert record.stats.bytes_deduplicated > 0


def test_a_target_that_is_too_small_is_not_touched():
    with new_repository() as repository:
        backup_id = back_up_bytes(repository, CONTENT).facts.backup_id
        target = BytesTarget(data=b"\5" * (len(CONTENT) - 1))
        with pytest.raises(TargetTooSmall):
            restore(repository, backup_id, target)
        assert target.data == b"\5" * (len(CONTENT) - 1)


def test_backing_up_again_under_the_same_id_gives_the_first():
    with new_repository() as repository:
        what = facts()
        first = back_up(repository, BytesSource(CONTENT), what)
        source = BytesSource(CONTENT)
        assert back_up(repository, source, what) == first
        assert source.reads == []


def test_progress_goes_up_to_the_size():
    seen = []
    with new_repository() as repository:
        record = back_up(repository, BytesSource(CONTENT), facts(), on_progress=seen.append)
        assert [p.bytes_done for p in seen] == sorted(p.bytes_done for p in seen)
        assert (seen[-1].bytes_done, seen[-1].bytes_total) == (len(CONTENT), len(CONTENT))
        seen.clear()
        restore(repository, record.facts.backup_id, BytesTarget(len(CONTENT)), on_progress=seen.append)
        assert (seen[-1].bytes_done, seen[-1].bytes_total) == (len(CONTENT), len(CONTENT))


def test_a_backup_says_what_it_did():
    with new_repository() as repository:
        data = random_bytes(10)
        stats = back_up(repository, BytesSource(data + bytes(5 * BLOCK) + data[: 2 * BLOCK]), given()).stats
        assert stats.blocks_total == 17
        assert stats.blocks_zero == 5
        assert stats.bytes_read == 17 * BLOCK
        assert stats.bytes_new == 10 * BLOCK
        assert stats.bytes_deduplicated == 2 * BLOCK
        assert stats.bytes_stored == stored_bytes(repository)
        assert stats.object_count == len(list(repository.store.list("packs/")))


def given() -> BackupFacts:
    return facts(volume_name="v", volume_metadata={"a": "ü"}, bootable=True, description="text", owner_project_id="p")


def test_facts_come_back_as_they_were_given():
    with new_repository() as repository:
        what = given()
        back_up(repository, BytesSource(b"x"), what)
        assert repository.load_backup(what.backup_id).facts == what
