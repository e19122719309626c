"""What a source says is unchanged is believed, but not blindly."""

import pytest

from openvbs.engine.backup import back_up
from openvbs.engine.chunker import Run
from openvbs.engine.format import pack_name
from openvbs.engine.hints import RANDOM_BLOCKS_MAX, HintSample
from openvbs.engine.ids import ZERO_ID
from openvbs.engine.parent import Piece
from openvbs.engine.reader import try_read_blocks
from openvbs.sources.base import Extent, ExtentKind, SourceError
from openvbs.sources.hinted import ByteRange, HintedSource
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, BytesSource, back_up_bytes, facts, new_repository, random_bytes, restored


def hinted(data: bytes, *changed: tuple[int, int], extents: list[Extent] | None = None) -> HintedSource:
    return HintedSource(BytesSource(data, extents), lambda: [ByteRange(*one) for one in changed])


def blocks_read(source: HintedSource) -> set[int]:
    return {offset // BLOCK for offset, length in source._source.reads for offset in range(offset, offset + length)}


def test_a_change_in_a_large_volume_costs_what_the_change_costs():
    old = random_bytes(2000)
    new = old[: 700 * BLOCK] + random_bytes(3) + old[703 * BLOCK :]
    with new_repository() as repository:
        parent = back_up_bytes(repository, old).facts.backup_id
        source = hinted(new, (700 * BLOCK, 3 * BLOCK))
        record = back_up(repository, source, facts(), parent=parent)
        assert restored(repository, record.facts.backup_id) == new
        assert (record.stats.blocks_same, record.stats.bytes_read, record.stats.hints_wrong) == (1997, 3 * BLOCK, 0)
        assert len(source._source.reads) <= 3 + 64


@pytest.mark.parametrize("missed", [range(0, 600, 6), range(251, 252), range(254, 255)])
def test_hints_that_leave_out_many_changes_or_one_beside_another_are_found_out(missed, caplog):
    old = random_bytes(600)
    new = bytearray(old)
    for block in {*missed, 252, 253}:
        new[block * BLOCK : (block + 1) * BLOCK] = random_bytes(1)
    with new_repository() as repository:
        parent = back_up_bytes(repository, old).facts.backup_id
        record = back_up(repository, hinted(bytes(new), (252 * BLOCK, 2 * BLOCK)), facts(), parent=parent)
        assert restored(repository, record.facts.backup_id) == new
        assert record.stats.hints_wrong >= 1
        assert record.stats.blocks_same == 0
        assert repository.load_backup(record.facts.backup_id).stats == record.stats
    assert "unchanged which are not" in caplog.text


def test_data_where_the_parent_has_a_hole_and_a_hole_where_it_has_data_are_found_out():
    with new_repository() as repository:
        for old, new in (bytes(300 * BLOCK), random_bytes(300)), (random_bytes(300), bytes(300 * BLOCK)):
            parent = back_up_bytes(repository, old).facts.backup_id
            record = back_up(repository, hinted(new), facts(), parent=parent)
            assert record.stats.hints_wrong >= RANDOM_BLOCKS_MAX
            assert restored(repository, record.facts.backup_id) == new


def test_every_block_is_as_likely_in_the_sample_however_runs_are_cut():
    seen = [0, 0]
    for _ in range(200):
        sample = HintSample()
        for first, count in (0, 1000), (1000, 10), (1010, 990):
            run = Run(first, count, ExtentKind.SAME)
            sample.took_over(Piece(run, 0, None, [ZERO_ID] * count), run)
        assert len({one.block for one in sample._anywhere}) == RANDOM_BLOCKS_MAX
        for one in sample._anywhere:
            seen[one.block // 1000] += 1
    # 6400 fair coins: farther from the middle than seven standard deviations is no chance.
    assert abs(seen[0] - seen[1]) < 2 * 7 * 40


def test_a_parent_whose_tree_is_damaged_costs_a_full_read_and_nothing_else(caplog):
    store = MemoryStore()
    old = random_bytes(300)
    with new_repository(store) as repository:
        record = back_up_bytes(repository, old)
        place = repository.index.find(record.tree.root)
        pack = bytearray(store.get(pack_name(place.pack_id)))
        pack[place.offset_bytes + 60] ^= 1
        store.put(pack_name(place.pack_id), pack)
        again = back_up(repository, hinted(old), facts(), parent=record.facts.backup_id)
        assert again.stats.blocks_same == 0
        assert again.stats.bytes_read == len(old)
        assert dict(try_read_blocks(repository, [record.tree.root])).keys() == {record.tree.root}
    assert "tree of the parent backup" in caplog.text


def test_what_changed_keeps_its_kind_and_all_else_is_the_same():
    extents = [Extent(0, 100, ExtentKind.ZERO), Extent(100, 200, ExtentKind.DATA), Extent(300, 50, ExtentKind.ZERO)]
    source = hinted(bytes(350), (40, 70), (110, 10), (290, 60), extents=extents)
    assert list(source.extents()) == [
        Extent(0, 40, ExtentKind.SAME),
        Extent(40, 60, ExtentKind.ZERO),
        Extent(100, 10, ExtentKind.DATA),
        Extent(110, 10, ExtentKind.DATA),
        Extent(120, 170, ExtentKind.SAME),
        Extent(290, 10, ExtentKind.DATA),
        Extent(300, 50, ExtentKind.ZERO),
    ]


@pytest.mark.parametrize("changed", [[(0, 0)], [(10, 5), (12, 5)], [(10, 5), (0, 5)], [(340, 11)]])
def test_changes_that_make_no_sense_are_refused(changed):
    with pytest.raises(SourceError, match="changed range"):
        list(hinted(bytes(350), *changed, extents=[Extent(0, 350, ExtentKind.DATA)]).extents())
