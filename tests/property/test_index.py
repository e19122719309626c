"""The index against a plain dictionary: lookups, files, merging, segments that come and go."""

import random
import tempfile
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from openvbs.engine import index as index_module
from openvbs.engine.codec import Codec
from openvbs.engine.format import ENTRY, SEGMENTS, PackListing
from openvbs.engine.ids import BlockId, PackId
from openvbs.engine.index import Index
from openvbs.engine.index_run import PackRow, merge_runs, record, write_run
from openvbs.engine.keys import derive_project_keys
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK

CODEC = Codec(derive_project_keys(bytes(32), UUID(int=1)), BLOCK)


def block_id(number: int) -> BlockId:
    """Few different ids, some of which share all but their last byte."""
    return BlockId(random.Random(number // 4).randbytes(31) + bytes([number % 4]))


def pack_id(number: int) -> PackId:
    return PackId(random.Random(-1 - number).randbytes(16))


def listing(pack: int, blocks: list[int]) -> PackListing:
    entries = b"".join(ENTRY.pack(block_id(block), 32 + 100 * i, 100) for i, block in enumerate(blocks))
    return PackListing(pack_id(pack), 1000 + pack, entries)


def places(index: Index, block: int) -> set[tuple[PackId, int]]:
    return {(place.pack_id, place.offset_bytes) for place in index.find_all(block_id(block))}


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"), st.lists(st.lists(st.integers(0, 60), max_size=12, unique=True), min_size=1, max_size=4)
        ),
        st.tuples(st.just("drop"), st.integers(0, 1000)),
        st.tuples(st.just("settle"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, keeps_cache=st.booleans(), recent_max=st.sampled_from([3, 20, 1000]))
def test_index_answers_like_a_dictionary(steps, keeps_cache, recent_max):
    old = index_module.RECENT_ENTRIES_MAX
    index_module.RECENT_ENTRIES_MAX = recent_max
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_steps(steps, Path(folder) / "cache" if keeps_cache else None)
    finally:
        index_module.RECENT_ENTRIES_MAX = old


def run_steps(steps, cache):
    store = MemoryStore()
    index = Index(store, CODEC, cache)
    model: dict[str, list[tuple[int, list[int]]]] = {}
    packs = 0
    for step, value in steps:
        if step == "write":
            listings = []
            for blocks in value:
                listings.append((packs, blocks))
                packs += 1
            before = {info.name for info in store.list(SEGMENTS)}
            index.write_segment([listing(pack, blocks) for pack, blocks in listings])
            (name,) = {info.name for info in store.list(SEGMENTS)} - before
            model[name] = listings
        elif step == "drop" and model:
            name = sorted(model)[value % len(model)]
            del model[name]
            store.delete(name)
            index.refresh()
        elif step == "settle":
            index.settle()
        elif step == "reopen":
            index.close()
            index = Index(store, CODEC, cache)
            index.refresh()
        expected: dict[int, set[tuple[PackId, int]]] = {}
        for listings in model.values():
            for pack, blocks in listings:
                for i, block in enumerate(blocks):
                    expected.setdefault(block, set()).add((pack_id(pack), 32 + 100 * i))
        for block in range(62):
            assert places(index, block) == expected.get(block, set())
        sizes = {pack_id(pack): 1000 + pack for listings in model.values() for pack, _ in listings}
        assert index.pack_sizes() == sizes
    index.close()


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(st.sets(st.integers(0, 3000)), min_size=1, max_size=5))
def test_merged_runs_hold_what_the_parts_held(parts):
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for number, blocks in enumerate(parts):
            segment = bytes([number]) * 16
            records = sorted(record(block_id(block), 0, block, number) for block in blocks)
            runs.append(
                write_run(
                    Path(folder) / f"{number}.run",
                    records,
                    capacity=len(records),
                    packs=[PackRow(pack_id(number), 1, segment)],
                    segments=[segment],
                )
            )
        merged = merge_runs(Path(folder) / "merged.run", runs)
        assert merged.entries == sum(map(len, parts))
        for block in set().union(*parts) | {9999}:
            found = {(place.pack_id, place.offset_bytes) for _, place in merged.find(block_id(block))}
            assert found == {(pack_id(n), block) for n, blocks in enumerate(parts) if block in blocks}
        for run in [*runs, merged]:
            run.close()


def test_a_condemned_pack_is_no_place_to_rely_on():
    index = Index(MemoryStore(), CODEC, None)
    index.write_segment([listing(1, [5]), listing(2, [5, 6])])
    index.condemned = frozenset([pack_id(1)])
    assert index.find_lasting(block_id(5)).pack_id == pack_id(2)
    index.condemned = frozenset([pack_id(1), pack_id(2)])
    assert index.find_lasting(block_id(5)) is None
    assert index.find(block_id(5)) is not None
    index.condemned = frozenset()
    index.damage = {pack_id(1): frozenset([block_id(5)])}
    assert index.find_lasting(block_id(5)).pack_id == pack_id(2)
    assert index.find(block_id(5)).pack_id == pack_id(2)
    index.damage = {pack_id(1): None, pack_id(2): None}
    assert index.find_lasting(block_id(5)) is None
    assert index.find(block_id(5)) is not None
    index.close()


def test_processes_that_share_a_cache_answer_each_place_once(tmp_path):
    store = MemoryStore()
    writer = Index(store, CODEC, None)
    for number in range(6):
        writer.write_segment([listing(number, [number, number + 1])])
    indexes = [Index(store, CODEC, tmp_path) for _ in range(3)]
    for index in indexes:
        index.refresh()
    for index in indexes:
        index.settle()
    assert len(list(tmp_path.iterdir())) == 3, "each was the first to read the segments"
    last = Index(store, CODEC, tmp_path)
    last.refresh()
    assert len(list(tmp_path.iterdir())) == 1
    assert len(last.settle()) == 1
    for index in [*indexes, last]:
        assert sorted(place.pack_id for place in index.find_all(block_id(3))) == sorted([pack_id(2), pack_id(3)])
        index.refresh()
        index.close()
    writer.close()
