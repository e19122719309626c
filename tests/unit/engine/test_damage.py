"""Damage of every kind of object is found by check and by restore, and never becomes wrong bytes."""

import contextlib
import random

import msgspec
import pytest

from openvbs.engine.check import CheckState, begin_check, check_data, check_structure
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import BlockMissing, Corrupt, EngineError, UnknownFormat
from openvbs.engine.format import BACKUPS, COLLECTIONS, PACKS, SEGMENTS, parse_pack_name
from openvbs.engine.records import put_record
from openvbs.engine.repair import repair_index
from openvbs.engine.repository import open_repository
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import (
    BLOCK,
    ROOT_KEY,
    BytesTarget,
    back_up_bytes,
    new_repository,
    random_bytes,
    restore_to,
    restored,
)
from tests.support.stores import WatchedStore


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def volumes(store):
    """Backup id -> bytes. Two backups share half of their blocks; a third has nothing in common with them."""
    shared = random_bytes(6)
    contents = [shared + random_bytes(6), shared + bytes(BLOCK) + random_bytes(5.5), random_bytes(3)]
    with new_repository(store) as repository:
        made = {back_up_bytes(repository, content).facts.backup_id: content for content in contents}
        put_record(repository, next(iter(made)), 1, random_bytes(0.1))
        return made


def reopened(store):
    return open_repository(store, ROOT_KEY)


def outcome(store, backup_id) -> bytes | EngineError:
    """What a restore gives, or why it stops. Bytes that it wrote before must be right: the caller compares."""
    with reopened(store) as repository:
        try:
            return restored(repository, backup_id)
        except EngineError as error:
            return error


def test_any_flipped_bit_is_found_and_nothing_wrong_is_restored(store, volumes):
    chance = random.Random(5)
    good = {info.name: store.get(info.name) for info in store.list("") if info.name != "repository.json"}
    assert {name.partition("/")[0] for name in good} == {"packs", "index", "backups", "records"}
    for name in [*good] * 25:
        bad = bytearray(good[name])
        position = chance.randrange(len(bad))
        bad[position] ^= 1 << chance.randrange(8)
        store.put(name, bad)
        with reopened(store) as repository:
            report = check_data(repository)
        assert not report.ok, f"byte {position} of {name}"
        assert set(report.whole) | set(report.damaged) == set(volumes)
        for backup_id, content in volumes.items():
            result = outcome(store, backup_id)
            if backup_id in report.damaged:
                assert isinstance(result, EngineError)
            else:
                assert result == content
        store.put(name, good[name])


@pytest.mark.parametrize("keep", [0, 1, 31, 32, 47, 200, -1])
def test_truncated_objects_are_found(store, volumes, keep):
    for info in list(store.list("")):
        if info.name == "repository.json":
            continue
        good = store.get(info.name)
        store.put(info.name, good[:keep])
        with reopened(store) as repository:
            report = check_structure(repository)
        assert not report.ok, info.name
        for backup_id, content in volumes.items():
            result = outcome(store, backup_id)
            assert isinstance(result, EngineError) if backup_id in report.damaged else result == content
        store.put(info.name, good)


def test_a_missing_pack_is_found_by_the_quick_check_with_the_ranges_it_cost(store, volumes):
    ids = list(volumes)
    largest = max(store.list(PACKS), key=lambda info: info.size_bytes)
    holding = parse_pack_name(largest.name)
    store.delete(largest.name)
    with reopened(store) as repository:
        report = check_structure(repository)
        assert any(holding.hex() in problem for problem in report.problems)
        for backup_id, ranges in report.damaged.items():
            damaged = bytearray(len(volumes[backup_id]))
            for part in ranges:
                damaged[part.offset_bytes : part.offset_bytes + part.length_bytes] = b"\1" * part.length_bytes
            target = BytesTarget(len(damaged))
            with pytest.raises(EngineError):
                restore_to(repository, backup_id, target)
            for offset, length in target.written:
                assert not any(damaged[offset : offset + length])
                assert target.data[offset : offset + length] == volumes[backup_id][offset : offset + length]
        assert ids[2] in report.whole


