"""What is known to be damaged: no backup relies on it, no collection counts on it, and a whole pack clears its name."""

import pytest

from openvbs.engine.backup import back_up
from openvbs.engine.check import check_data, check_structure
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import BlockDamaged, Corrupt
from openvbs.engine.format import DAMAGE, PACKS, Kind, damage_name, pack_name
from openvbs.engine.index_run import Place
from openvbs.engine.repository import Repository, open_repository
from openvbs.sources.base import Extent, ExtentKind
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import (
    BLOCK,
    ROOT_KEY,
    BytesSource,
    back_up_bytes,
    facts,
    new_repository,
    random_bytes,
    restored,
)

BLOCKS = 20
CONTENT = random_bytes(BLOCKS)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def old(store) -> str:
    """A backup of CONTENT, made by a process that has ended."""
    with new_repository(store) as repository:
        return back_up_bytes(repository, CONTENT).facts.backup_id


def reopened(store) -> Repository:
    return open_repository(store, ROOT_KEY)


def block(number: int) -> bytes:
    return CONTENT[number * BLOCK : (number + 1) * BLOCK]


def place_of(store, data: bytes, kind: Kind = Kind.BLOCK) -> Place:
    with reopened(store) as repository:
        repository.refresh()
        place = repository.index.find(repository.codec.id_of(data, kind))
        assert place is not None
        return place


def damage(store, place: Place) -> bytes:
    """Flip a bit of what lies there; the whole pack as it was."""
    good = store.get(pack_name(place.pack_id))
    bad = bytearray(good)
    bad[place.offset_bytes + place.length_bytes - 1] ^= 1
    store.put(pack_name(place.pack_id), bytes(bad))
    return good


def cut_before(store, place: Place) -> bytes:
    good = store.get(pack_name(place.pack_id))
    store.put(pack_name(place.pack_id), good[: place.offset_bytes])
    return good


def lose(store, place: Place) -> bytes:
    good = store.get(pack_name(place.pack_id))
    store.delete(pack_name(place.pack_id))
    return good


def check(store, how=check_data):
    with reopened(store) as repository:
        return how(repository)


def collect_all(store) -> None:
    """Collections until nothing is left to do; each in a process of its own."""
    for _ in range(4):
        with reopened(store) as repository:
            apply_collection(repository, plan_collection(repository))


def notes(store) -> list[str]:
    return [info.name for info in store.list(DAMAGE)]


def assert_heals(store, old: str, stored_blocks: int) -> None:
    """The next backup stores so many blocks anew; with that both backups are whole, and stay so."""
    with reopened(store) as repository:
        again = back_up_bytes(repository, CONTENT)
    assert again.stats.bytes_new == stored_blocks * BLOCK
    for _ in range(2):
        with reopened(store) as repository:
            assert set(check_data(repository).whole) == {old, again.facts.backup_id}
            assert restored(repository, again.facts.backup_id) == CONTENT
            assert restored(repository, old) == CONTENT
        collect_all(store)


def test_a_damaged_block_that_a_check_found_is_stored_anew(store, old):
    damage(store, place_of(store, block(7)))
    assert old in check(store).damaged
    assert_heals(store, old, 1)


@pytest.mark.parametrize("how", [check_structure, check_data])
def test_what_a_pack_that_was_cut_off_lost_is_stored_anew(store, old, how):
    place = place_of(store, block(7))
    with reopened(store) as repository:
        repository.refresh()
        places = [repository.index.find(repository.codec.id_of(block(i), Kind.BLOCK)) for i in range(BLOCKS)]
    cut = sum(p.pack_id == place.pack_id and p.offset_bytes >= place.offset_bytes for p in places)
    assert 0 < cut < BLOCKS
    cut_before(store, place)
    assert old in check(store, how).damaged
    assert_heals(store, old, cut)


def test_i17_what_lost_packs_held_is_stored_anew_and_no_collection_takes_it_again(store, old):
    for info in list(store.list(PACKS)):
        store.delete(info.name)
    assert_heals(store, old, BLOCKS)


@pytest.mark.parametrize("lost", [{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}], ids=str)
def test_i17_a_collection_finds_out_by_itself_that_packs_are_lost(store, old, lost):
    """Three writers stored the block (I13), then one or two of its packs are lost: which one is met first is chance."""
    with pytest.MonkeyPatch.context() as patch:
        ids = [old]
        for _ in range(2):
            with reopened(store) as other:
                patch.setattr(other.index, "find_lasting", lambda _block_id: None)
                ids.append(back_up_bytes(other, CONTENT).facts.backup_id)
    with reopened(store) as repository:
        repository.refresh()
        places = sorted(repository.index.find_all(repository.codec.id_of(block(0), Kind.BLOCK)))
    assert len(places) == 3
    for number in lost:
        lose(store, places[number])
    collect_all(store)
    with reopened(store) as repository:
        assert all(restored(repository, backup_id) == CONTENT for backup_id in ids)
        assert set(check_data(repository).whole) == set(ids)


@pytest.mark.parametrize("hurt", [damage, lose])
def test_a_damaged_page_of_the_parent_is_stored_anew(store, old, hurt):
    with reopened(store) as repository:
        root = repository.load_backup(old).tree.root
        repository.refresh()
        place = repository.index.find(root)
    hurt(store, place)
    same = BytesSource(CONTENT, [Extent(0, len(CONTENT), ExtentKind.SAME)])
    with reopened(store) as repository:
        again = back_up(repository, same, facts(), parent=old).facts.backup_id
        assert restored(repository, again) == CONTENT
        assert restored(repository, old) == CONTENT
    collect_all(store)
    assert set(check(store).whole) == {old, again}


