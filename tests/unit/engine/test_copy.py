"""A backup copied into another repository: the same bytes, verified, under another key."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openvbs.engine.copy import _StoredVolume, copy_backup
from openvbs.engine.errors import BackupMissing, EngineError
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, back_up_bytes, facts, new_repository, restored

CHANCE = random.Random(7)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["zero", "same", "random"]), max_size=40),
    tail=st.integers(0, BLOCK - 1),
    ratio=st.sampled_from([(1, 1), (1, 2), (4, 1)]),
)
def test_a_copy_has_the_same_bytes_whatever_the_block_sizes(
    pieces: list[str], tail: int, ratio: tuple[int, int]
) -> None:
    kinds = {"zero": bytes(BLOCK), "same": b"s" * BLOCK, "random": CHANCE.randbytes(BLOCK)}
    data = b"".join(kinds[piece] for piece in pieces) + b"t" * tail
    with new_repository(block_bytes=BLOCK * ratio[0]) as source, new_repository(block_bytes=BLOCK * ratio[1]) as target:
        original = back_up_bytes(source, data)
        copy = copy_backup(source, original.facts.backup_id, target, facts(name="copy"))
        assert restored(target, copy.facts.backup_id) == data
        assert copy.facts.name == "copy"
        assert copy_backup(source, original.facts.backup_id, target, copy.facts) == copy, "repeating gives the same"
        again = copy_backup(source, original.facts.backup_id, target, facts())
        assert again.stats.object_count == 0
        assert again.tree.root == copy.tree.root


def test_zeros_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(BLOCK * 5000) + CHANCE.randbytes(BLOCK) + bytes(BLOCK * 3000)
    with new_repository() as source, new_repository() as target:
        original = back_up_bytes(source, data)
        copy = copy_backup(source, original.facts.backup_id, target, facts())
        assert copy.stats.bytes_read == BLOCK
        assert restored(target, copy.facts.backup_id) == data


def test_nothing_of_the_copy_opens_with_the_source_and_ids_differ() -> None:
    data = CHANCE.randbytes(BLOCK * 8)
    with new_repository() as source, new_repository() as target:
        original = back_up_bytes(source, data)
        copy = copy_backup(source, original.facts.backup_id, target, facts())
        assert copy.tree.root != original.tree.root
        assert not {o.name for o in source.store.list("packs/")} & {o.name for o in target.store.list("packs/")}
        source.delete_backup(original.facts.backup_id)
        assert restored(target, copy.facts.backup_id) == data


def test_a_damaged_source_is_never_copied() -> None:
    store = MemoryStore()
    with new_repository(store) as source, new_repository() as target:
        original = back_up_bytes(source, CHANCE.randbytes(BLOCK * 8))
        for pack in [info.name for info in store.list("packs/")]:
            raw = bytearray(store.get(pack))
            raw[len(raw) // 3] ^= 1
            store.put(pack, bytes(raw))
        wanted = facts()
        with pytest.raises(EngineError):
            copy_backup(source, original.facts.backup_id, target, wanted)
        with pytest.raises(BackupMissing):
            target.load_backup(wanted.backup_id)


class Stopped(Exception):
    """What a checkpoint raises."""


def test_what_was_stored_before_a_stop_is_used_by_the_next_try() -> None:
    data = CHANCE.randbytes(BLOCK * 6000)
    with new_repository() as source, new_repository() as target:
        original = back_up_bytes(source, data)
        looks = 0

        def checkpoint() -> None:
            nonlocal looks
            looks += 1
            if looks == 4:
                raise Stopped

        wanted = facts()
        with pytest.raises(Stopped):
            copy_backup(source, original.facts.backup_id, target, wanted, checkpoint=checkpoint)
        with pytest.raises(BackupMissing):
            target.load_backup(wanted.backup_id)
        copy = copy_backup(source, original.facts.backup_id, target, wanted)
        assert 0 < copy.stats.bytes_new < len(data)
        assert restored(target, copy.facts.backup_id) == data


def test_a_copy_within_one_repository_stores_no_block() -> None:
    with new_repository() as source:
        original = back_up_bytes(source, CHANCE.randbytes(BLOCK * 8))
        copy = copy_backup(source, original.facts.backup_id, source, facts())
        assert copy.stats.object_count == 0
        assert copy.tree == original.tree


def test_what_is_not_there_cannot_be_copied() -> None:
    with new_repository() as source, new_repository() as target, pytest.raises(BackupMissing):
        copy_backup(source, facts().backup_id, target, facts())


def test_a_stored_volume_fills_the_whole_buffer_wherever_it_is_read() -> None:
    pieces = [CHANCE.randbytes(BLOCK), bytes(BLOCK), CHANCE.randbytes(BLOCK), bytes(BLOCK * 3), CHANCE.randbytes(100)]
    data = b"".join(pieces)
    with new_repository() as source:
        volume = _StoredVolume(source, back_up_bytes(source, data).tree)
        for _ in range(200):
            start = CHANCE.randrange(len(data))
            end = CHANCE.randrange(start, len(data)) + 1
            buffer = bytearray(b"x" * (end - start))
            volume.read_into(start, memoryview(buffer))
            assert buffer == data[start:end]
