"""Change which root keys open a repository. Only its header is written, whatever the size of the data.

Each call replaces the header in one step: a crash leaves the old one or the new one, and both are whole. Two calls at
once could each write back what the other has just changed, so callers see to it that there is one at a time.
"""

from openvbs.engine.errors import RepositoryMissing
from openvbs.engine.format import HEADER_NAME
from openvbs.engine.header import Header, pack_header, parse_header, unwrap_header
from openvbs.engine.keys import RootKey, WrappedKey, derive_project_keys, wrap_project_key
from openvbs.stores.base import ObjectMissing, Store


def key_ids(store: Store) -> list[str]:
    """Ids of the root keys that open the repository, as its header claims; none once its key was destroyed.

    RepositoryMissing, UnknownFormat or Corrupt when there is no header to read.
    """
    return [copy.root_key_id for copy in parse_header(_stored(store)).keys]


def add_root_key(store: Store, root_key: RootKey, new_key: RootKey) -> bool:
    """Let the new key open the repository too, durably; False if it did already. WrongKey if root_key does not.

    On return the new key was seen to open what is stored.
    """
    header, project_key = unwrap_header(_stored(store), root_key)
    added = all(copy.root_key_id != new_key.key_id for copy in header.keys)
    if added:
        _put(store, header, project_key, [*header.keys, _wrap(header, project_key, new_key)])
    unwrap_header(_stored(store), new_key)
    return added


def keep_only(store: Store, root_key: RootKey) -> bool:
    """Let no other root key open the repository, durably; False if none did. WrongKey if this one does not."""
    header, project_key = unwrap_header(_stored(store), root_key)
    kept = [copy for copy in header.keys if copy.root_key_id == root_key.key_id]
    if len(kept) == len(header.keys):
        return False
    _put(store, header, project_key, kept)
    return True


def replace_root_key(store: Store, root_key: RootKey, new_key: RootKey) -> None:
    """Let the new key open the repository and no other one, in one step. WrongKey if root_key does not open it."""
    header, project_key = unwrap_header(_stored(store), root_key)
    _put(store, header, project_key, [_wrap(header, project_key, new_key)])
    unwrap_header(_stored(store), new_key)


def destroy_key(store: Store, root_key: RootKey) -> None:
    """Take every wrapped copy of the project key away, durably: nothing of the repository can be read from then on.

    The header stays and says so. WrongKey if root_key does not open it; one whose key is destroyed already is no error.
    """
    stored = _stored(store)
    if parse_header(stored).keys:
        header, project_key = unwrap_header(stored, root_key)
        _put(store, header, project_key, [])


def _stored(store: Store) -> bytes:
    try:
        return store.get(HEADER_NAME)
    except ObjectMissing as error:
        raise RepositoryMissing(f"there is no repository here (no {HEADER_NAME})") from error


def _put(store: Store, header: Header, project_key: bytes, copies: list[WrappedKey]) -> None:
    header.keys = copies
    store.put(HEADER_NAME, pack_header(header, derive_project_keys(project_key, header.repository_id)))


def _wrap(header: Header, project_key: bytes, root_key: RootKey) -> WrappedKey:
    return wrap_project_key(
        project_key, root_key, repository_id=header.repository_id, block_bytes=header.block_size_bytes
    )
