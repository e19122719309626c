"""What a repair of the index finds and mends."""

import pytest

from openvbs.engine import index
from openvbs.engine.backup import _commit, _Upload
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import Corrupt
from openvbs.engine.facts import BackupRecord
from openvbs.engine.format import PACKS, SEGMENTS
from openvbs.engine.progress import ignore_progress, never_stop
from openvbs.engine.repair import repair_index
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BytesSource, back_up_bytes, facts, new_repository, random_bytes, restored


def spoil_segments(store) -> None:
    for info in list(store.list(SEGMENTS)):
        store.put(info.name, store.get(info.name)[:-1] + b"?")


def test_segments_that_were_damaged_since_a_cache_took_them_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "RECENT_ENTRIES_MAX", 5)
    store, content = MemoryStore(), random_bytes(9)
    with new_repository(store, cache=tmp_path) as repository:
        gone = back_up_bytes(repository, random_bytes(9)).facts.backup_id
        kept = back_up_bytes(repository, content).facts.backup_id
        repository.delete_backup(gone)
        spoil_segments(store)
        with pytest.raises(Corrupt):
            apply_collection(repository, plan_collection(repository))
        report = repair_index(repository)
        # The other two packs have their verdict: nobody needs them named.
        assert (report.segments_removed, report.packs_listed, report.problems) == (2, 2, [])
        assert apply_collection(repository, plan_collection(repository)).packs_deleted == 2
        assert len(list(store.list(PACKS))) == 2
        assert restored(repository, kept) == content
        assert check_data(repository).ok
    with new_repository(store) as repository:
        assert restored(repository, kept) == content


def test_condemned_packs_that_are_needed_by_now_are_named_again():
    store, content = MemoryStore(), random_bytes(9)
    with new_repository(store) as repository, new_repository(store) as writer:
        repository.delete_backup(back_up_bytes(repository, content).facts.backup_id)
        plan = plan_collection(repository)
        with writer.working("backup") as lease:
            work = _Upload(writer, BytesSource(content), lease, ignore_progress, never_stop)
            tree, stats = work.run(None)
            assert stats.bytes_new == 0
            assert apply_collection(repository, plan).packs_waiting == 2
            kept = _commit(writer, BackupRecord(facts(), stats, tree), lease).facts.backup_id
    spoil_segments(store)
    with new_repository(store) as repository:
        assert repair_index(repository).packs_listed == 2
        for _ in range(3):
            assert restored(repository, kept) == content
            assert apply_collection(repository, plan_collection(repository)).packs_deleted == 0
        assert check_data(repository).ok
