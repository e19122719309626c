"""Local volumes on filesystems with reflinks: clones in no time, and backups that read only what changed."""

import itertools
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.snapshots import create_snapshot
from openvbs.actions.volumes import delete_volume
from openvbs.domain.backup import Backup, NewBackup, NewRestore
from openvbs.domain.volume import Volume
from openvbs.sources.physical import CannotCompare, PhysicalChanges
from openvbs.units import GIB, KIB, MIB
from openvbs.volumes.copy import clone_file
from tests.support.actions import caller
from tests.support.mounts import mounted
from tests.support.site import Site

pytestmark = pytest.mark.heavy

ALPHA = caller("alpha")
PAGE = 4 * KIB


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def filesystem(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted(request.param, tmp_path_factory.mktemp("filesystem"), size_bytes=GIB) as point:
        yield point


@pytest.fixture(scope="module")
def working(filesystem: Path, new_database_url: Callable[[], str]) -> Iterator[Site]:
    """A site on such a filesystem, its worker running."""
    (filesystem / "site").mkdir()
    site = Site(filesystem / "site", new_database_url())
    try:
        with site.worker():
            yield site
    finally:
        site.close()


def backed_up(site: Site, volume: Volume, **wanted: object) -> Backup:
    backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=volume.id, name="b", **wanted))
    site.succeeded(job)
    made = site.backup(backup.id)
    assert made is not None
    assert site.files.frozen_jobs() == []
    return made


def restores_to(site: Site, backup: Backup, expected: object) -> None:
    target = site.new_volume(data_bytes=MIB)
    *_, job = restore_backup(site.service, ALPHA, backup.id, NewRestore(volume_id=target.id))
    site.succeeded(job)
    assert site.content(target.id) == expected


def bytes_read(site: Site, backup: Backup) -> int:
    return site.parts().repositories.get("alpha").load_backup(backup.id).stats.bytes_read


def hints_wrong(site: Site, backup: Backup) -> int:
    return site.parts().repositories.get("alpha").load_backup(backup.id).stats.hints_wrong


def test_a_second_backup_reads_only_what_changed(working: Site) -> None:
    volume = working.new_volume(data_bytes=24 * MIB)
    first = backed_up(working, volume)
    assert bytes_read(working, first) >= 24 * MIB
    base = working.files.base(volume.id)
    assert base is not None
    assert base.backup_id == first.id
    working.write_random(volume.id, 2 * MIB, offset=20 * MIB)
    then = working.content(volume.id)
    second = backed_up(working, volume)
    assert 2 * MIB <= bytes_read(working, second) <= 4 * MIB
    restores_to(working, second, then)
    unchanged = backed_up(working, volume)
    assert bytes_read(working, unchanged) == 0
    restores_to(working, unchanged, then)
    full = backed_up(working, volume, full=True)
    assert bytes_read(working, full) >= 24 * MIB


@pytest.mark.parametrize("filesystem", ["xfs"], indirect=True)
def test_a_backup_of_a_snapshot_reads_only_what_changed(working: Site) -> None:
    volume = working.new_volume(data_bytes=20 * MIB)
    backed_up(working, volume)
    working.write_random(volume.id, MIB, offset=10 * MIB)
    then = working.content(volume.id)
    snapshot, job = create_snapshot(working.service, ALPHA, volume_id=volume.id, name="s")
    working.succeeded(job)
    working.write_random(volume.id, MIB, offset=15 * MIB)
    of_snapshot = backed_up(working, volume, snapshot_id=snapshot.id)
    assert MIB <= bytes_read(working, of_snapshot) <= 3 * MIB
    restores_to(working, of_snapshot, then)
    now = working.content(volume.id)
    later = backed_up(working, volume)
    assert MIB <= bytes_read(working, later) <= 3 * MIB
    restores_to(working, later, now)


@pytest.mark.parametrize("filesystem", ["xfs"], indirect=True)
def test_a_lying_base_is_found_out_and_everything_is_read(working: Site, caplog: pytest.LogCaptureFixture) -> None:
    volume = working.new_volume(data_bytes=24 * MIB)
    backed_up(working, volume)
    base = working.files.base(volume.id)
    assert base is not None
    working.write_random(volume.id, 20 * MIB)
    base.path.unlink()
    clone_file(working.files.volume(volume.id), base.path)  # as if this had been backed up
    then = working.content(volume.id)
    backup = backed_up(working, volume)
    assert bytes_read(working, backup) >= 24 * MIB
    assert hints_wrong(working, backup) > 0
    assert "says that blocks are unchanged which are not" in caplog.text
    restores_to(working, backup, then)


@pytest.mark.parametrize("filesystem", ["xfs"], indirect=True)
def test_bases_go_with_their_backup_and_their_volume(working: Site) -> None:
    volume = working.new_volume()
    backup = backed_up(working, volume)
    assert working.files.base(volume.id) is not None
    working.succeeded(delete_backup(working.service, ALPHA, backup.id))
    assert working.files.base(volume.id) is None
    again = backed_up(working, volume)
    assert bytes_read(working, again) >= 5 * MIB
    working.succeeded(delete_volume(working.service, ALPHA, volume.id))
    assert working.files.base(volume.id) is None


