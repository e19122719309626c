"""Tell the store what changed in backups' records, so that a rescue knows it without the database.

A change is owed from its own transaction until the store has it, so none is lost; the store is a moment behind. A
worker that hangs and writes late does no harm: of several versions the highest counts. While a change is owed, above
all the cancel of a share, the store says what was true before, which is why a rescue gives no share back by itself.
"""

import logging
import threading

from openvbs.clock import monotonic_seconds
from openvbs.db import backups, store_records
from openvbs.db.session import Database, DatabaseUnavailable
from openvbs.engine.errors import EngineError
from openvbs.engine.records import put_record, remove_record
from openvbs.jobs.repositories import Repositories
from openvbs.recovery.told import told_of
from openvbs.stores.base import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
AT_ONCE_MAX = 200
RETRY_SECONDS = 60.0


class RecordKeeping:
    """Any number of workers may do this at once."""

    def __init__(self, database: Database, repositories: Repositories) -> None:
        self._database = database
        self._repositories = repositories
        self._not_before: dict[str, float] = {}
        """When to try a repository again that could not be written."""

    def run(self, stop_event: threading.Event) -> None:
        """Tell the store of changes until stop_event is set."""
        while not stop_event.is_set():
            try:
                self.tell_owed(stop_event)
            except DatabaseUnavailable as error:
                log.warning("the database does not answer, so the store is told of no changes: %s", error)
            except Exception:
                # The next look may go better, and without it the store would fall behind unnoticed.
                log.exception("telling the store of changed records failed")
            stop_event.wait(LOOK_SECONDS)

    def tell_owed(self, stop_event: threading.Event | None = None) -> None:
        """Tell the store of everything that is owed, except to repositories that failed a short while ago."""
        failing = {name for name, at in self._not_before.items() if monotonic_seconds() < at}
        with self._database.read() as connection:
            owed = store_records.owed(connection, limit=AT_ONCE_MAX, without=failing)
        for backup_id, version in owed:
            if stop_event is not None and stop_event.is_set():
                return
            self._tell(backup_id, version)

    def _tell(self, backup_id: str, version: int) -> None:
        # Read after the version: what is told is at least as new as that, and what comes later is owed again.
        with self._database.read() as connection:
            state = store_records.state_of(connection, backup_id)
            data = backups.data_of(connection, backup_id)
        if data is not None:
            if data.repository_id in self._not_before and monotonic_seconds() < self._not_before[data.repository_id]:
                return
            try:
                has_repository = self._repositories.is_there(data.repository_id)
                if state is None:
                    remove_record(self._repositories.store_of(data.repository_id), backup_id)
                elif not has_repository:
                    log.info("backup %s never came to be stored, so there is nothing to tell of it", backup_id)
                else:
                    backup, is_deleted, shares = state
                    repository = self._repositories.get(data.repository_id)
                    put_record(repository, backup_id, version, told_of(backup, shares, deleted=is_deleted))
            except (EngineError, StoreError) as error:
                log.warning("cannot tell the store what changed in the record of backup %s: %s", backup_id, error)
                self._not_before[data.repository_id] = monotonic_seconds() + RETRY_SECONDS
                return
        with self._database.write() as connection:
            if state is None:
                store_records.forget(connection, backup_id, version)
            else:
                store_records.mark_stored(connection, backup_id, version)
