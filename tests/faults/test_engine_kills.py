"""kill -9 of a process at a random moment of a backup, restore, delete or collection, mostly beside a second process.

After each: check finds nothing, every committed backup restores byte for byte, the killed work repeated succeeds, and a
collection leaves nothing that is not needed. OPENVBS_ENGINE_KILLS says how many, OPENVBS_SEED repeats the choices (the
moments depend on the machine).
"""

import hashlib
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

import pytest

from openvbs.engine import packing
from openvbs.engine.backup import back_up
from openvbs.engine.check import check_data
from openvbs.engine.collect import apply_collection, plan_collection
from openvbs.engine.errors import BackupMissing
from openvbs.engine.format import LEASES, PACKS
from openvbs.engine.leases import EXPIRE_SECONDS
from openvbs.engine.references import remove_unreferenced
from openvbs.engine.repository import Repository, create_repository, open_repository
from openvbs.engine.restore import restore
from openvbs.sources.file import FileSource, FileTarget
from openvbs.stores.local import LocalStore
from openvbs.units import KIB, MIB
from tests.support.repositories import ROOT_KEY, facts

KILLS = int(os.environ.get("OPENVBS_ENGINE_KILLS", "20"))
KILLS_QUICK = 3
SEED = int(os.environ.get("OPENVBS_SEED") or random.SystemRandom().randrange(10**6))
VOLUME_BYTES = 4 * MIB
BLOCK_BYTES = 16 * KIB
PACK_BYTES = 512 * KIB
"""Small packs, so that a small volume takes many writes."""
BACKUPS_MAX = 5
KINDS = ("backup", "restore", "delete", "collect")
SECONDS_MAX = 240.0


