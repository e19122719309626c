"""Two tries of the same work that commit at once."""

from collections.abc import Callable

import pytest

from openvbs.engine.backup import back_up
from openvbs.engine.errors import BackupExists
from openvbs.engine.format import BACKUPS
from openvbs.engine.repository import open_repository
from openvbs.stores.memory import MemoryStore
from tests.support.repositories import ROOT_KEY, BytesSource, facts, new_repository, random_bytes, restored


class OvertakenStore(MemoryStore):
    """Somebody else is faster, once, when a backup is about to be committed."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Callable[[], object] | None = None

    def create(self, name, data):
        if self.first is not None and name.startswith(BACKUPS):
            first, self.first = self.first, None
            first()
        super().create(name, data)


@pytest.mark.parametrize("is_same", [True, False], ids=["same content", "other content"])
def test_of_two_commits_under_one_id_the_first_stands(is_same):
    store = OvertakenStore()
    what, content = facts(), random_bytes(5)
    theirs = content if is_same else random_bytes(5)
    with new_repository(store) as repository, open_repository(store, ROOT_KEY) as elsewhere:
        store.first = lambda: back_up(elsewhere, BytesSource(theirs), what)
        if is_same:
            record = back_up(repository, BytesSource(content), what)
            assert record == repository.load_backup(what.backup_id)
        else:
            with pytest.raises(BackupExists):
                back_up(repository, BytesSource(content), what)
        assert restored(elsewhere, what.backup_id) == theirs