def test_what_the_parent_has_is_not_taken_over_if_it_is_damaged(store, old):
    damage(store, place_of(store, block(7)))
    check(store)
    same = BytesSource(CONTENT, [Extent(0, len(CONTENT), ExtentKind.SAME)])
    with reopened(store) as repository:
        record = back_up(repository, same, facts(), parent=old)
        assert record.stats.bytes_new == BLOCK
        assert restored(repository, record.facts.backup_id) == CONTENT


def test_an_earlier_commit_whose_page_is_damaged_is_made_whole(store):
    made = facts()
    with new_repository(store) as repository:
        record = back_up(repository, BytesSource(CONTENT), made)
        damage(store, repository.index.find(record.tree.root))
        back_up(repository, BytesSource(CONTENT), made)
    with reopened(store) as repository:
        assert restored(repository, made.backup_id) == CONTENT


def test_a_pack_that_was_mended_is_relied_on_again_once_a_check_read_it(store, old):
    place = place_of(store, block(7))
    for hurt in (damage, cut_before, lose):
        good = hurt(store, place)
        assert old in check(store).damaged
        assert notes(store) == [damage_name(place.pack_id)]
        store.put(pack_name(place.pack_id), good)
        with reopened(store) as repository:
            assert restored(repository, old) == CONTENT  # a note keeps nobody from reading
        assert check(store).ok
        assert notes(store) == []
    with reopened(store) as repository:
        assert back_up_bytes(repository, CONTENT).stats.bytes_new == 0


def test_a_false_note_costs_space_and_no_backup(store, old):
    with reopened(store) as repository:
        repository.refresh()
        repository.note_damage(dict.fromkeys(repository.index.pack_sizes()))
    collect_all(store)
    with reopened(store) as repository:
        assert restored(repository, old) == CONTENT
        assert check_data(repository).ok


def test_a_note_that_cannot_be_read_counts_against_the_whole_pack(store, old):
    place = place_of(store, block(7))
    damage(store, place)
    check(store)
    store.put(damage_name(place.pack_id), b"rubbish" * 20)
    assert any(damage_name(place.pack_id) in problem for problem in check(store, check_structure).problems)
    with reopened(store) as repository:
        again = back_up_bytes(repository, CONTENT)
        assert again.stats.bytes_new > BLOCK
        assert restored(repository, again.facts.backup_id) == CONTENT


def test_notes_go_with_their_packs(store, old):
    place = place_of(store, block(7))
    damage(store, place)
    check(store)
    with reopened(store) as repository:
        again = back_up_bytes(repository, CONTENT).facts.backup_id
        repository.delete_backup(old)
        repository.delete_backup(again)
    collect_all(store)
    assert list(store.list(PACKS)) == []
    assert notes(store) == []


def test_several_finds_of_one_pack_add_up(store, old):
    first, second = place_of(store, block(0)), place_of(store, block(1))
    packs = {place.pack_id for place in (first, second)}
    damage(store, first)
    check(store)
    damage(store, second)
    check(store)
    with reopened(store) as repository:
        repository.refresh()
        assert set(repository.index.damage) == packs
        assert frozenset().union(*repository.index.damage.values()) == {
            repository.codec.id_of(block(number), Kind.BLOCK) for number in (0, 1)
        }


def test_a_damaged_block_says_which_and_where(store, old):
    place = place_of(store, block(7))
    damage(store, place)
    with reopened(store) as repository, pytest.raises(Corrupt) as caught:
        restored(repository, old)
    assert caught.value.packs == {place.pack_id}


def test_finds_of_two_processes_add_up(store, old):
    """A check that began before another one noted something does not take that away."""
    pack = place_of(store, block(0)).pack_id
    with reopened(store) as one, reopened(store) as other:
        names = {one.codec.id_of(block(number), Kind.BLOCK) for number in (0, 1)}
        one.refresh()
        other.refresh()
        for repository, name in zip((one, other), names, strict=True):
            repository.note_damage({pack: frozenset([name])})
        other.note_damage({pack: frozenset()})
        assert other.index.damage == {pack: names}
    with reopened(store) as repository:
        repository.refresh()
        assert repository.index.damage == {pack: names}


def test_nothing_found_is_no_note(store, old):
    with reopened(store) as repository:
        repository.note_damage({place_of(store, block(0)).pack_id: frozenset()})
    assert notes(store) == []


def just_plan(repository: Repository) -> None:
    with pytest.raises(BlockDamaged):
        plan_collection(repository)


def just_restore(repository: Repository) -> None:
    (backup,) = repository.list_backups()
    with pytest.raises(BlockDamaged):
        restored(repository, backup.facts.backup_id)


@pytest.mark.parametrize("how", [check_structure, just_plan, just_restore])
def test_a_damaged_page_is_noted_by_whoever_meets_it(store, old, how):
    """Or every new backup of that volume would find it to be stored, and be damaged like the last one."""
    with reopened(store) as repository:
        repository.refresh()
        place = repository.index.find(repository.load_backup(old).tree.root)
    damage(store, place)
    check(store, how)
    assert len(notes(store)) == 1
    assert_heals(store, old, 0)
