"""Index segments that collections write in the place of others: none too large, and at no moment an entry in none."""

import secrets

import pytest

from openvbs.engine import codec, verdicts
from openvbs.engine.format import ENTRY, SEGMENTS, PackListing
from openvbs.engine.ids import PackId, new_pack_id
from openvbs.engine.index import segment_sizes
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import new_repository

ENTRIES_MAX = 100
"""In place of half a million."""


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def repository(store, monkeypatch):
    """Limits in the same proportion as the true ones."""
    object_max = codec.OBJECT_PLAIN_BYTES_MAX * ENTRIES_MAX // verdicts.SEGMENT_ENTRIES_MAX
    monkeypatch.setattr(codec, "OBJECT_PLAIN_BYTES_MAX", object_max)
    monkeypatch.setattr(verdicts, "SEGMENT_ENTRIES_MAX", ENTRIES_MAX)
    with new_repository(store) as made:
        yield made


def listing(entries: int) -> PackListing:
    packed = b"".join(ENTRY.pack(secrets.token_bytes(32), 32 + 100 * i, 100) for i in range(entries))
    return PackListing(new_pack_id(), 1000, packed)


def segments(repository) -> list[list[PackListing]]:
    return [repository.index.read_segment(segment) for segment in segment_sizes(repository.store)]


def named(repository) -> set[PackListing]:
    return {listing for segment in segments(repository) for listing in segment}


def carry_out(repository, doomed: frozenset[PackId]) -> None:
    repository.refresh()
    verdicts._replace_segments(repository, repository.index.segments_naming(doomed), doomed)


def entries_of(segment: list[PackListing]) -> int:
    return sum(map(len, segment))


def test_segments_do_not_grow_beyond_their_limit(repository):
    """Days of twenty backups of which some go again, as in years of a service."""
    alive: dict[PackId, PackListing] = {}
    for _ in range(12):
        for _ in range(20):
            new = listing(7)
            alive[new.pack_id] = new
            repository.index.write_segment([new])
        repository.refresh()
        verdicts.merge_segments(repository)
        for doomed in (frozenset(list(alive)[::30]), frozenset(list(alive)[7::40])):
            carry_out(repository, doomed)
            for pack in doomed:
                alive.pop(pack, None)
        assert named(repository) == set(alive.values())
        assert max(map(entries_of, segments(repository))) <= ENTRIES_MAX


def test_a_segment_that_had_grown_is_split(repository):
    grown = [listing(9) for _ in range(30)]
    repository.index.write_segment(grown)
    carry_out(repository, frozenset([grown[4].pack_id]))
    assert named(repository) == {*grown[:4], *grown[5:]}
    assert [entries_of(segment) <= ENTRIES_MAX for segment in segments(repository)] == [True] * 3


def test_a_pack_beyond_the_limit_gets_a_segment_of_its_own(repository):
    small, large = listing(1), listing(ENTRIES_MAX + 1)
    for order in ([small, large], [large, small]):
        gone = listing(1)
        repository.index.write_segment([gone, *order])
        carry_out(repository, frozenset([gone.pack_id]))
    assert named(repository) == {small, large}
    assert all(len(segment) == 1 for segment in segments(repository))


class Died(Exception):
    pass


def test_a_crash_between_any_two_writes_leaves_every_entry_in_a_segment(store, repository, monkeypatch):
    kept = [listing(9) for _ in range(30)]
    doomed = [listing(9) for _ in range(3)]
    written = [[doomed[0], *kept[:25]], [doomed[1], *kept[25:28]], [*kept[28:], doomed[2]]]
    calls = 0
    finished = False
    while not finished:
        for info in list(store.list(SEGMENTS)):
            store.delete(info.name)
        for several in written:
            repository.index.write_segment(several)
        with monkeypatch.context() as patch:
            left = calls

            def dying(verb):
                def call(*args):
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise Died
                    verb(*args)

                return call

            for name in ("put", "delete"):
                patch.setattr(store, name, dying(getattr(store, name)))
            try:
                carry_out(repository, frozenset(one.pack_id for one in doomed))
                finished = True
            except Died:
                assert named(repository) >= set(kept)
        carry_out(repository, frozenset(one.pack_id for one in doomed))
        assert named(repository) == set(kept)
        calls += 1
    assert calls > 6
