"""A lease tells collections that somebody works here. It is renewed by a thread of its own until the work ends."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec

from openvbs.clock import monotonic_seconds, utc_now
from openvbs.engine.codec import Codec
from openvbs.engine.errors import EngineError, LeaseLapsed
from openvbs.engine.format import LEASES, ObjectKind
from openvbs.engine.ids import new_object_id
from openvbs.stores.base import ObjectMissing, Store, StoreError

_log = logging.getLogger(__name__)

RENEW_SECONDS = 20.0
LAPSE_SECONDS = 120.0
"""A holder that could not renew for this long stops by itself (I10)."""
EXPIRE_SECONDS = 600.0
"""A collector ignores a lease of this age. The distance to LAPSE_SECONDS covers clocks and slow stores."""


class _LeaseContent(msgspec.Struct):
    purpose: str
    holder: str
    started_at: datetime


class Lease:
    """Held while the ``holding`` context lasts."""

    def __init__(self, store: Store, codec: Codec, purpose: str) -> None:
        self.lease_id = new_object_id()
        self._name = LEASES + self.lease_id
        self._store = store
        self._codec = codec
        holder = f"{socket.gethostname()}:{os.getpid()}"
        self._content = msgspec.json.encode(_LeaseContent(purpose, holder, utc_now()))
        self._stop = threading.Event()
        self._gone = False
        self._renewed_at = monotonic_seconds()
        self._store.create(self._name, self._sealed())
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """LeaseLapsed if a collection may have stopped counting on us."""
        if self._gone or monotonic_seconds() - self._renewed_at > LAPSE_SECONDS:
            raise LeaseLapsed("this work's lease in the store lapsed: the store could not be reached for too long")

    def check_stored(self) -> None:
        """Like check, and see that the lease is still in the store. The last thing before a commit."""
        self.check()
        try:
            self._store.stat(self._name)
        except ObjectMissing:
            self._gone = True
        self.check()

    def store_now(self) -> float:
        """The present time by the store's own clock, with which ages of leases are told: that of a renewal.

        LeaseLapsed if the lease was taken away.
        """
        try:
            now = self._renew_once()
        except ObjectMissing as error:
            self._gone = True
            raise LeaseLapsed("this work's lease was taken away while it stood still") from error
        self.check()
        return now

    def release(self) -> None:
        """Stop renewing and remove the lease."""
        self._stop.set()
        self._thread.join()
        self._store.delete(self._name)

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                self._renew_once()
            except ObjectMissing:
                self._gone = True
                return
            except StoreError:
                # Not renewed; if it stays so, check says it. The work itself will meet the same store.
                continue

    def _renew_once(self) -> float:
        """Renew; when that was, by the store's own clock."""
        started = monotonic_seconds()
        before = self._store.stat(self._name).modified_at  # a lease that was taken away must stay away (I10)
        self._store.put(self._name, self._sealed())
        now = self._store.stat(self._name).modified_at
        if now - before > LAPSE_SECONDS:
            # The put, or this machine, took so long that it may have brought back a lease that was taken away.
            self._gone = True
        self._renewed_at = started
        return now

    def _sealed(self) -> bytes:
        return self._codec.seal_object(self._name, ObjectKind.LEASE, self._content)


@dataclass(frozen=True, slots=True)
class LeaseSurvey:
    """The leases of a repository at one moment, without the one of who asks."""

    at: float
    """That moment, in seconds since 1970 by the store's own clock."""
    living: dict[str, float]
    """By lease id, when its holder began, in seconds since 1970 by the holder's clock; 0 if it cannot be read."""
    expired: list[str]
    ahead: list[str]
    """Those of the living that were renewed in what is the future: the store's clock was set back since."""


def survey_leases(store: Store, codec: Codec, *, own: Lease, now: float | None) -> LeaseSurvey:
    """Every other lease, told apart by its age at ``now``, a time by the store's own clock; None means the present.

    LeaseLapsed if the own lease was taken away.
    """
    at = own.store_now() if now is None else now
    living: dict[str, float] = {}
    expired: list[str] = []
    ahead: list[str] = []
    for info in store.list(LEASES):
        lease_id = info.name[len(LEASES) :]
        if lease_id == own.lease_id:
            continue
        if at - info.modified_at > EXPIRE_SECONDS:
            expired.append(lease_id)
            continue
        living[lease_id] = _started_at(store, codec, info.name)
        if info.modified_at - at > EXPIRE_SECONDS:
            ahead.append(lease_id)
    return LeaseSurvey(at, living, expired, ahead)


def count_from_now(store: Store, lease_id: str) -> None:
    """Let a lease expire EXPIRE_SECONDS from now unless its holder renews it, whatever time it has.

    That is safer than to take it for expired: the holder may only not have come to renew it by the new time. One whose
    work ends just now may come back, and expires.
    """
    name = LEASES + lease_id
    with suppress(ObjectMissing):
        store.put(name, store.get(name))


def _started_at(store: Store, codec: Codec, name: str) -> float:
    try:
        content = msgspec.json.decode(codec.open_object(name, ObjectKind.LEASE, store.get(name)), type=_LeaseContent)
    except (ObjectMissing, EngineError, msgspec.DecodeError):
        return 0.0  # gone again or unreadable; it counts as living and as old, which is always safe
    return content.started_at.timestamp()


@contextmanager
def holding(store: Store, codec: Codec, purpose: str) -> Iterator[Lease]:
    """A lease for as long as the context lasts."""
    lease = Lease(store, codec, purpose)
    try:
        yield lease
    finally:
        try:
            lease.release()
        except StoreError:
            # What the work raised matters more, and what it achieved stands: the lease expires by itself.
            _log.warning("lease %s could not be removed; it expires", lease.lease_id, exc_info=True)
