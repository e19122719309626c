"""What the service's records were, read from a store with the root key alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from openvbs.domain.backup import Backup, BackupStatus
from openvbs.domain.share import Share
from openvbs.engine.errors import BackupMissing, Corrupt, EngineError, UnknownFormat
from openvbs.engine.facts import BackupRecord
from openvbs.engine.format import BACKUPS
from openvbs.engine.keys import RootKey
from openvbs.engine.records import list_records, open_record
from openvbs.engine.references import list_references
from openvbs.engine.repository import Repository, open_repository
from openvbs.recovery.facts import DATA_TIMESTAMP, columns_of, request_of, source_of
from openvbs.recovery.repositories import NoRepositories, find_repositories
from openvbs.recovery.told import ToldRecord, parse_told
from openvbs.stores.base import Store, StoreError
from openvbs.stores.prefixed import prefixed

OnSurveyed = Callable[[int], None]
"""Told how many backups have been read so far."""


@dataclass(frozen=True, slots=True)
class Found:
    """One backup's record as the store tells it."""

    backup: Backup
    is_deleted: bool
    """The record had gone; the data is there for somebody else, or was about to go."""
    version: int
    """Of the record in the store; 0 when there is none and the facts say all."""
    shares: list[Share] = field(default_factory=list)
    """What were live shares when the store was told last. One that was cancelled just then may be among them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the store that could not be read, and what that means."""

    repository_id: str
    text: str


def survey(store: Store, root_key: RootKey, *, place: str, on_surveyed: OnSurveyed) -> Iterator[Found | Problem]:
    """Every record that the store tells of, repository by repository. NoRepositories, StoreError.

    A store without any is taken for the wrong one: after a loss, "nothing was there" is the last thing to believe.
    ``place`` is what that error names.
    """
    count = 0
    names = find_repositories(store)
    if not names:
        raise NoRepositories(f"no repository lies in {place}: is that the store itself, and is it mounted?")
    for name in names:
        for found in _survey_repository(prefixed(store, name), name, root_key):
            count += isinstance(found, Found)
            on_surveyed(count)
            yield found


def _survey_repository(store: Store, name: str, root_key: RootKey) -> Iterator[Found | Problem]:
    try:
        with open_repository(store, root_key) as repository:
            yield from _survey_records(repository, name)
    except (EngineError, StoreError) as error:
        yield Problem(name, f"nothing more of it can be read: {error}")


def _survey_records(repository: Repository, name: str) -> Iterator[Found | Problem]:
    told: dict[str, tuple[int, ToldRecord]] = {}
    for stored in list_records(repository):
        try:
            told[stored.record_id] = (stored.version, parse_told(open_record(repository, stored)))
        except (Corrupt, UnknownFormat) as error:
            yield Problem(name, f"the record of backup {stored.record_id} is lost, with its shares: {error}")
    for info in repository.store.list(BACKUPS):
        backup_id = info.name.removeprefix(BACKUPS)
        try:
            record = repository.load_backup(backup_id)
        except BackupMissing:
            continue  # deleted at this moment, or the name of something else
        except (EngineError, StoreError) as error:
            yield Problem(name, f"backup {backup_id} cannot be read: {error}")
            continue
        version, own = told.pop(backup_id, (0, None))
        yield _found(name, backup_id, record, version, own)
    for record_id, (version, imported) in told.items():
        try:
            if imported.reference_id not in set(list_references(repository, imported.data_id)):
                continue  # without its reference it was about to go, as without its data
            record = repository.load_backup(imported.data_id)
        except BackupMissing:
            continue
        except (EngineError, StoreError) as error:
            yield Problem(name, f"backup {record_id}, a record of {imported.data_id}, cannot be read: {error}")
            continue
        yield _found(name, record_id, record, version, imported)


def _found(name: str, backup_id: str, record: BackupRecord, version: int, told: ToldRecord | None) -> Found:
    columns = {**columns_of(record), **source_of(record), **request_of(record)}
    columns[DATA_TIMESTAMP] = datetime.fromisoformat(columns[DATA_TIMESTAMP])
    owner = record.facts.owner_project_id or name
    if told is not None:
        owner = told.project_id
        changed = ("user_id", "name", "description", "container", "availability_zone", "asked_incremental", "is_full")
        columns |= {column: getattr(told, column) for column in (*changed, "policy_id", "metadata", "tags")}
    backup = Backup(
        id=backup_id,
        project_id=owner,
        repository_id=name,
        data_id=record.facts.backup_id,
        reference_id=None if told is None else told.reference_id,
        status=BackupStatus.AVAILABLE,
        fail_reason=None,
        created_at=record.facts.created_at if told is None else told.created_at,
        updated_at=None if told is None else told.updated_at,
        **columns,
    )
    if told is None:
        return Found(backup, is_deleted=False, version=0)
    shares = [
        Share(
            id=share.id,
            backup_id=backup_id,
            from_project_id=owner,
            to_project_id=share.to_project_id,
            created_at=share.created_at,
            updated_at=share.updated_at,
            expires_at=share.expires_at,
        )
        for share in told.shares
    ]
    return Found(backup, told.deleted, version, shares)