@pytest.mark.parametrize("filesystem", ["xfs"], indirect=True)
def test_a_base_whose_backup_is_gone_from_the_store_costs_a_full_read(working: Site) -> None:
    volume = working.new_volume()
    then = working.content(volume.id)
    backup = backed_up(working, volume)
    working.parts().repositories.get("alpha").delete_backup(backup.id)
    again = backed_up(working, volume)
    assert bytes_read(working, again) >= 5 * MIB
    restores_to(working, again, then)


@pytest.mark.parametrize("filesystem", ["xfs"], indirect=True)
def test_no_base_is_kept_where_the_volume_would_not_fit_once_more(filesystem: Path, working: Site) -> None:
    volume = working.new_volume(data_bytes=40 * MIB)
    backed_up(working, volume)
    ballast = filesystem / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, working.files.free_bytes() - 30 * MIB)
    try:
        kept = working.files.keep_base(working.files.volume(volume.id), volume.id, "b")
        assert not kept
        assert working.files.base(volume.id) is None
    finally:
        ballast.unlink()


def test_snapshots_and_frozen_volumes_share_their_blocks(filesystem: Path, working: Site) -> None:
    volume = working.new_volume(data_bytes=30 * MIB)
    os.sync()
    before = working.files.free_bytes()
    snapshot, job = create_snapshot(working.service, ALPHA, volume_id=volume.id, name="s")
    working.succeeded(job)
    assert working.files.freeze_volume(volume.id, "job")
    os.sync()
    assert before - working.files.free_bytes() < 10 * MIB
    then = working.content(volume.id)
    working.write_random(volume.id, 5 * MIB)
    for path in (working.files.snapshot(snapshot.id), working.files.frozen("job")):
        assert type(then)(path) == then
    working.files.thaw("job")


def changes_between(base: Path, current: Path) -> list[tuple[int, int]]:
    with closing(PhysicalChanges(base, current)) as changes:
        return [tuple(one) for one in changes()]


def test_only_what_was_written_is_named(filesystem: Path) -> None:
    volume, base = filesystem / "volume", filesystem / "base"
    with volume.open("wb") as file:
        file.write(os.urandom(4 * MIB))
        file.truncate(8 * MIB)
    clone_file(volume, base)
    assert changes_between(base, volume) == []
    with volume.open("r+b") as file:
        os.pwrite(file.fileno(), os.urandom(8 * KIB), MIB)
        os.pwrite(file.fileno(), b"x", 3 * MIB + 5)
        os.posix_fallocate(file.fileno(), 6 * MIB, MIB)  # reads as the hole it was
    assert changes_between(base, volume) == [(MIB, 8 * KIB), (3 * MIB, PAGE)]
    volume.unlink()


@pytest.mark.parametrize("size", [100, 64 * KIB])
def test_files_that_have_nothing_to_do_with_each_other_differ_everywhere(filesystem: Path, size: int) -> None:
    """Small ones lie in the metadata of btrfs, at no place at all."""
    files = [filesystem / f"{name}-{size}" for name in ("one", "other")]
    for path in files:
        path.write_bytes(os.urandom(size))
    assert changes_between(*files) == [(0, size)]


def test_changes_are_never_too_few_whatever_was_done(filesystem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openvbs.sources.physical._EXTENTS_PER_CALL", 7)
    seed = os.environ["OPENVBS_SEED"]
    chance = random.Random(seed)
    volume, base, frozen = (filesystem / f"changes-{name}" for name in ("volume", "base", "frozen"))
    volume.touch()
    os.truncate(volume, 8 * MIB)
    named_pages = changed_pages = 0
    for step in range(40):
        for _ in range(chance.randrange(6)):
            change(volume, chance)
        clone_file(volume, frozen)
        if base.exists():
            ranges = changes_between(base, frozen)
            assert all(sum(one) < other[0] for one, other in itertools.pairwise(ranges))
            named = {
                page for start, length in ranges for page in range(start // PAGE, (start + length - 1) // PAGE + 1)
            }
            differing = differing_pages(base.read_bytes(), frozen.read_bytes())
            assert differing <= named, f"seed {seed}, step {step}"
            named_pages += len(named)
            changed_pages += len(differing)
        frozen.replace(base)
    assert named_pages < 3 * changed_pages + 100


def change(volume: Path, chance: random.Random) -> None:
    size = volume.stat().st_size
    offset, length = chance.randrange(size), chance.choice([1, PAGE, 100 * KIB, 512 * KIB])
    length = min(length, size - offset)
    kind = chance.choice(["write", "write", "zeros", "punch", "allocate", "grow"])
    if kind == "grow":
        os.truncate(volume, min(size + length, 12 * MIB))
    elif kind in ("write", "zeros"):
        with volume.open("r+b") as file:
            file.seek(offset)
            file.write(chance.randbytes(length) if kind == "write" else bytes(length))
    else:
        how = ["--punch-hole"] if kind == "punch" else []
        subprocess.run(["fallocate", *how, "-o", str(offset), "-l", str(length), volume], check=True)


def differing_pages(old: bytes, new: bytes) -> set[int]:
    return {at // PAGE for at in range(0, len(new), PAGE) if old[at : at + PAGE] != new[at : at + PAGE]}


def test_a_filesystem_that_does_not_tell_is_named() -> None:
    path = Path("/dev/shm") / f"openvbs-test-{os.getpid()}"
    path.write_bytes(b"x")
    try:
        with pytest.raises(CannotCompare):
            PhysicalChanges(path, path)
    finally:
        path.unlink()
