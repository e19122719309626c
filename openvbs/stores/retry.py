"""Repeats what a store could not do for the moment. The only place of the stores that sleeps."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from openvbs.stores.base import Bytes, NameTaken, ObjectInfo, Store, StoreUnavailable

TRIES_MAX = 10
WAIT_SECONDS_FIRST = 0.2
WAIT_SECONDS_MAX = 10.0

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class RetryStore:
    """A store around a store that tries again while that is unavailable: ten times, with about half a minute of waits.

    How long a try itself may take is for that store to say. With S3 it is minutes, so that one call can take most of
    an hour when requests hang.
    """

    def __init__(self, store: Store, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store = store
        self._sleep = sleep

    def put(self, name: str, data: Bytes) -> None:
        self._repeat(lambda: self._store.put(name, data))

    def create(self, name: str, data: Bytes) -> None:
        tries = 0

        def create() -> None:
            nonlocal tries
            tries += 1
            try:
                self._store.create(name, data)
            except NameTaken:
                # An earlier try of ours may have succeeded though its answer was lost.
                if tries == 1 or self._store.get(name) != data:
                    raise

        self._repeat(create)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._repeat(lambda: self._store.get(name, offset, length))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        last = ""
        tries = 0
        while True:
            try:
                for info in self._store.list(prefix):
                    if info.name > last:
                        last = info.name
                        tries = 0
                        yield info
            except StoreUnavailable as error:
                tries += 1
                self._wait(tries, error)
            else:
                return

    def stat(self, name: str) -> ObjectInfo:
        return self._repeat(lambda: self._store.stat(name))

    def delete(self, name: str) -> None:
        self._repeat(lambda: self._store.delete(name))

    def close(self) -> None:
        self._store.close()

    def _repeat(self, call: Callable[[], _Answer]) -> _Answer:
        tries = 0
        while True:
            try:
                return call()
            except StoreUnavailable as error:
                tries += 1
                self._wait(tries, error)

    def _wait(self, tries: int, error: StoreUnavailable) -> None:
        """Sleep before the next try, or raise the error if there were enough."""
        if tries >= TRIES_MAX:
            raise error
        seconds = min(WAIT_SECONDS_MAX, WAIT_SECONDS_FIRST * 2 ** (tries - 1))
        _log.warning("trying again in about %.1f s: %s", seconds, error)
        # Spread, so that many workers do not come back at the same moment.
        self._sleep(seconds * (0.5 + random.SystemRandom().random() / 2))