def work(kind: str, store: Path, backup_id: str, file: Path) -> None:
    """What the processes do. Raises nothing but for a bug, whatever the other process does meanwhile."""
    packing.PACK_BYTES = PACK_BYTES
    with open_repository(LocalStore(store), ROOT_KEY) as repository:
        if kind == "backup":
            back_up(repository, FileSource(file), facts(backup_id=backup_id))
        elif kind == "restore":
            try:
                restore(repository, backup_id, FileTarget(file))
            except BackupMissing:
                return  # the other process deletes it
        elif kind == "delete":
            remove_unreferenced(repository, backup_id)
        else:
            apply_collection(repository, plan_collection(repository))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Site:
    folder: Path
    chance: random.Random
    committed: dict[str, str] = field(default_factory=dict)
    """Digest of each backup's volume."""
    seconds: dict[str, float] = field(default_factory=dict)
    """The least that each kind of work took when nobody disturbed it."""
    killed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    ended_before: int = 0

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def opened(self) -> Repository:
        return open_repository(LocalStore(self.store), ROOT_KEY)

    def new_volume(self) -> Path:
        """Half of it old blocks in new places, a part new ones, and holes."""
        path = self.folder / f"volume-{uuid4()}"
        chance = self.chance
        old = random.Random(7)
        pieces = [old.randbytes(256 * KIB) for _ in range(VOLUME_BYTES // (256 * KIB))]
        for place in chance.sample(range(len(pieces)), len(pieces) // 3):
            pieces[place] = chance.choice([chance.randbytes(256 * KIB), bytes(256 * KIB), pieces[0]])
        path.write_bytes(b"".join(pieces))
        return path

    def plan(self, kind: str) -> tuple[str, str, Path]:
        """Kind, backup and file for one piece of work; what cannot be done yet is a backup instead."""
        if kind == "backup" or not self.committed:
            return "backup", str(uuid4()), self.new_volume()
        backup_id = self.chance.choice(list(self.committed))
        return kind, backup_id, self.folder / "target"

    def start(self, plan: tuple[str, str, Path]) -> BaseProcess:
        kind, backup_id, file = plan
        if kind == "restore":
            file.write_bytes(self.chance.randbytes(MIB) + bytes(VOLUME_BYTES - MIB))
        process = SPAWNER.Process(target=work, args=(kind, self.store, backup_id, file), daemon=True)
        process.start()
        return process

    def kill(self, plan: tuple[str, str, Path], process: BaseProcess) -> None:
        kind = plan[0]
        time.sleep(self.chance.uniform(0, self.seconds.get(kind, 0.2)))
        process.kill()
        process.join(SECONDS_MAX)
        self.killed[kind] += 1
        self.ended_before += process.exitcode == 0

    def finish(self, plan: tuple[str, str, Path], process: BaseProcess, started: float | None = None) -> None:
        process.join(SECONDS_MAX)
        assert process.exitcode == 0, plan
        if started is not None:
            self.seconds[plan[0]] = min(time.monotonic() - started, self.seconds.get(plan[0], SECONDS_MAX))
        self.settle(plan, is_done=True)

    def settle(self, plan: tuple[str, str, Path], *, is_done: bool) -> None:
        """Note what the work changed; of killed work the store alone knows."""
        kind, backup_id, file = plan
        exists = (self.store / "backups" / backup_id).exists()
        if kind == "backup":
            assert exists or not is_done
            if exists:
                self.committed[backup_id] = digest(file)
        elif kind == "delete":
            assert not (exists and is_done)
            if not exists:
                self.committed.pop(backup_id, None)
        elif kind == "restore" and is_done and backup_id in self.committed:
            assert digest(file) == self.committed[backup_id]

    def see_that_all_is_well(self) -> None:
        with self.opened() as repository:
            assert {record.facts.backup_id for record in repository.list_backups()} == set(self.committed)
            report = check_data(repository)
            assert report.ok, report.problems
            target = FileTarget(self.folder / "target")
            for backup_id, wanted in self.committed.items():
                restore(repository, backup_id, target)
                assert digest(self.folder / "target") == wanted
            target.close()

    def see_that_space_comes_back(self) -> None:
        """As it does by itself once the leases of the dead have expired."""
        later = time.time() + EXPIRE_SECONDS + 60
        with self.opened() as repository:
            for _ in range(2):
                apply_collection(repository, plan_collection(repository, later), now=later)
            plan = plan_collection(repository, later)
            assert (plan.dead, plan.rewrite, plan.packs_waiting) == (frozenset(), {}, 0)
            assert not list(repository.store.list(LEASES))[1:]  # but the one of this look
            if not self.committed:
                assert not list(repository.store.list(PACKS))


SPAWNER = multiprocessing.get_context("forkserver")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    SPAWNER.set_forkserver_preload(["tests.faults.test_engine_kills"])
    create_repository(LocalStore(tmp_path / "store"), ROOT_KEY, block_bytes=BLOCK_BYTES).close()
    (tmp_path / "target").write_bytes(bytes(VOLUME_BYTES))
    return Site(tmp_path, random.Random(SEED))


def drive(site: Site, kills: int) -> None:
    for kind in ("backup", *KINDS, *KINDS):  # unharmed, to know how long each takes
        plan = site.plan(kind)
        started = time.monotonic()
        site.finish(plan, site.start(plan), started)
    for number in range(kills):
        doomed = site.plan(KINDS[number % len(KINDS)])
        process = site.start(doomed)
        beside = None
        if site.chance.random() < 0.7:
            beside = site.plan(site.chance.choice([kind for kind in KINDS if kind != "restore"]))
            other = site.start(beside)
        site.kill(doomed, process)
        if beside:
            site.finish(beside, other)
        site.settle(doomed, is_done=False)
        site.see_that_all_is_well()
        if doomed[1] in site.committed or doomed[0] in ("backup", "collect"):
            started = time.monotonic()
            site.finish(doomed, site.start(doomed), started)
        site.see_that_space_comes_back()
        while len(site.committed) > BACKUPS_MAX:
            extra = ("delete", site.chance.choice(list(site.committed)), site.folder / "target")
            site.finish(extra, site.start(extra))
        site.see_that_all_is_well()
        for volume in site.folder.glob("volume-*"):
            volume.unlink()


def tell(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nOPENVBS_SEED={SEED}; killed {site.killed}, {site.ended_before} of them ended before the kill")


def test_a_few_kills(site, capsys):
    try:
        drive(site, KILLS_QUICK)
    finally:
        tell(site, capsys)


@pytest.mark.heavy
@pytest.mark.timeout(7200)
def test_many_kills(site, capsys):
    try:
        drive(site, KILLS)
        for backup_id in list(site.committed):
            site.finish(("delete", backup_id, site.folder / "target"), site.start(("delete", backup_id, site.folder)))
        site.see_that_space_comes_back()
    finally:
        tell(site, capsys)
