"""What a later program made is refused by name, and not called damaged (docs/format.md 10)."""

from dataclasses import replace
from unittest.mock import patch
from uuid import UUID

import pytest

from openvbs.engine import codec as codec_module
from openvbs.engine import format as format_module
from openvbs.engine import keys as keys_module
from openvbs.engine.check import check_data
from openvbs.engine.codec import Codec
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import UnknownFormat
from openvbs.engine.format import BLOCK_HEADER, HEADER_NAME, Kind, ObjectKind
from openvbs.engine.header import pack_header, unwrap_header
from openvbs.engine.ids import PackId
from openvbs.engine.keys import derive_project_keys, wrap_project_key
from openvbs.engine.repository import create_repository, open_repository
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, ROOT_KEY, back_up_bytes, new_repository, random_bytes

LATER = 2
KEYS = derive_project_keys(bytes(32), UUID(int=1))


@pytest.mark.parametrize("is_made_so", [True, False], ids=["made so", "says so"])
def test_a_header_with_another_key_version(is_made_so):
    store = MemoryStore()
    create_repository(store, ROOT_KEY, block_bytes=BLOCK).close()
    header, project_key = unwrap_header(store.get(HEADER_NAME), ROOT_KEY)
    with patch.object(keys_module, "KEY_VERSION", LATER if is_made_so else 1):
        copy = wrap_project_key(
            project_key, ROOT_KEY, repository_id=header.repository_id, block_bytes=header.block_size_bytes
        )
    header.keys = [replace(copy, key_version=LATER)]
    store.put(HEADER_NAME, pack_header(header, derive_project_keys(project_key, header.repository_id)))
    with pytest.raises(UnknownFormat, match="key version 2"):
        open_repository(store, ROOT_KEY)


@pytest.mark.parametrize("name", ["FORMAT", "KEY_VERSION"])
def test_an_object_of_another_version(name):
    codec = Codec(KEYS, BLOCK)
    with patch.object(codec_module, name, LATER):
        sealed = codec.seal_object("backups/x", ObjectKind.BACKUP, b"content")
    with pytest.raises(UnknownFormat, match=r"(key version|format) 2"):
        codec.open_object("backups/x", ObjectKind.BACKUP, sealed)


@pytest.mark.parametrize("name", ["FORMAT", "KEY_VERSION"])
def test_a_block_of_another_version(name):
    codec = Codec(KEYS, BLOCK)
    data, cipher = bytes(BLOCK), KEYS.pack_cipher(PackId(bytes(16)))
    block_id = codec.id_of(data, Kind.BLOCK)
    out = memoryview(bytearray(2 * BLOCK))
    with patch.object(format_module, name, LATER):
        size = codec.seal_into(out, data, block_id=block_id, kind=Kind.BLOCK, number=0, cipher=cipher)
    assert size > BLOCK_HEADER.size
    with pytest.raises(UnknownFormat, match=r"(key version|format) 2"):
        codec.open_block(out[:size], wanted=block_id, cipher=cipher)


def test_unknown_names_in_the_store_are_ignored():
    """Those of a later program, or of whoever else writes there."""
    store = MemoryStore()
    with new_repository(store) as repository:
        gone = back_up_bytes(repository, random_bytes(3)).facts.backup_id
        kept = back_up_bytes(repository, random_bytes(3)).facts.backup_id
        repository.delete_backup(gone)
    unknown = [
        folder + name for folder in ("", "index/", "packs/", "packs/ab/", "backups/") for name in ("notes", "x/y")
    ]
    for name in unknown:
        store.put(name, b"unknown")
    with open_repository(store, ROOT_KEY) as repository:
        assert [record.facts.backup_id for record in repository.list_backups()] == [kept]
        back_up_bytes(repository, random_bytes(1))
        told = {problem.partition(" is not named like a pack")[0] for problem in check_data(repository).problems}
        assert told == {name for name in unknown if name.startswith("packs/")}, "whatever takes room there is told of"
        assert apply_collection(repository, plan_collection(repository)).packs_deleted == 2
    assert set(unknown) <= {info.name for info in store.list("")}
