"""The root key file and the header that it opens."""

import os
import stat

import pytest

from openvbs.engine.errors import Corrupt, KeyUnusable, RepositoryMissing, UnknownFormat, WrongKey
from openvbs.engine.format import HEADER_NAME
from openvbs.engine.keys import create_root_key, load_root_key, root_key_from_secret
from openvbs.engine.repository import create_repository, open_repository
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import BLOCK, ROOT_KEY, back_up_bytes, random_bytes, restored


def test_a_new_key_is_private_and_loads(tmp_path):
    key = create_root_key(tmp_path / "key")
    assert load_root_key(tmp_path / "key") == key
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert key.secret.hex() not in repr(key)


def test_a_key_is_never_made_over_another_file(tmp_path):
    (tmp_path / "key").write_text("precious")
    with pytest.raises(KeyUnusable, match="exists"):
        create_root_key(tmp_path / "key")
    assert (tmp_path / "key").read_text() == "precious"
    with pytest.raises(KeyUnusable, match="No such file"):
        create_root_key(tmp_path / "no folder" / "key")


def test_a_missing_key_file(tmp_path):
    with pytest.raises(KeyUnusable, match="no root key file"):
        load_root_key(tmp_path / "absent")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    create_root_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        load_root_key(tmp_path / "key")


@pytest.mark.parametrize("spoil", [str.upper, lambda t: t[:-4], lambda t: "", lambda t: t + "x", lambda t: t * 2])
def test_what_is_no_key_file_is_refused(tmp_path, spoil):
    create_root_key(tmp_path / "key")
    text = (tmp_path / "key").read_text()
    (tmp_path / "key").write_text(spoil(text))
    with pytest.raises(KeyUnusable, match="is not a root key file"):
        load_root_key(tmp_path / "key")


def test_a_typing_error_in_a_key_is_found(tmp_path):
    create_root_key(tmp_path / "key")
    text = (tmp_path / "key").read_text()
    digit = "1" if text[20] != "1" else "2"
    (tmp_path / "key").write_text(text[:20] + digit + text[21:])
    with pytest.raises(KeyUnusable, match="typing error"):
        load_root_key(tmp_path / "key")


def test_a_wrong_key_is_told_from_damage_and_names_both_keys():
    store = MemoryStore()
    create_repository(store, ROOT_KEY, block_bytes=BLOCK).close()
    other = root_key_from_secret(os.urandom(32))
    with pytest.raises(WrongKey) as caught:
        open_repository(store, other)
    assert ROOT_KEY.key_id in str(caught.value)
    assert other.key_id in str(caught.value)


def test_creating_again_opens_what_is_there():
    store = MemoryStore()
    with create_repository(store, ROOT_KEY, block_bytes=BLOCK) as first:
        backup_id = back_up_bytes(first, b"x" * 10).facts.backup_id
    with create_repository(store, ROOT_KEY) as second:
        assert second.id == first.id
        assert second.block_bytes == BLOCK
        assert restored(second, backup_id) == b"x" * 10


def test_nothing_is_there():
    with pytest.raises(RepositoryMissing, match="init"):
        open_repository(MemoryStore(), ROOT_KEY)


def test_every_flipped_bit_of_the_header_is_found():
    store = MemoryStore()
    create_repository(store, ROOT_KEY, block_bytes=BLOCK).close()
    good = store.get(HEADER_NAME)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        store.put(HEADER_NAME, bad)
        with pytest.raises((Corrupt, UnknownFormat, WrongKey)):
            open_repository(store, ROOT_KEY)


def test_two_projects_never_have_an_id_in_common():
    data = random_bytes(3)
    stores = [MemoryStore(), MemoryStore()]
    ids = []
    for store in stores:
        with create_repository(store, ROOT_KEY, block_bytes=BLOCK) as repository:
            back_up_bytes(repository, data)
            ids.append({entry.block_id for row in store.list("index/") for entry in entries(repository, row.name)})
    assert len(ids[0]) == len(ids[1]) == 4
    assert not ids[0] & ids[1]


def entries(repository, name):
    return [e for listing in repository.index.read_segment(bytes.fromhex(name[6:])) for e in listing]
