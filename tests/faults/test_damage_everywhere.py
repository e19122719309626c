"""Random bit flips and truncations of every kind of object that a repository has.

Each is found by check, or already when the repository is opened; what check calls whole restores byte for byte, what it
calls damaged is refused, and what a refused restore wrote before is right and outside of the ranges that check names.
OPENVBS_DAMAGES says how many, OPENVBS_SEED repeats a run.
"""

import os
import random
from collections import Counter

import pytest

from openvbs.engine.backup import back_up
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import EngineError
from openvbs.engine.repair import repair_index
from openvbs.engine.repository import open_repository
from openvbs.engine.restore import restore
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, ROOT_KEY, BytesSource, BytesTarget, facts, new_repository

DAMAGES = int(os.environ.get("OPENVBS_DAMAGES", "300"))
DAMAGES_QUICK = 63
SEED = int(os.environ.get("OPENVBS_SEED") or random.SystemRandom().randrange(10**6))
KINDS = ("backups", "candidates", "index", "leases", "packs", "repository.json", "verdict")


@pytest.fixture(scope="module")
def sound() -> tuple[MemoryStore, dict[str, bytes]]:
    """Three backups, two of which have half of their blocks in common, and objects of every kind."""
    chance = random.Random(3)
    store = MemoryStore()
    shared = chance.randbytes(5 * BLOCK)
    text = b"a line of text that compresses\n" * 400
    contents = [shared + chance.randbytes(5 * BLOCK), shared + bytes(300 * BLOCK) + text, chance.randbytes(3 * BLOCK)]
    with new_repository(store) as repository, new_repository(store) as other:
        for _ in range(2):  # a collection with its verdict, and then one that waits
            doomed = back_up(repository, BytesSource(chance.randbytes(BLOCK)), facts()).facts.backup_id
            repository.delete_backup(doomed)
            plan = plan_collection(repository)
            if not list(store.list("collections/")):
                apply_collection(repository, plan)
                continue
            with other.working("a test") as lease:
                apply_collection(repository, plan)
                left = store.get(lease._name)
            store.put(lease._name, left)  # as of somebody who died
        volumes = {back_up(repository, BytesSource(data), facts()).facts.backup_id: data for data in contents}
    assert kinds_in(store).keys() == set(KINDS)
    return store, volumes


def kinds_in(store: MemoryStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for info in store.list(""):
        head, _, tail = info.name.partition("/")
        found.setdefault(tail.rpartition("/")[2] if head == "collections" else head, []).append(info.name)
    return found


def damaged(chance: random.Random, good: bytes) -> tuple[str, bytes]:
    if chance.random() < 0.25:
        keep = chance.randrange(len(good))
        return f"cut to {keep} of {len(good)} bytes", good[:keep]
    position, bit = chance.randrange(len(good)), chance.randrange(8)
    bad = bytearray(good)
    bad[position] ^= 1 << bit
    return f"bit {bit} of byte {position} of {len(good)}", bytes(bad)


def damage_one(sound: tuple[MemoryStore, dict[str, bytes]], kind: str, chance: random.Random) -> str:
    """Damage one object of this kind and look; how it was found."""
    first, volumes = sound
    store = MemoryStore()
    store._objects = first._objects.copy()
    name = chance.choice(kinds_in(store)[kind])
    what, bad = damaged(chance, store.get(name))
    store.put(name, bad)
    try:
        repository = open_repository(store, ROOT_KEY)
    except EngineError:
        return "not opened"
    with repository:
        report = check_data(repository)
        assert report.problems, f"{what} of {name} was not found"
        assert {*report.whole, *report.damaged} == set(volumes)
        for backup_id, content in volumes.items():
            see_that_no_wrong_byte_is_restored(repository, report, backup_id, content)
        if report.damaged:
            return "backups damaged"
    if kind in ("index", "candidates", "verdict"):
        with open_repository(store, ROOT_KEY) as repository:
            repair_index(repository)
            assert check_data(repository).ok, f"{what} of {name} was not repaired"
            apply_collection(repository, plan_collection(repository))
            assert set(check_data(repository).whole) == set(volumes)
    return "no backup damaged"


def see_that_no_wrong_byte_is_restored(repository, report, backup_id, content) -> None:
    target = BytesTarget(len(content))
    if backup_id in report.whole:
        restore(repository, backup_id, target)
        assert target.data == content
        return
    with pytest.raises(EngineError):
        restore(repository, backup_id, target)
    assert not target.flushed
    ranges = report.damaged[backup_id]
    assert not target.written or ranges
    for offset, length in target.written:
        assert target.data[offset : offset + length] == content[offset : offset + length]
        for part in ranges:
            assert offset + length <= part.offset_bytes or part.offset_bytes + part.length_bytes <= offset


def damage_many(sound, capsys, count: int) -> None:
    chance = random.Random(SEED)
    seen: Counter[tuple[str, str]] = Counter()
    try:
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            seen[kind, damage_one(sound, kind, chance)] += 1
    finally:
        with capsys.disabled():
            print(f"\nOPENVBS_SEED={SEED}; {sum(seen.values())} damages, all found: {dict(sorted(seen.items()))}")
    assert seen["repository.json", "not opened"] > 0
    assert seen["packs", "backups damaged"] > 0


def test_some_damage_is_found_and_confined(sound, capsys):
    damage_many(sound, capsys, DAMAGES_QUICK)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_much_damage_is_found_and_confined(sound, capsys):
    damage_many(sound, capsys, DAMAGES)
