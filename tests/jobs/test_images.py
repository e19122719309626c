"""Images in and out, by the command of the operator and a worker."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openvbs.cli.main import main
from openvbs.files import is_same
from openvbs.units import GIB, MIB
from tests.support.site import Content, Site

PROJECT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def openvbs(working: Site, monkeypatch: pytest.MonkeyPatch):
    """Runs ``openvbs volume ...`` against the site."""
    monkeypatch.setenv("OS_DATABASE__CONNECTION", working.database_url)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(
            main, ["volume", *map(str, arguments), "--data-dir", str(working.directory)], catch_exceptions=False
        )

    return run


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(700 * MIB)
        file.seek(100 * MIB)
        file.write(os.urandom(10 * MIB))
    return path


def test_a_raw_image_becomes_a_volume_and_a_volume_an_image(openvbs, working: Site, image: Path) -> None:
    result = openvbs("import", image, "--project", PROJECT)
    assert result.exit_code == 0, result.output
    volume = working.volume(result.stdout.split()[-1])
    assert (volume.project_id, volume.name, volume.size_gib, volume.status) == (PROJECT, "disk", 1, "available")
    imported = working.content(volume.id)
    assert (imported.size, imported.pieces) == (GIB, Content(image).pieces)
    assert working.files.volume(volume.id).stat().st_blocks * 512 < 20 * MIB

    exported = image.with_name("out.img")
    result = openvbs("export", volume.id, exported)
    assert result.exit_code == 0, result.output
    assert Content(exported) == imported
    assert exported.stat().st_mode & 0o777 == 0o600
    assert openvbs("export", volume.id, exported).output == f"Error: {exported} exists already; choose another name\n"
    assert working.volume(volume.id).status == "available"


def test_an_image_into_a_volume_replaces_every_byte(openvbs, working: Site, image: Path) -> None:
    volume = working.new_volume(data_bytes=20 * MIB)
    result = openvbs("import", image, "--into", volume.id)
    assert result.exit_code == 0, result.output
    after = working.content(volume.id)
    assert (after.size, after.pieces) == (GIB, Content(image).pieces)
    assert working.volume(volume.id).status == "available"

    with image.open("r+b") as file:
        file.truncate(GIB + 1)
    result = openvbs("import", image, "--into", volume.id)
    assert result.exit_code == 1
    assert f"more than the {GIB} of volume {volume.id}" in result.output
    assert working.volume(volume.id).status == "available"


@pytest.mark.heavy
def test_a_qcow2_image_becomes_a_volume(openvbs, working: Site, image: Path) -> None:
    qcow2 = image.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", image, qcow2], check=True)
    result = openvbs("import", qcow2, "--project", PROJECT, "--name", "q", "--json")
    assert result.exit_code == 0, result.output
    volume_id = json.loads(result.stdout)["id"]
    assert working.content(volume_id).pieces == Content(image).pieces

    layered = image.with_name("layered.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", qcow2, "-F", "qcow2", layered], check=True)
    assert "a part of its bytes in another file" in openvbs("import", layered, "--project", PROJECT).output

    with qcow2.open("r+b") as file:
        file.truncate(200_000)
    result = openvbs("import", qcow2, "--project", PROJECT)
    assert result.exit_code == 1
    assert "damaged qcow2 image" in result.output


def test_without_qemu_img_the_package_is_named(
    openvbs, working: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker of this test runs in this process, so it looks for programs where we say."""
    qcow2 = tmp_path / "disk.qcow2"
    header = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(12) + (16).to_bytes(4, "big") + GIB.to_bytes(8, "big")
    qcow2.write_bytes(header.ljust(1024, b"\0"))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = openvbs("import", qcow2, "--project", PROJECT)
    assert result.exit_code == 1
    assert "install the package that has it (qemu-utils" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "nowhere.img", "--project", PROJECT], "nowhere.img cannot be read: No such file or directory"),
        (["import", "empty.img", "--project", PROJECT], "empty.img is empty"),
        (["import", "/dev/null", "--project", PROJECT], "/dev/null is neither a file nor a block device"),
        (["import", "disk.img"], "give either --project or --into"),
        (["import", "disk.img", "--into", "d17c90aa-5e23-4b6f-8f41-07b9c6a2e5d4"], "No volume d17c90aa"),
        (["export", "d17c90aa-5e23-4b6f-8f41-07b9c6a2e5d4", "out.img"], "No volume d17c90aa"),
        (["register", "disk.img", "--project", PROJECT, "--thaw-command", "x"], "--thaw-command: is of no use"),
        (["register", "disk.img", "--project", PROJECT, "--freeze-command", " "], "is no command: it is empty"),
        (["register", "disk.img", "--project", PROJECT, "--freeze-command", "a 'b"], "No closing quotation"),
    ],
)
def test_bad_input_is_named(openvbs, image: Path, monkeypatch: pytest.MonkeyPatch, arguments, says) -> None:
    monkeypatch.chdir(image.parent)
    Path("empty.img").touch()
    result = openvbs(*arguments)
    assert result.exit_code in {1, 2}
    assert says in result.output


