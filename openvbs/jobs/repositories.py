"""The projects' repositories, opened when they are first needed and kept open."""

import threading
from collections.abc import Callable
from pathlib import Path

from openvbs.db import backups
from openvbs.db.session import Database
from openvbs.engine.format import HEADER_NAME
from openvbs.engine.keys import RootKey
from openvbs.engine.repository import Repository, create_repository, has_header, open_repository
from openvbs.stores.base import Store, StoreError
from openvbs.stores.prefixed import prefixed

REPOSITORIES_OPEN_MAX = 64


class RepositoryAway(StoreError):
    """Backups were stored in a repository that the store does not show now; the operator must bring it back."""

    def __init__(self, repository_id: str) -> None:
        super().__init__(
            f"The store of project {repository_id} is not there (no {HEADER_NAME}), and backups were stored in it. "
            "Is it mounted? If that object alone is lost, put it back from a copy of the store."
        )
        self.repository_id = repository_id


class Repositories:
    """One repository per project, at ``<store>/<project_id>/``. Threads may share it and what it gives.

    A repository brings its own index up to date at the start of every piece of work, so an open one never goes stale.
    """

    def __init__(
        self, database: Database, store: Store, load_root_key: Callable[[], RootKey], *, cache: Path | None = None
    ) -> None:
        self._database = database
        self._store = store
        self._load_root_key = load_root_key
        self._cache = cache
        self._lock = threading.Lock()
        self._open: dict[str, Repository] = {}

    def get(self, repository_id: str) -> Repository:
        """The project's repository. RepositoryMissing, WrongKey or another EngineError when it cannot be opened."""
        return self._get(repository_id, lambda *args, cache: open_repository(*args, cache=cache))

    def find(self, repository_id: str) -> Repository | None:
        """The project's repository; None where no backup was ever stored. RepositoryAway if it should be there."""
        return self.get(repository_id) if self.is_there(repository_id) else None

    def get_or_begin(self, repository_id: str) -> Repository:
        """Like find, but a repository is made where none is needed yet; two makers at once get the same.

        A new one beneath a mount would be taken for the project's, and every earlier backup for lost.
        """
        if self.is_there(repository_id):
            return self.get(repository_id)
        self.forget(repository_id)  # one that was there and is open has a key that lies nowhere any more
        return self._get(repository_id, lambda *args, cache: create_repository(*args, cache=cache))

    def is_there(self, repository_id: str) -> bool:
        """Does the store hold the repository now? False where no backup was ever stored, else RepositoryAway.

        Asks the store each time: one that is open stays open when its store is unmounted, and then looks empty.
        """
        if has_header(self.store_of(repository_id)):
            return True
        with self._database.read() as connection:
            must_be_stored = backups.must_be_stored(connection, repository_id)
        # Once more: another job may have made it since, and published what is in it.
        if must_be_stored and not has_header(self.store_of(repository_id)):
            # What comes back may open with another key.
            self.forget(repository_id)
            raise RepositoryAway(repository_id)
        return must_be_stored

    def store_of(self, repository_id: str) -> Store:
        """Where the project's repository lies or would lie, for what needs no key."""
        return prefixed(self._store, repository_id)

    def forget(self, repository_id: str) -> None:
        """Open the repository anew the next time, since something about it went wrong. Work under way goes on."""
        with self._lock:
            self._open.pop(repository_id, None)

    def close(self) -> None:
        """Close what is open. No work may be under way."""
        with self._lock:
            for repository in self._open.values():
                repository.close()
            self._open.clear()

    def _get(self, repository_id: str, make: Callable[..., Repository]) -> Repository:
        with self._lock:
            repository = self._open.pop(repository_id, None)
            if repository is None:
                cache = None if self._cache is None else self._cache / repository_id
                repository = make(self.store_of(repository_id), self._load_root_key(), cache=cache)
            self._open[repository_id] = repository  # the last one is the one used last
            if len(self._open) > REPOSITORIES_OPEN_MAX:
                # Left to the garbage collector: somebody may still be working with it.
                del self._open[next(iter(self._open))]
            return repository
