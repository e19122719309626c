"""Exports never write over a file, and take away what a killed one left."""

from pathlib import Path

from openvbs.actions.images import export_image
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.site import Site

ALPHA = caller("alpha")


def test_an_export_takes_away_what_a_killed_one_left(site: Site, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"x" * MIB)
    volume = site.register(disk, freeze_command=None, thaw_command=None)
    folder = tmp_path / "exports"
    folder.mkdir()
    job = export_image(site.service, ALPHA, volume.id, path=str(folder / "out.img"))
    (folder / f".tmp-{job.id}-{'0' * 32}").write_bytes(b"half of the volume")
    another = folder / f".tmp-{volume.id}-{'0' * 32}"
    another.write_bytes(b"of somebody else")
    with site.worker():
        site.succeeded(job)
    assert set(folder.iterdir()) == {folder / "out.img", another}
    assert (folder / "out.img").stat().st_nlink == 1


def test_of_two_exports_to_one_name_the_later_fails(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "exports" / "out.img"
    target.parent.mkdir()
    asked = {}
    for name in ("one", "other"):
        (tmp_path / name).write_bytes(name.encode() * MIB)
        volume = site.register(tmp_path / name, freeze_command=None, thaw_command=None)
        asked[name] = export_image(site.service, ALPHA, volume.id, path=str(target))
    with site.worker():
        ended = {name: site.ended(job) for name, job in asked.items()}
    (failed,) = (job for job in ended.values() if job.status == "FAIL")
    assert failed.fail_reason == f"{target} exists already and is left as it is; export to another name"
    (first,) = (name for name, job in ended.items() if job.status == "SUCCESS")
    assert target.read_bytes() == first.encode() * MIB
    assert list(target.parent.iterdir()) == [target]
    assert {site.volume(str(job.volume_id)).status for job in ended.values()} == {"available"}


def test_an_export_leaves_alone_what_got_its_name_while_it_copied(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "exports" / "out.img"
    target.parent.mkdir()
    disk = tmp_path / "disk"
    disk.write_bytes(b"x" * MIB)
    volume = site.register(disk, freeze_command=f"/bin/sh -c 'echo mine > {target}'", thaw_command=None)
    job = export_image(site.service, ALPHA, volume.id, path=str(target))
    with site.worker():
        assert "exists already and is left as it is" in str(site.failed(job).fail_reason)
    assert target.read_text() == "mine\n"
    assert list(target.parent.iterdir()) == [target]
