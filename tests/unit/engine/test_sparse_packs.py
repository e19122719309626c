"""Packs of which little is needed: what of them is copied, and which are left as they are."""

import pytest

from openvbs.engine import collect, index
from openvbs.engine.check import check_data
from openvbs.engine.collect import CollectionResult, apply_collection, plan_collection
from openvbs.engine.format import DAMAGE, PACKS, Kind, damage_name, pack_name
from openvbs.engine.index import segment_sizes
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, back_up_bytes, new_repository, random_bytes, restored

HELD = 40
NEEDED = 10


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def repository(store):
    with new_repository(store) as made:
        yield made


def sparse_pack(repository) -> tuple[str, bytes]:
    """A backup that needs a quarter of a pack."""
    content = random_bytes(HELD)
    whole = back_up_bytes(repository, content).facts.backup_id
    kept = back_up_bytes(repository, content[: NEEDED * BLOCK]).facts.backup_id
    repository.delete_backup(whole)
    return kept, content[: NEEDED * BLOCK]


def pack_of(repository, data: bytes) -> bytes:
    repository.refresh()
    return repository.index.find(repository.codec.id_of(data, Kind.BLOCK)).pack_id


def damage_last_block(repository, content: bytes, *, at: int = -1) -> bytes:
    """Flip a bit of the last block, at a place counted from its header's start, or in its last byte; the pack's id."""
    repository.refresh()
    place = repository.index.find(repository.codec.id_of(content[-BLOCK:], Kind.BLOCK))
    name = pack_name(place.pack_id)
    bad = bytearray(repository.store.get(name))
    bad[place.offset_bytes + (at if at >= 0 else place.length_bytes - 1)] ^= 1
    repository.store.put(name, bytes(bad))
    return place.pack_id


def collected(repository) -> CollectionResult:
    return apply_collection(repository, plan_collection(repository))


@pytest.mark.parametrize("at", [-1, 44], ids=["bytes", "format"])
def test_a_damaged_block_is_noted_and_its_pack_not_copied_again(store, repository, at):
    kept, content = sparse_pack(repository)
    pack = damage_last_block(repository, content, at=at)
    assert collected(repository).packs_copied == 0
    assert [info.name for info in store.list(DAMAGE)] == [damage_name(pack)]
    assert plan_collection(repository).rewrite == {}
    collected(repository)  # what was copied before the damage was met goes, from here or from there
    before = [info.name for info in store.list(PACKS)]
    assert collected(repository).packs_copied == 0
    assert [info.name for info in store.list(PACKS)] == before
    assert pack_name(pack) in before
    assert kept in check_data(repository).damaged


def test_packs_with_damage_do_not_keep_others_from_their_turn(repository, monkeypatch):
    monkeypatch.setattr(collect, "REWRITE_PACKS_MAX", 2)
    made = sorted((sparse_pack(repository) for _ in range(4)), key=lambda one: pack_of(repository, one[1][:BLOCK]))
    bad, good = made[:2], made[2:]  # packs are tried in the order of their ids
    for _, content in bad:
        damage_last_block(repository, content)
    before = {pack_of(repository, content[:BLOCK]) for _, content in good}
    assert collected(repository).packs_copied == 0
    assert collected(repository).packs_copied == 2
    assert not before & {pack_of(repository, content[:BLOCK]) for _, content in good}
    for backup_id, content in good:
        assert restored(repository, backup_id) == content


def test_a_pack_is_copied_once_its_damaged_block_was_stored_anew(store, repository):
    kept, content = sparse_pack(repository)
    pack = damage_last_block(repository, content)
    collected(repository)
    again = back_up_bytes(repository, content)
    assert again.stats.bytes_new == BLOCK
    for _ in range(3):
        collected(repository)
    assert pack_name(pack) not in [info.name for info in store.list(PACKS)]
    assert restored(repository, kept) == restored(repository, again.facts.backup_id) == content
    assert check_data(repository).ok


@pytest.mark.parametrize("entries_max", [1, 100_000], ids=["in two files", "in one file"])
def test_what_is_needed_of_a_pack_does_not_depend_on_how_many_segments_name_it(
    store, repository, monkeypatch, entries_max
):
    monkeypatch.setattr(index, "RECENT_ENTRIES_MAX", entries_max)
    content = random_bytes(HELD)
    whole = back_up_bytes(repository, content).facts.backup_id
    back_up_bytes(repository, content[: HELD * 9 // 10 * BLOCK])
    sparse_pack(repository)
    repository.delete_backup(whole)
    once = plan_collection(repository)
    assert len(once.rewrite) == 1
    # As after a crash of a collection between its new segments and the deletion of the old ones.
    for segment in segment_sizes(store):
        repository.index.write_segment(repository.index.read_segment(segment))
    assert plan_collection(repository) == once
