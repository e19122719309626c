"""Which of several places the index gives, and that it gives each once."""

from uuid import UUID

from openvbs.engine.codec import Codec
from openvbs.engine.format import ENTRY, SEGMENTS, PackListing
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.index import Index
from openvbs.engine.keys import derive_project_keys
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK

CODEC = Codec(derive_project_keys(bytes(32), UUID(int=1)), BLOCK)
ID = BlockId(bytes([7]) * 32)
FIRST, SECOND = PackId(bytes([1]) * 16), PackId(bytes([2]) * 16)


def listing(pack: PackId) -> PackListing:
    return PackListing(pack, 1000, ENTRY.pack(ID, 32, 100))


def test_a_good_place_is_better_than_a_condemned_one_and_that_better_than_a_damaged_one():
    index = Index(MemoryStore(), CODEC, None)
    index.write_segment([listing(FIRST), listing(SECOND)])
    for one, other in ((FIRST, SECOND), (SECOND, FIRST)):
        index.condemned, index.damage = frozenset([one]), {}
        assert index.find(ID).pack_id == other
        index.damage = {other: None}
        assert index.find(ID).pack_id == one
        index.condemned = frozenset()
        assert index.find(ID).pack_id == one
    index.close()


class LookedAtStore(MemoryStore):
    """As if another thread looked at the store just when a segment has been put."""

    index: Index

    def put(self, name, data):
        super().put(name, data)
        if name.startswith(SEGMENTS):
            self.index.refresh()


def test_a_segment_that_a_look_found_before_its_writer_noted_it_answers_once():
    store = LookedAtStore()
    index = store.index = Index(store, CODEC, None)
    index.write_segment([listing(FIRST)])
    assert [place.pack_id for place in index.find_all(ID)] == [FIRST]
    assert [row.pack_id for row in index.pack_rows()] == [FIRST]
    index.close()