def test_a_damaged_block_names_exactly_the_backups_that_use_it(store):
    shared, own = random_bytes(1), random_bytes(1)
    with new_repository(store) as repository:
        first = back_up_bytes(repository, random_bytes(2) + shared).facts.backup_id
        second = back_up_bytes(repository, bytes(BLOCK * 300) + shared + own).facts.backup_id
        third = back_up_bytes(repository, own).facts.backup_id
        place = repository.index.find(repository.codec.id_of(shared, 1))
        name = f"packs/{place.pack_id.hex()[:2]}/{place.pack_id.hex()}"
        bad = bytearray(store.get(name))
        bad[place.offset_bytes + place.length_bytes - 1] ^= 1
        store.put(name, bad)
        report = check_data(repository)
    assert {b: [(r.offset_bytes, r.length_bytes) for r in ranges] for b, ranges in report.damaged.items()} == {
        first: [(2 * BLOCK, BLOCK)],
        second: [(300 * BLOCK, BLOCK)],
    }
    assert report.whole == [third]
    assert report.blocks_checked == 4 + 3 + 1  # with the pages


def test_a_block_that_lies_in_two_packs_survives_the_loss_of_one(store):
    data = random_bytes(2)
    with new_repository(store) as repository:
        backup_id = back_up_bytes(repository, data).facts.backup_id
        packs = list(store.list(PACKS))
        repository.index.condemned = frozenset(parse_pack_name(info.name) for info in packs)
    with new_repository(store) as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr(other, "refresh", lambda: None)  # a writer that does not know the packs stores the blocks again
        back_up_bytes(other, data)
    bad = bytearray(store.get(packs[0].name))
    bad[100] ^= 1
    store.put(packs[0].name, bad)
    with reopened(store) as repository:
        report = check_data(repository)
        assert report.problems
        assert report.damaged == {}
        assert restored(repository, backup_id) == data


def test_an_object_under_another_name_is_refused(store, volumes):
    names = [info.name for info in store.list(BACKUPS)]
    store.put(names[0], store.get(names[1]))
    with reopened(store) as repository, pytest.raises(Corrupt, match="another name"):
        repository.load_backup(names[0][len(BACKUPS) :])


def test_a_newer_format_is_refused_by_name(store, volumes):
    name = next(iter(store.list(BACKUPS))).name
    newer = bytearray(store.get(name))
    newer[8] = 2
    store.put(name, newer)
    with reopened(store) as repository, pytest.raises(UnknownFormat, match="format 2"):
        repository.load_backup(name[len(BACKUPS) :])


def test_the_index_is_made_again_from_the_packs(store, volumes):
    for info in list(store.list(SEGMENTS)):
        store.delete(info.name)
    with reopened(store) as repository:
        with pytest.raises(BlockMissing):
            restored(repository, next(iter(volumes)))
        report = repair_index(repository)
        assert report.packs_listed == len(list(store.list(PACKS)))
        assert check_data(repository).ok
    for backup_id, content in volumes.items():
        assert outcome(store, backup_id) == content


def test_a_damaged_segment_is_replaced(store, volumes):
    name = next(iter(store.list(SEGMENTS))).name
    store.put(name, b"rubbish" * 20)
    with reopened(store) as repository:
        assert not check_structure(repository).ok
        assert repair_index(repository).segments_removed == 1
        assert check_data(repository).ok
    for backup_id, content in volumes.items():
        assert outcome(store, backup_id) == content


def test_a_backup_made_while_a_segment_is_damaged_is_whole(store, volumes):
    backup_id, content = next(iter(volumes.items()))
    store.put(next(iter(store.list(SEGMENTS))).name, b"rubbish" * 20)
    with reopened(store) as repository:
        again = back_up_bytes(repository, content).facts.backup_id
    assert outcome(store, again) == content
    assert again != backup_id


