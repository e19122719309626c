"""Forget a project's key: from then on nobody can read any of its backups, with whatever keys and copies.

| step | a crash after it leaves |
|---|---|
| records and shares go, in one transaction | data that only the root key's holder can still read; repeating goes on |
| the bases of local volumes go: clones of what backups were made of, in plain bytes | the same; repeating goes on |
| **the key is destroyed** in the header | objects that nothing opens; repeating goes on |
| every other object goes | a header that says that its key was destroyed |
| the header goes, then the local copy of the index | nothing: the next backup makes a repository with a new key |

No worker may run: each has the keys of the repositories that it worked with in memory.
"""

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from openvbs.clock import Clock, utc_now
from openvbs.db import audit, backups, forgetting, migrate, workers
from openvbs.db.forgetting import Gone
from openvbs.db.session import Database
from openvbs.domain.audit import AuditAction, AuditEvent
from openvbs.domain.job import WORKER_SILENT_MAX, is_alive
from openvbs.engine.format import HEADER_NAME
from openvbs.engine.keys import RootKey
from openvbs.engine.rewrap import destroy_key
from openvbs.errors import OpenVbsError
from openvbs.stores.base import Store
from openvbs.stores.prefixed import prefixed

OnRemoved = Callable[[int, int], None]
"""Told how many objects of how many have been removed."""

_OPERATOR = "operator"


class ForgetRefused(OpenVbsError):
    """The key cannot be forgotten now; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """What goes with a project's key."""

    backups: dict[str, int]
    """How many records each project has of data in the repository; others than the project itself imported them."""
    shares: int
    objects: int
    has_key: bool
    """The store holds the key. If not, it may not be the store of the backups, as when that is not mounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the service keeps what is to go."""

    database: Database
    store: Store
    index_cache: Path
    """The folder of local copies of indexes."""
    drop_bases_of: Callable[[Collection[str]], None]
    """Removes what the data directory keeps of the bytes that these backups were made of, durably."""
    notifies: bool
    """Audit events are owed to the operator's notifications."""
    make_id: Callable[[], str]
    clock: Clock = utc_now


def look(place: Place, project_id: str) -> Doomed:
    """What forgetting the project's key would take. Raises ForgetRefused when it cannot be done now."""
    with place.database.read() as connection:
        _refuse_if_busy(connection, place, project_id)
        records = forgetting.count_records(connection, project_id)
        shares = forgetting.count_shares(connection, project_id)
        is_owed = backups.must_be_stored(connection, project_id)
    names = [info.name for info in prefixed(place.store, project_id).list("")]
    if not records and not names and not is_owed:
        raise ForgetRefused(
            f"there is nothing of a project {project_id}: neither records nor a repository in the store"
        )
    return Doomed(records, shares, len(names), HEADER_NAME in names)


def forget(place: Place, root_key: RootKey, project_id: str, *, on_removed: OnRemoved) -> None:
    """Do it. Raises ForgetRefused before anything changed; after another error, repeating it goes on."""
    # The base of a backup that was deleted long ago is still there if its removal failed, or was on another machine.
    place.drop_bases_of(_end_records(place, project_id))
    repository = prefixed(place.store, project_id)
    # Without a header there is no key to destroy: an earlier call came so far.
    names = [info.name for info in repository.list("")]
    if HEADER_NAME in names:
        destroy_key(repository, root_key)
        names.remove(HEADER_NAME)
        names.append(HEADER_NAME)
    for count, name in enumerate(names, start=1):
        repository.delete(name)
        on_removed(count, len(names))
    cached = place.index_cache / project_id
    if cached.exists():
        shutil.rmtree(cached)


def _refuse_if_busy(connection: sa.Connection, place: Place, project_id: str) -> None:
    if not migrate.is_current(connection):
        raise ForgetRefused("the database is not that of this release: run 'openvbs migrate' first")
    now = place.clock()
    alive = [worker_id for worker_id, at in workers.list_all(connection) if is_alive(at, now)]
    if alive:
        raise ForgetRefused(
            f"a worker runs, or was killed less than {WORKER_SILENT_MAX.seconds} s ago ({', '.join(alive)}), "
            "and it may have the project's key in memory; stop the service first"
        )
    if forgetting.is_data_needed(connection, project_id):
        raise ForgetRefused(
            "backups or restores of the project's data are under way; cancel them or let them end, then stop"
        )


def _end_records(place: Place, project_id: str) -> set[str]:
    """Gives the ids of all backups that were ever in the repository."""
    with place.database.write() as connection:
        _refuse_if_busy(connection, place, project_id)
        now = place.clock()
        for gone in forgetting.end_shares(connection, project_id, now=now):
            _note(connection, place, gone, AuditAction.SHARE_CANCEL, outcome="cancelled")
        for gone in forgetting.end_backups(connection, project_id, now=now):
            _note(connection, place, gone, AuditAction.BACKUP_DELETE, outcome="deleted")
        return forgetting.all_ids(connection, project_id)


def _note(connection: sa.Connection, place: Place, gone: Gone, action: AuditAction, *, outcome: str) -> None:
    event_id = place.make_id()
    event = AuditEvent(
        id=event_id,
        at=place.clock(),
        project_id=gone.project_id,
        action=action,
        actor_project_id=gone.project_id,
        actor_user_id=_OPERATOR,
        as_admin=True,
        backup_id=gone.backup_id,
        share_id=gone.share_id,
        job_id=None,
        to_project_id=gone.to_project_id,
        outcome=outcome,
        request_id=f"req-{event_id}",
        source_address=None,
        details={"because": "the key of the repository was destroyed"},
        is_owed=place.notifies,
    )
    audit.insert(connection, event)
