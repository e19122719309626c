"""Stores that misbehave on purpose."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from openvbs.stores.base import ObjectInfo, Store, StoreFull, StoreUnavailable

_Answer = TypeVar("_Answer")


class GatedStore:
    """Holds every write of a name with the prefix back until the gate opens, so that a test can act meanwhile."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self.reached = threading.Event()
        self.gate = threading.Event()

    def _wait(self, name: str) -> None:
        if self._prefix in name:
            self.reached.set()
            assert self.gate.wait(60)

    def put(self, name: str, data: bytes) -> None:
        self._wait(name)
        self._store.put(name, data)

    def create(self, name: str, data: bytes) -> None:
        self._wait(name)
        self._store.create(name, data)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._store.get(name, offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._store.list(prefix)

    def stat(self, name: str) -> ObjectInfo:
        return self._store.stat(name)

    def delete(self, name: str) -> None:
        self._store.delete(name)

    def close(self) -> None:
        self._store.close()


class GatedReads(GatedStore):
    """Holds reads back instead."""

    def _wait(self, name: str) -> None:
        """Writes pass."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        super()._wait(name)
        return self._store.get(name, offset, length)


class FullStore(GatedStore):
    """Has no room for names with the prefix."""

    def _wait(self, name: str) -> None:
        if self._prefix in name:
            raise StoreFull("no space left on the test's disk")


class NthCallFails:
    """A store whose n-th call fails, counted from 0: before it did anything, or after it did all of it."""

    def __init__(self, store: Store, n: int, *, after: bool) -> None:
        self._store = store
        self._n = n
        self._after = after
        self._calls = 0

    @property
    def failed(self) -> bool:
        """Has the n-th call come?"""
        return self._calls > self._n

    def _call(self, work: Callable[[], _Answer]) -> _Answer:
        this = self._calls
        self._calls += 1
        if this == self._n and not self._after:
            raise StoreUnavailable("the test's store does not answer")
        answer = work()
        if this == self._n:
            raise StoreUnavailable("the answer of the test's store was lost")
        return answer

    def put(self, name: str, data: bytes) -> None:
        self._call(lambda: self._store.put(name, data))

    def create(self, name: str, data: bytes) -> None:
        self._call(lambda: self._store.create(name, data))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._call(lambda: self._store.get(name, offset, length))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._call(lambda: [*self._store.list(prefix)]))

    def stat(self, name: str) -> ObjectInfo:
        return self._call(lambda: self._store.stat(name))

    def delete(self, name: str) -> None:
        self._call(lambda: self._store.delete(name))

    def close(self) -> None:
        self._store.close()


class WatchedStore(GatedStore):
    """Notes what is read: name and length, which is None for a whole object."""

    def __init__(self, store: Store, read: list[tuple[str, int | None]]) -> None:
        super().__init__(store, "")
        self._read = read

    def _wait(self, name: str) -> None:
        """Nothing waits."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._read.append((name, length))
        return self._store.get(name, offset, length)
