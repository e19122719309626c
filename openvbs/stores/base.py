"""Named bytes. A store knows nothing of blocks, packs or projects.

A medium must give: durability when ``put`` or ``create`` returns, a listing that sees every finished write, and no
partly written object ever visible. ``verify`` (and the contract tests) check that it does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from openvbs.errors import OpenVbsError

Bytes = bytes | bytearray | memoryview
"""What may be stored. The caller may change a buffer again once the call has returned."""

NAME_BYTES_MAX = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


class StoreError(OpenVbsError):
    """The medium behind a store failed or refused."""


class ObjectMissing(StoreError):
    """No object has this name."""


class ObjectTooShort(StoreError):
    """The object has fewer bytes than were asked for."""


class NameTaken(StoreError):
    """``create`` found an object of this name; nothing was changed."""


class StoreUnavailable(StoreError):
    """The medium did not answer or is overloaded; later may help. After a write, the outcome is unknown."""


class StoreFull(StoreError):
    """No room or quota is left; what was written before is untouched."""


class BadName(StoreError):
    """A name outside the rules: lower-case ASCII segments joined by ``/``, at most 200 bytes."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object. ``modified_at`` is the medium's own clock, in seconds since 1970; only ages are compared."""

    name: str
    size_bytes: int
    modified_at: float


class Store(Protocol):
    """Six verbs and ``create``. All of them may be called from several threads at once."""

    def put(self, name: str, data: Bytes) -> None:
        """Make data durable under name, replacing what was there. Atomic; repeating it is harmless."""

    def create(self, name: str, data: Bytes) -> None:
        """Like put, but raise NameTaken when the name exists. Of two at once exactly one succeeds."""

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Exactly the bytes asked for (to the end without length), or ObjectMissing, or ObjectTooShort."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose name starts with prefix, sorted by name; sees every finished write."""

    def stat(self, name: str) -> ObjectInfo:
        """The object's size and age, or ObjectMissing."""

    def delete(self, name: str) -> None:
        """Remove the object; an absent one is no error."""

    def close(self) -> None:
        """Give back threads and connections. Nothing may be called afterwards."""


def check_name(name: str) -> str:
    """The name itself, or BadName. Used before storing and after listing."""
    if len(name) > NAME_BYTES_MAX or not _NAME.fullmatch(name):
        raise BadName(f"{name!r} is not a store name: lower-case segments of [a-z0-9._-] joined by '/' are")
    return name