def test_a_registered_file_is_listed_and_registered_once(openvbs, working: Site, image: Path) -> None:
    commands = ("--freeze-command", "stop it", "--thaw-command", "go on")
    result = openvbs("register", image, "--project", PROJECT, "--name", "dev", *commands)
    assert result.exit_code == 0, result.output
    volume_id = result.stdout.split()[-1]
    volume = working.volume(volume_id)
    assert (volume.kind, volume.path, volume.size_bytes, volume.size_gib) == ("registered", str(image), 700 * MIB, 1)
    assert (volume.freeze_command, volume.thaw_command) == ("stop it", "go on")
    listed = json.loads(openvbs("list", "--project", PROJECT, "--json").stdout)
    assert [row["path"] for row in listed if row["id"] == volume_id] == [str(image)]
    assert "is registered already" in openvbs("register", image, "--project", PROJECT).output


def test_what_is_registered_is_known_by_its_other_names(openvbs, working: Site, image: Path, tmp_path: Path) -> None:
    """Two volumes of one device would each have a lock of its own."""
    other, gone = tmp_path / "other.img", tmp_path / "gone.img"
    other.write_bytes(b"x")
    gone.write_bytes(b"x")
    for path in (image, gone):
        assert openvbs("register", path, "--project", PROJECT).exit_code == 0
    gone.unlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "symbolic").symlink_to(image)
    (tmp_path / "hard").hardlink_to(image)
    for name in ("symbolic", "hard", "folder/../disk.img"):
        result = openvbs("register", tmp_path / name, "--project", PROJECT)
        assert result.exit_code == 1
        assert f"is registered already, as {image}" in result.output
    assert openvbs("register", other, "--project", PROJECT).exit_code == 0


@pytest.mark.heavy
def test_a_device_is_known_by_its_other_nodes(tmp_path: Path) -> None:
    for name, minor in (("a", 200), ("b", 200), ("c", 201)):
        os.mknod(tmp_path / name, stat.S_IFBLK | 0o600, os.makedev(7, minor))
    (tmp_path / "link").symlink_to("b")
    assert is_same(tmp_path / "a", tmp_path / "b")
    assert is_same(tmp_path / "a", tmp_path / "link")
    assert not is_same(tmp_path / "a", tmp_path / "c")


def test_without_a_worker_the_operator_is_told(
    site: Site, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_DATABASE__CONNECTION", site.database_url)
    command = ["volume", "import", str(image), "--project", PROJECT, "--data-dir", str(site.directory)]
    assert "start openvbs serve first" in CliRunner().invoke(main, command).output
    monkeypatch.delenv("OS_DATABASE__CONNECTION")
    nowhere = [*command[:-1], str(tmp_path / "nowhere")]
    assert "is not the data directory of a service" in CliRunner().invoke(main, nowhere).output
    assert not (tmp_path / "nowhere").exists()