def test_a_lost_pack_is_not_relied_on_by_the_next_backup(store, volumes):
    content = next(iter(volumes.values()))
    for info in list(store.list(PACKS)):
        store.delete(info.name)
    with reopened(store) as repository:
        again = back_up_bytes(repository, content).facts.backup_id
    assert outcome(store, again) == content


def test_a_sample_reads_about_that_share(store):
    with new_repository(store) as repository:
        for _ in range(40):
            back_up_bytes(repository, random_bytes(1))
        packs = len(list(store.list(PACKS)))
        assert check_data(repository, state=begin_check(repository, sample=1.0)).packs_checked == packs
        assert 0 < check_data(repository, state=begin_check(repository, sample=0.5)).packs_checked < packs


def test_a_damaged_segment_is_found_though_a_cache_has_its_content(store, volumes, tmp_path):
    with open_repository(store, ROOT_KEY, cache=tmp_path) as repository:
        assert check_structure(repository).ok
        repository.index.settle()
    name = next(iter(store.list(SEGMENTS))).name
    store.put(name, b"rubbish" * 20)
    with open_repository(store, ROOT_KEY, cache=tmp_path) as repository:
        report = check_structure(repository)
        assert name.rpartition("/")[2] in report.problems[0]
        assert report.damaged == {}


class Interrupted(Exception):
    pass


def test_an_interrupted_check_goes_on_and_reports_what_was_found_before(store):
    with new_repository(store) as repository:
        backup_ids = [back_up_bytes(repository, random_bytes(1)).facts.backup_id for _ in range(6)]
        names = sorted(info.name for info in store.list(PACKS))
        bad = bytearray(store.get(names[0]))
        bad[90] ^= 1
        store.put(names[0], bad)
        kept = []

        def keep(state):
            kept.append(msgspec.json.encode(state))
            if state.packs_checked == 4:
                raise Interrupted

        with pytest.raises(Interrupted):
            check_data(repository, state=begin_check(repository), on_state=keep)
        fetched = []
        watched = WatchedStore(store, fetched)
    with open_repository(watched, ROOT_KEY) as repository:
        report = check_data(repository, state=msgspec.json.decode(kept[-1], type=CheckState))
    whole_packs = [name for name, length in fetched if name in names and length is None]
    assert not set(names[:4]) & set(whole_packs)
    assert set(names[4:]) <= set(whole_packs)
    assert report.packs_checked == len(names)
    assert any(parse_pack_name(names[0]).hex() in problem for problem in report.problems)
    assert len(report.damaged) == 1
    assert {*report.damaged, *report.whole} == set(backup_ids)


def test_i15_a_backup_committed_while_a_check_begins_is_not_called_damaged(store, volumes):
    with reopened(store) as other, reopened(store) as repository:
        refresh = repository.refresh

        def refresh_and_then():
            refresh()
            back_up_bytes(other, random_bytes(2))

        repository.refresh = refresh_and_then
        report = check_structure(repository)
        assert report.ok
        assert set(report.whole) == set(volumes)


@pytest.mark.parametrize("name", ["candidates", "verdict"])
def test_restores_go_on_while_a_collection_cannot_be_read_and_repair_mends_it(store, volumes, name):
    with reopened(store) as repository, reopened(store) as other:
        repository.delete_backup(back_up_bytes(repository, random_bytes(1)).facts.backup_id)
        plan = plan_collection(repository)
        with other.working("test") if name == "candidates" else contextlib.nullcontext():
            apply_collection(repository, plan)
        damaged = next(info.name for info in store.list(COLLECTIONS) if info.name.endswith(name))
        store.put(damaged, b"rubbish" * 20)
        for backup_id, content in volumes.items():
            assert outcome(store, backup_id) == content
        for work in (lambda: back_up_bytes(repository, random_bytes(1)), lambda: plan_collection(repository)):
            with pytest.raises(Corrupt, match="repair first"):
                work()
        assert any(damaged in problem for problem in check_structure(repository).problems)
        assert repair_index(repository).collections_removed == 1
        assert check_data(repository).ok
        apply_collection(repository, plan_collection(repository))
        assert check_data(repository).ok
