"""References: what else than its own record needs a backup, in this installation or another one on the same store.

A backup with a reference is not removed. Adding one and removing the backup may happen at once, from different
machines. Each first writes what the other then looks for, so that at least one of them gives way.
"""

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID, uuid4

from openvbs.engine.errors import BackupMissing
from openvbs.engine.facts import BackupRecord
from openvbs.engine.format import REFERENCES, REMOVALS
from openvbs.engine.repository import Repository, backup_name
from openvbs.stores.base import Store, StoreFull

_CONTENT = b"openvbs\n"


def add_reference(repository: Repository, backup_id: str, reference_id: str) -> BackupRecord:
    """Keep the backup in the store until the reference is dropped; adding it again is harmless.

    BackupMissing when it is gone or being removed, and then there is no reference either. After another error there
    may be one.
    """
    name = _reference_name(backup_id, reference_id)
    # Whoever removes the backup gives way to a reference that was there before, so a removal says nothing then.
    was_there = _any(repository, name)
    repository.store.put(name, _CONTENT)
    is_going = not was_there and _any(repository, _removals_of(backup_id))
    record = None
    with suppress(BackupMissing):
        record = None if is_going else repository.load_backup(backup_id)
    if record is None:
        repository.store.delete(name)
        raise BackupMissing(backup_id)
    return record


def drop_reference(store: Store, backup_id: str, reference_id: str) -> None:
    """Let the backup be removed as far as this reference goes; one that is absent is no error.

    Takes the repository's store alone: a record whose data cannot be opened must be able to go.
    """
    store.delete(_reference_name(backup_id, reference_id))


def remove_unreferenced(repository: Repository, backup_id: str, work_id: UUID | None = None) -> bool:
    """Remove the backup, durably, unless it has a reference: False then. One that is absent counts as removed.

    A crash leaves the backup whole or gone, and at worst a note of the removal, because of which no new reference can
    be added. The next call that removes the backup takes it along, and so does one for the same work.
    """
    removal = f"{_removals_of(backup_id)}{(work_id or uuid4()).hex}"
    store = repository.store
    # Removing is how a full store gets room again, and while it is full it takes no new reference either.
    with suppress(StoreFull):
        store.put(removal, _CONTENT)
    if _any(repository, _references_of(backup_id)):
        store.delete(removal)
        return False
    repository.delete_backup(backup_id)
    for info in list(store.list(_removals_of(backup_id))):
        store.delete(info.name)
    return True


def list_references(repository: Repository, backup_id: str) -> Iterator[str]:
    """The ids of the backup's references."""
    prefix = _references_of(backup_id)
    return (info.name.removeprefix(prefix) for info in repository.store.list(prefix))


def _any(repository: Repository, prefix: str) -> bool:
    return next(repository.store.list(prefix), None) is not None


def _references_of(backup_id: str) -> str:
    backup_name(backup_id)
    return f"{REFERENCES}{backup_id}/"


def _removals_of(backup_id: str) -> str:
    backup_name(backup_id)
    return f"{REMOVALS}{backup_id}/"


def _reference_name(backup_id: str, reference_id: str) -> str:
    return _references_of(backup_id) + reference_id
