"""kill -9 of `openvbs rescue rebuild` and `openvbs key forget` at random moments; then they are run again.

The commands run in forks of this process, so that every moment is one of their work and none of Python's start.
OPENVBS_KILLS says how many of each, OPENVBS_SEED repeats a run.
"""

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from openvbs.actions.service import Service
from openvbs.actions.shares import share_backup
from openvbs.auth.permissions import Permissions
from openvbs.cli.main import main
from openvbs.db.session import Database
from openvbs.engine.check import check_data
from openvbs.engine.errors import EngineError
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.engine.repository import create_repository, open_repository
from openvbs.jobs.queue import JobQueue
from openvbs.stores.local import LocalStore
from openvbs.stores.prefixed import prefixed
from tests.support.actions import caller
from tests.support.repositories import BLOCK, back_up_bytes, random_bytes, restored

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("OPENVBS_KILLS", "5"))
SEED = int(os.environ["OPENVBS_SEED"])
PROJECTS = {"alpha": 40, "gamma": 3}
"""Backups of each. alpha's key is to be forgotten."""


@dataclass
class Stopped:
    """The data directory of a service that does not run: stores of two projects, and what their backups hold."""

    folder: Path
    contents: dict[str, dict[str, bytes]]

    def store(self, project: str) -> Any:
        return prefixed(LocalStore(self.folder / "store"), project)

    def rows(self) -> list[tuple[Any, ...]]:
        """Backups and shares as the database has them."""
        database = Database(f"sqlite:///{self.folder}/openvbs.db")
        with contextlib.closing(database), database.read() as connection:
            wanted = (
                "SELECT id, project_id, name, status FROM backups WHERE deleted_at IS NULL",
                "SELECT id, from_project_id, to_project_id, backup_id FROM shares WHERE cancelled_at IS NULL",
            )
            return [tuple(row) for query in wanted for row in connection.execute(sa.text(f"{query} ORDER BY id"))]

    def copy(self, folder: Path) -> "Stopped":
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        return Stopped(folder, self.contents)

    def command(self, *arguments: str) -> int:
        """Begin it in a process of its own; the pid."""
        pid = os.fork()
        if pid:
            return pid
        code = 99
        try:
            with open(self.folder / "said", "a") as said, contextlib.redirect_stdout(said):  # noqa: PTH123
                sys.stderr = said
                main([*arguments, "--data-dir", str(self.folder)])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 98
        finally:
            os._exit(code)

    def run(self, *arguments: str) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.command(*arguments), 0)[1])

    def kill(self, moment: float, *arguments: str) -> bool:
        """True if it was killed so many seconds after its beginning, false if it had ended well by then."""
        pid = self.command(*arguments)
        time.sleep(moment)
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in {0, -signal.SIGKILL}, (code, (self.folder / "said").read_text())
        return code != 0

    def check_whole(self, project: str) -> None:
        """Every backup of the project restores byte for byte."""
        with open_repository(self.store(project), load_root_key(self.folder / "root.key")) as repository:
            assert set(check_data(repository).whole) == set(self.contents[project])
            for backup_id, content in self.contents[project].items():
                assert restored(repository, backup_id) == content


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """One whose database was lost."""
    stopped = Stopped(tmp_path_factory.mktemp("lost") / "data", {})
    (stopped.folder / "store").mkdir(parents=True)
    root_key = create_root_key(stopped.folder / "root.key")
    for project, count in PROJECTS.items():
        with create_repository(stopped.store(project), root_key, block_bytes=BLOCK) as repository:
            made = stopped.contents[project] = {}
            for number in range(count):
                content = random_bytes(1.5)
                record = back_up_bytes(repository, content, name=f"{project}-{number}", owner_project_id=project)
                made[record.facts.backup_id] = content
    return stopped


@pytest.fixture(scope="module")
def stopped(lost: Stopped, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    """One that was rebuilt, with live shares."""
    found = lost.copy(tmp_path_factory.mktemp("stopped") / "data")
    assert found.run("rescue", "rebuild") == 0
    with contextlib.closing(Database(f"sqlite:///{found.folder}/openvbs.db")) as database:
        service = Service(database=database, queue=JobQueue(database), permissions=Permissions())
        for project in PROJECTS:
            for backup_id in list(found.contents[project])[:2]:
                share_backup(service, caller(project), backup_id, ["beta"])
    return found


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{SEED} {request.node.name}")


def seconds_of(stopped: Stopped, *arguments: str) -> float:
    """How long the command takes when nobody kills it."""
    start = time.monotonic()
    assert stopped.run(*arguments) == 0, (stopped.folder / "said").read_text()
    return time.monotonic() - start


def test_a_killed_rebuild_is_repeated(lost: Stopped, chance: random.Random, tmp_path: Path) -> None:
    arguments = ("rescue", "rebuild")
    unharmed = lost.copy(tmp_path / "unharmed")
    seconds = seconds_of(unharmed, *arguments)
    wanted = unharmed.rows()
    assert len(wanted) == sum(PROJECTS.values())
    killed = []
    for _ in range(KILLS):
        again = lost.copy(tmp_path / "again")
        moment = chance.uniform(0, seconds)
        killed.append((moment, again.kill(moment, *arguments)))
        code = again.run(*arguments)
        # One that was killed after its commit finds the records there, and says so.
        assert code == 0 or "has records of backups already" in (again.folder / "said").read_text(), killed
        assert again.rows() == wanted, killed
        for project in PROJECTS:
            again.check_whole(project)
    assert any(was_killed for _, was_killed in killed), killed


def test_after_a_killed_forget_the_next_one_leaves_nothing(
    stopped: Stopped, chance: random.Random, tmp_path: Path
) -> None:
    arguments = ("key", "forget", "alpha", "--yes")
    unharmed = stopped.copy(tmp_path / "unharmed")
    seconds = seconds_of(unharmed, *arguments)
    wanted = unharmed.rows()
    assert {row[1] for row in wanted} == {"gamma"}
    gammas = {info.name: stopped.store("gamma").get(info.name) for info in stopped.store("gamma").list("")}
    killed = []
    for _ in range(KILLS):
        again = stopped.copy(tmp_path / "again")
        moment = chance.uniform(0, seconds)
        killed.append((moment, again.kill(moment, *arguments)))
        if opens(again, "alpha"):
            again.check_whole("alpha")  # what can still be read is all there
        else:
            assert again.rows() == wanted, killed  # no record promises what nobody can read
        code = again.run(*arguments)
        assert code == 0 or "nothing of a project alpha" in (again.folder / "said").read_text(), killed
        assert [*again.store("alpha").list("")] == [], killed
        assert not (again.folder / "cache" / "index" / "alpha").exists()
        assert again.rows() == wanted, killed
        assert {info.name: again.store("gamma").get(info.name) for info in again.store("gamma").list("")} == gammas
        again.check_whole("gamma")
    assert any(was_killed for _, was_killed in killed), killed


def opens(stopped: Stopped, project: str) -> bool:
    try:
        open_repository(stopped.store(project), load_root_key(stopped.folder / "root.key")).close()
    except EngineError:
        return False
    return True
