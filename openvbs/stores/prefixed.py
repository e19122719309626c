"""A part of a store, seen as a store of its own."""

from collections.abc import Iterator

from openvbs.stores.base import Bytes, ObjectInfo, Store, check_name


class PrefixedStore:
    """All objects below one prefix. Closing it leaves the whole store open."""

    def __init__(self, whole: Store, prefix: str) -> None:
        self._whole = whole
        self._prefix = check_name(prefix) + "/"

    def put(self, name: str, data: Bytes) -> None:
        self._whole.put(self._prefix + check_name(name), data)

    def create(self, name: str, data: Bytes) -> None:
        self._whole.create(self._prefix + check_name(name), data)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._whole.get(self._prefix + check_name(name), offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        cut = len(self._prefix)
        for info in self._whole.list(self._prefix + prefix):
            yield ObjectInfo(info.name[cut:], info.size_bytes, info.modified_at)

    def stat(self, name: str) -> ObjectInfo:
        info = self._whole.stat(self._prefix + check_name(name))
        return ObjectInfo(name, info.size_bytes, info.modified_at)

    def delete(self, name: str) -> None:
        self._whole.delete(self._prefix + check_name(name))

    def close(self) -> None:
        pass


def prefixed(store: Store, prefix: str) -> Store:
    """The objects of store below ``prefix/``, by their names without it."""
    return PrefixedStore(store, prefix)
