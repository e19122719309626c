"""Records: what the caller knows of a backup beside the facts in it, kept so that the store alone can tell it.

A record may change, so each version is an object of its own and the highest one counts. Whoever writes an old version
late, when a newer one is there already, changes nothing.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from openvbs.engine.errors import BackupMissing
from openvbs.engine.format import RECORDS, ObjectKind
from openvbs.engine.repository import Repository, backup_name
from openvbs.stores.base import ObjectMissing, Store

_VERSION_DIGITS = 20


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """The highest version of one record, not opened yet."""

    record_id: str
    version: int
    name: str
    sealed: bytes = field(repr=False)


def put_record(repository: Repository, record_id: str, version: int, content: bytes) -> None:
    """Make this version of the record durable, and take lower ones away. A crash leaves some of those, harmlessly.

    ``record_id`` is a UUID in its usual form, ``version`` a positive number that only grows.
    """
    name = f"{_versions_of(record_id)}{version:0{_VERSION_DIGITS}d}"
    repository.store.put(name, repository.codec.seal_object(name, ObjectKind.RECORD, content))
    for info in list(repository.store.list(_versions_of(record_id))):
        if info.name < name:
            repository.store.delete(info.name)


def remove_record(store: Store, record_id: str) -> None:
    """Take every version of the record away; none is no error. Needs no key."""
    for info in list(store.list(_versions_of(record_id))):
        store.delete(info.name)


def list_records(repository: Repository) -> Iterator[StoredRecord]:
    """The highest version of every record, by id. One that is removed meanwhile may be left out.

    There is no falling back to a lower version where this one is damaged: that may say what is no longer true.
    """
    highest: dict[str, str] = {}
    for info in repository.store.list(RECORDS):
        record_id, _, digits = info.name.removeprefix(RECORDS).partition("/")
        with suppress(BackupMissing):
            if digits.isdecimal() and _versions_of(record_id):
                highest[record_id] = info.name  # listed in order
    for record_id, name in highest.items():
        with suppress(ObjectMissing):
            yield StoredRecord(record_id, int(name.rpartition("/")[2]), name, repository.store.get(name))


def open_record(repository: Repository, stored: StoredRecord) -> bytes:
    """What was put, or Corrupt or UnknownFormat."""
    return repository.codec.open_object(stored.name, ObjectKind.RECORD, stored.sealed)


def _versions_of(record_id: str) -> str:
    backup_name(record_id)  # BackupMissing unless it is a UUID
    return f"{RECORDS}{record_id}/"
