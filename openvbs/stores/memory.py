"""Objects in memory: the reference for what every store does, and the fastest store for tests."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from openvbs.clock import Clock, utc_now
from openvbs.stores.base import Bytes, NameTaken, ObjectInfo, ObjectMissing, ObjectTooShort, check_name


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    modified_at: float


class MemoryStore:
    """A store that lasts as long as the process."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()

    def put(self, name: str, data: Bytes) -> None:
        stored = _Object(bytes(data), self._clock().timestamp())
        with self._lock:
            self._objects[check_name(name)] = stored

    def create(self, name: str, data: Bytes) -> None:
        stored = _Object(bytes(data), self._clock().timestamp())
        with self._lock:
            if self._objects.setdefault(check_name(name), stored) is not stored:
                raise NameTaken(f"{name} exists already")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._object(name).data
        end = len(data) if length is None else offset + length
        if offset > len(data) or end > len(data):
            raise ObjectTooShort(f"{name} has {len(data)} bytes; {end} were asked for")
        return data[offset:end]

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            found = sorted(item for item in self._objects.items() if item[0].startswith(prefix))
        for name, stored in found:
            yield ObjectInfo(name, len(stored.data), stored.modified_at)

    def stat(self, name: str) -> ObjectInfo:
        stored = self._object(name)
        return ObjectInfo(name, len(stored.data), stored.modified_at)

    def delete(self, name: str) -> None:
        with self._lock:
            self._objects.pop(check_name(name), None)

    def close(self) -> None:
        pass

    def _object(self, name: str) -> _Object:
        with self._lock:
            stored = self._objects.get(check_name(name))
        if stored is None:
            raise ObjectMissing(f"there is no object {name}")
        return stored
