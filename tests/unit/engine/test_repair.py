"""What a repair of the index finds and mends."""

import pytest

from openvbs.engine import index
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import Corrupt
from openvbs.engine.format import PACKS, SEGMENTS
from openvbs.engine.repair import repair_index
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import back_up_bytes, new_repository, random_bytes, restored


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
        # The other two packs are condemned.
        assert (report.segments_removed, report.packs_listed, report.problems) == (2, 2, [])
        assert apply_collection(repository, plan_collection(repository)).packs_deleted == 2
        assert len(list(store.list(PACKS))) == 2
        assert restored(repository, kept) == content
        assert check_data(repository).ok
    with new_repository(store) as repository:
        assert restored(repository, kept) == content
