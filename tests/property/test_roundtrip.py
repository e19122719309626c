"""Whatever a volume looks like: what was backed up is what is restored."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openvbs.engine.backup import back_up
from openvbs.engine.check import check_data
from openvbs.engine.chunker import batches_of, runs_of
from openvbs.engine.errors import BackupMissing
from openvbs.engine.tree import TreeShape
from openvbs.sources.base import Extent, ExtentKind
from tests.support.repositories import (
    BLOCK,
    BytesSource,
    BytesTarget,
    back_up_bytes,
    facts,
    new_repository,
    restore_to,
    restored,
)

PIECES = st.lists(
    st.tuples(
        st.sampled_from(["zeros", "random", "pattern", "repeat"]),
        st.one_of(st.integers(1, 3 * BLOCK), st.integers(1, 300).map(lambda blocks: blocks * BLOCK)),
        st.integers(0, 5),
    ),
    max_size=6,
)


def volume(pieces) -> bytes:
    parts = []
    for kind, length, seed in pieces:
        if kind == "zeros":
            parts.append(bytes(length))
        elif kind == "random":
            parts.append(st_random(length, seed))
        elif kind == "pattern":
            parts.append((b"%d" % seed * length)[:length])
        else:
            parts.append((st_random(BLOCK, seed) * (length // BLOCK + 1))[:length])
    return b"".join(parts)


def st_random(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


@st.composite
def cuts(draw, data: bytes, *, same_as: bytes | None = None) -> list[Extent]:
    """Extents that are true: ZERO only where zeros are, SAME only where the parent has the same."""
    points = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=12)) | {0, len(data)})
    extents = []
    for start, end in pairwise(points):
        if start >= len(data) or end > len(data):
            continue
        kinds = [ExtentKind.DATA]
        if not data[start:end].strip(b"\0"):
            kinds.append(ExtentKind.ZERO)
        if same_as is not None and data[start:end] == same_as[start:end]:
            kinds.append(ExtentKind.SAME)
        extents.append(Extent(start, end - start, draw(st.sampled_from(kinds))))
    return extents


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, data=st.data())
def test_backups_restore_byte_for_byte(pieces, data):
    content = volume(pieces)
    source = BytesSource(content, data.draw(cuts(content)) if content else [])
    with new_repository() as repository:
        record = back_up(repository, source, facts())
        assert record.size_bytes == len(content)
        assert restored(repository, record.facts.backup_id) == content
        assert check_data(repository).ok


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, before=PIECES, extra=st.integers(0, 3 * BLOCK))
def test_restoring_in_place_writes_what_differs_and_leaves_the_tail(pieces, before, extra):
    content = volume(pieces)
    old = (volume(before) + bytes(len(content)))[: len(content)] + b"\x07" * extra
    with new_repository() as repository:
        record = back_up_bytes(repository, content)
        target = BytesTarget(data=old)
        stats = restore_to(repository, record.facts.backup_id, target)
        assert target.data == content + b"\x07" * extra
        assert stats.bytes_written + stats.bytes_skipped + stats.bytes_zero == len(content)
        for offset, length in target.written:
            assert old[offset : offset + length] != content[offset : offset + length]


@settings(max_examples=60, deadline=None)
@given(pieces=PIECES, changes=PIECES, data=st.data())
def test_hints_change_the_cost_and_never_the_result(pieces, changes, data):
    old = volume(pieces)
    new = volume(changes)[: len(old) // 2] + old[len(old) // 2 :] + volume(changes)
    extents = data.draw(cuts(new, same_as=old)) if new else []
    with new_repository() as repository:
        parent = back_up_bytes(repository, old).facts.backup_id
        record = back_up(repository, BytesSource(new, extents), facts(), parent=parent)
        full = back_up(repository, BytesSource(new, extents), facts(full=True), parent=parent)
        assert record.tree == full.tree
        assert full.stats.blocks_same == 0
        repository.delete_backup(parent)
        assert restored(repository, record.facts.backup_id) == new


@settings(max_examples=30, deadline=None)
@given(volumes=st.lists(PIECES, min_size=2, max_size=4), data=st.data())
def test_deleting_one_backup_leaves_the_others_whole(volumes, data):
    contents = [volume(pieces) for pieces in volumes]
    with new_repository() as repository:
        ids = [back_up_bytes(repository, content).facts.backup_id for content in contents]
        gone = data.draw(st.sampled_from(ids))
        repository.delete_backup(gone)
        repository.delete_backup(gone)
        with pytest.raises(BackupMissing):
            restored(repository, gone)
        assert {record.facts.backup_id for record in repository.list_backups()} == set(ids) - {gone}
        for backup_id, content in zip(ids, contents, strict=True):
            assert backup_id == gone or restored(repository, backup_id) == content


@settings(max_examples=30, deadline=None)
@given(pieces=PIECES)
def test_the_same_volume_again_stores_nothing(pieces):
    content = volume(pieces)
    with new_repository() as repository:
        first = back_up_bytes(repository, content)
        second = back_up_bytes(repository, content)
        assert second.tree == first.tree
        assert (second.stats.bytes_stored, second.stats.object_count, second.stats.bytes_new) == (0, 0, 0)


@settings(max_examples=30, deadline=None)
@given(pieces=PIECES)
def test_a_backup_made_again_under_its_id_is_the_same_one(pieces):
    content = volume(pieces)
    with new_repository() as repository:
        what = facts()
        record = back_up(repository, BytesSource(content), what)
        assert back_up(repository, BytesSource(content), what) == record
        assert repository.load_backup(what.backup_id) == record
        assert restored(repository, what.backup_id) == content


@given(size=st.integers(0, 50 * BLOCK), data=st.data())
def test_every_block_is_in_one_run_and_is_read_unless_all_of_it_is_known(size, data):
    shape = TreeShape(size, BLOCK)
    points = sorted(data.draw(st.sets(st.integers(1, max(1, size - 1)), max_size=20)) | {0, size})
    extents = [
        Extent(start, end - start, data.draw(st.sampled_from(ExtentKind)))
        for start, end in pairwise(points)
        if end <= size
    ]
    seen = []
    for run in runs_of(extents, shape, use_hints=True):
        for batch in batches_of(run, 8):
            assert batch.count <= 8
            assert batch.first_block // 256 == (batch.first_block + batch.count - 1) // 256
            seen += [(batch.first_block + i, batch.kind) for i in range(batch.count)]
    assert [block for block, _ in seen] == list(range(shape.blocks))
    for block, kind in seen:
        start, end = block * BLOCK, min(size, (block + 1) * BLOCK)
        kinds = {e.kind for e in extents if e.offset_bytes < end and e.offset_bytes + e.length_bytes > start}
        assert kind is (kinds.pop() if len(kinds) == 1 else ExtentKind.DATA)
