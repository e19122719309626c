"""The invariants of docs/format.md that a look at every write of a busy session shows."""

import pytest

from openvbs.engine.backup import back_up
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.format import (
    BACKUPS,
    BLOCK_HEADER,
    OBJECT_HEADER,
    PACK_HEADER,
    PACKS,
    SEGMENTS,
    Kind,
    ObjectKind,
    pack_name,
    parse_segment,
)
from openvbs.engine.pack import listing_of
from openvbs.engine.presence import prove_tree
from openvbs.engine.repair import repair_index
from openvbs.engine.repository import open_repository
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import (
    ROOT_KEY,
    BytesSource,
    back_up_bytes,
    facts,
    new_repository,
    random_bytes,
    restored,
)


class WatchedStore(MemoryStore):
    """Remembers every write, and lets a test look at the store just before each one."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[str, bytes]] = []
        self.before_write = lambda name, data: None

    def put(self, name, data):
        self._watch(name, data)
        super().put(name, data)

    def create(self, name, data):
        self._watch(name, data)
        super().create(name, data)

    def _watch(self, name, data):
        self.before_write(name, bytes(data))
        self.writes.append((name, bytes(data)))


@pytest.fixture
def store():
    return WatchedStore()


def busy_session(store) -> None:
    """Backups with common blocks, deletes, collections that copy, merge and delete, a repair."""
    with new_repository(store) as repository:
        blocks = [random_bytes(1) for _ in range(12)]
        for round_number in range(18):
            start = round_number % 6
            gone = back_up_bytes(repository, b"".join(blocks[start : start + 6]) + random_bytes(3)).facts.backup_id
            back_up_bytes(repository, blocks[start])
            repository.delete_backup(gone)
            if round_number % 3 == 2:
                apply_collection(repository, plan_collection(repository))
        repair_index(repository)


def test_i1_packs_segments_and_backups_are_written_once(store):
    busy_session(store)
    names = [name for name, _ in store.writes if name.startswith((PACKS, SEGMENTS, BACKUPS))]
    assert len(names) > 60
    assert len(names) == len(set(names))


def test_i2_a_segment_names_only_packs_that_are_stored(store):
    seen = []
    with new_repository(store) as reader:

        def before_write(name, data):
            if name.startswith(SEGMENTS):
                listings = reader_listings(reader, name, data)
                for listing in listings:
                    assert store.stat(pack_name(listing.pack_id)).size_bytes == listing.size_bytes
                    assert listing == listing_of(reader.codec, listing.pack_id, store.get(pack_name(listing.pack_id)))
                seen.append(len(listings))

        store.before_write = before_write
        busy_session(store)
    assert len(seen) > 20


def reader_listings(reader, name, data):
    return parse_segment(reader.codec.open_object(name, ObjectKind.SEGMENT, data))


def test_i3_a_backup_is_created_when_all_it_needs_is_stored_and_listed(store):
    seen = []

    def before_write(name, data):
        if name.startswith(BACKUPS):
            # What another process sees at this moment, were the backup there already.
            copy = MemoryStore()
            for info in list(store.list("")):
                copy.put(info.name, store.get(info.name))
            copy.put(name, data)
            with open_repository(copy, ROOT_KEY) as other, other.working("look"):
                prove_tree(other, other.load_backup(name[len(BACKUPS) :]).tree)
            seen.append(name)

    store.before_write = before_write
    busy_session(store)
    assert len(seen) == 36


def test_i4_every_backup_is_whole_by_itself(store):
    with new_repository(store) as repository:
        contents = [random_bytes(2)]
        for _ in range(4):
            contents.append(contents[-1] + random_bytes(1))
        ids = [back_up_bytes(repository, content).facts.backup_id for content in contents]
        for backup_id in ids[:-1]:
            repository.delete_backup(backup_id)
        apply_collection(repository, plan_collection(repository))
        assert restored(repository, ids[-1]) == contents[-1]


def test_i5_no_key_meets_a_nonce_twice(store):
    busy_session(store)
    salts = []
    for name, data in store.writes:
        if name.startswith(PACKS):
            salts.append(PACK_HEADER.unpack_from(data)[4])
            with open_repository(store, ROOT_KEY) as repository:
                entries = list(listing_of(repository.codec, salts[-1], data))
            numbers = [BLOCK_HEADER.unpack_from(data, entry.offset_bytes)[3] for entry in entries]
            assert numbers == list(range(len(numbers)))
        elif name != "repository.json":
            salts.append(OBJECT_HEADER.unpack_from(data)[6])
    assert len(salts) > 100
    assert len(salts) == len(set(salts))


def test_i9_bytes_that_do_not_hash_to_their_id_are_refused_though_they_open(store):
    with new_repository(store) as repository:
        data = random_bytes(1)
        codec = repository.codec
        wanted = codec.id_of(data, Kind.BLOCK)
        cipher = codec.keys.pack_cipher(bytes(16))
        out = memoryview(bytearray(2 * len(data)))
        # Sealed with the right keys, but other bytes: a bug or memory error of the writer.
        length = codec.seal_into(out, random_bytes(1), block_id=wanted, kind=Kind.BLOCK, number=0, cipher=cipher)
        with pytest.raises(Exception, match="does not hash"):
            codec.open_block(out[:length], wanted=wanted, cipher=cipher)
        length = codec.seal_into(out, data, block_id=wanted, kind=Kind.BLOCK, number=0, cipher=cipher)
        assert codec.open_block(out[:length], wanted=wanted, cipher=cipher) == data


def test_i12_packs_that_nothing_names_are_collected_or_named_again(store):
    with new_repository(store) as repository:
        content = random_bytes(2)
        backup_id = back_up(repository, BytesSource(content), facts()).facts.backup_id
        for info in list(store.list(SEGMENTS)):
            store.delete(info.name)
        assert repair_index(repository).packs_listed == 2
        assert restored(repository, backup_id) == content
        repository.delete_backup(backup_id)
        for info in list(store.list(SEGMENTS)):
            store.delete(info.name)
        assert apply_collection(repository, plan_collection(repository)).packs_deleted == 2
        assert list(store.list(PACKS)) == []
