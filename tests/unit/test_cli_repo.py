"""``openvbs repo`` as scripts use it: fixed names, the id on the last line, JSON, exit codes, one clear sentence."""

import json
import os
import stat
import subprocess

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from openvbs.stores.verify import PROMISES
from openvbs.units import KIB, MIB
from tests.support.s3 import odd_server


class Shell:
    def __init__(self, folder) -> None:
        self.folder = folder

    def __call__(self, *args: str, code: int = 0) -> str:
        """Run a command on the repository; its standard output, or what it says on standard error if it fails."""
        command, *rest = args
        result = CliRunner().invoke(
            main, ["repo", command, str(self.folder / "store"), *rest, "--key-file", str(self.folder / "key")]
        )
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.stdout if code == 0 else result.stderr

    def json(self, *args: str) -> object:
        return json.loads(self(*args, "--json"))


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    shell("init")
    return shell


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.write(os.urandom(MIB))
        file.seek(5 * MIB)
        file.write(b"text " * 100_000)
        file.truncate(8 * MIB + 7)
    return path


def backup_of(shell, image, *args) -> str:
    return shell("backup", str(image), *args).splitlines()[-1]


def test_init_makes_the_key_once_and_says_so(tmp_path):
    shell = Shell(tmp_path)
    assert "NO BACKUP CAN BE READ" in shell("init")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    key = (tmp_path / "key").read_bytes()
    again = shell.json("init")
    assert again["key_file_made"] is False
    assert again["block_size_bytes"] == 512 * KIB
    assert (tmp_path / "key").read_bytes() == key


def test_init_makes_no_key_that_opens_nothing(tmp_path):
    shell = Shell(tmp_path)
    result = CliRunner().invoke(main, ["repo", "init", "ftp://host/dir", "--key-file", str(tmp_path / "key")])
    assert "s3://bucket/prefix" in result.stderr
    (tmp_path / "store").write_text("a file where the folder should be")
    assert "the store refused" in shell("init", code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    (tmp_path / "store").unlink()
    shell("init")
    (tmp_path / "key").unlink()
    lost = shell("init", code=1)
    assert "there is no root key file" in lost
    assert "makes one" not in lost
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_init_tells_of_the_key_when_it_makes_a_repository_with_one_that_was_there(tmp_path):
    shell = Shell(tmp_path)
    shell("init")
    (tmp_path / "store").rename(tmp_path / "first")
    assert "NO BACKUP CAN BE READ" in shell("init")
    assert "NO BACKUP CAN BE READ" not in shell("init")


def test_a_backup_restores_to_the_same_bytes(shell, image, tmp_path):
    backup_id = backup_of(shell, image, "--name", "monday")
    shell("restore", backup_id, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == image.read_bytes()
    assert (tmp_path / "out").stat().st_blocks < 4 * MIB // 512
    (row,) = shell.json("list")
    assert (row["backup_id"], row["name"], row["size_bytes"]) == (backup_id, "monday", 8 * MIB + 7)
    assert backup_id in shell("list")
    assert "monday" in shell("list")


def test_json_of_every_command_is_one_document(shell, image, tmp_path):
    made = shell.json("backup", str(image))
    assert made["bytes_new"] > MIB
    assert shell.json("backup", str(image))["bytes_stored"] == 0
    assert shell.json("restore", made["backup_id"], str(tmp_path / "out"))["bytes_total"] == 8 * MIB + 7
    assert shell.json("check")["ok"] is True
    assert shell.json("check", "--full")["blocks_checked"] > 0
    assert shell.json("check", "--sample", "100")["ok"] is True
    for row in shell.json("list"):
        assert shell.json("delete", row["backup_id"]) == {"deleted": row["backup_id"]}
    dry = shell.json("collect", "--dry-run")
    assert dry["packs_dead"] > 0
    assert shell.json("collect")["bytes_freed"] == dry["bytes_dead"] > 0
    assert shell.json("repair")["problems"] == []
    assert shell.json("list") == []


def test_restoring_in_place_leaves_the_tail_and_a_smaller_file_untouched(shell, image, tmp_path):
    backup_id = backup_of(shell, image)
    larger = tmp_path / "larger"
    larger.write_bytes(image.read_bytes()[: 4 * MIB] + b"\7" * (6 * MIB))
    stats = shell.json("restore", backup_id, str(larger))
    assert larger.read_bytes() == image.read_bytes() + b"\7" * (2 * MIB - 7)
    assert stats["bytes_skipped"] >= MIB
    smaller = tmp_path / "smaller"
    smaller.write_bytes(b"precious")
    assert "only 8" in shell("restore", backup_id, str(smaller), code=1)
    assert smaller.read_bytes() == b"precious"


def test_a_failed_restore_leaves_no_file(shell, image, tmp_path):
    backup_id = backup_of(shell, image)
    for pack in (tmp_path / "store" / "packs").rglob("*"):
        if pack.is_file() and pack.stat().st_size > MIB:
            pack.write_bytes(pack.read_bytes()[: MIB // 2])
    assert "cannot be read" in shell("restore", backup_id, str(tmp_path / "out"), code=1)
    assert not (tmp_path / "out").exists()
    assert "1 backups are damaged" in shell("check", code=1)


def test_foreseen_errors_are_one_sentence_and_exit_1(shell, image, tmp_path):
    absent = "5b0e71f2-1111-4222-8333-444455556666"
    for args, says in [
        (("restore", absent, str(tmp_path / "out")), f"no backup {absent}"),
        (("restore", "nonsense", str(tmp_path / "out")), "no backup nonsense"),
        (("delete", absent), f"no backup {absent}"),
        (("backup", str(tmp_path / "absent.img")), "absent.img"),
        (("backup", str(tmp_path)), "neither a file nor a block device"),
    ]:
        error = shell(*args, code=1)
        assert says in error
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_record_hides_no_other_backup_and_can_be_deleted(shell, image, tmp_path):
    good, bad = backup_of(shell, image), backup_of(shell, image)
    (tmp_path / "store" / "backups" / bad).write_bytes(b"")
    says = shell("list", code=1)
    assert bad in says
    assert "delete removes it" in says
    result = CliRunner().invoke(main, ["repo", "list", str(tmp_path / "store"), "--key-file", str(tmp_path / "key")])
    assert good in result.stdout
    assert bad in shell("collect", code=1)
    shell("delete", bad)
    shell("collect")
    assert [backup["backup_id"] for backup in shell.json("list")] == [good]


def test_a_repository_that_lost_its_header_gets_no_new_one(shell, image, tmp_path):
    """It would have another key: nothing that is there could be read."""
    backup_id = backup_of(shell, image)
    header = tmp_path / "store" / "repository.json"
    header.rename(tmp_path / "kept")
    for command in ("init", "list"):
        assert "put it back from a copy" in shell(command, code=1)
    assert not header.exists()
    (tmp_path / "kept").rename(header)
    shell("restore", backup_id, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == image.read_bytes()


def test_a_wrong_or_missing_key(shell, image, tmp_path):
    backup_of(shell, image)
    (tmp_path / "key").rename(tmp_path / "right")
    assert "no root key file" in shell("list", code=1)
    assert (
        CliRunner()
        .invoke(main, ["repo", "init", str(tmp_path / "other"), "--key-file", str(tmp_path / "key")])
        .exit_code
        == 0
    )
    assert "name the right key file" in shell("list", code=1)
    (tmp_path / "key").chmod(0o644)
    assert "chmod 600" in shell("list", code=1)


def test_no_repository_is_made_by_looking(tmp_path):
    shell = Shell(tmp_path)
    shell("init")
    result = CliRunner().invoke(main, ["repo", "list", str(tmp_path / "nothing"), "--key-file", str(tmp_path / "key")])
    assert result.exit_code == 1
    assert "init makes one" in result.stderr
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("url", ["ftp://host/dir", "s3://"])
def test_an_unknown_url_is_refused(shell, tmp_path, url):
    result = CliRunner().invoke(main, ["repo", "list", url, "--key-file", str(tmp_path / "key")])
    assert result.exit_code == 1
    assert "s3://bucket/prefix" in result.stderr


@pytest.mark.parametrize(
    "args",
    [["check", "--full", "--sample", "5"], ["check", "--sample", "0"], ["init", "--block-size", "7"], ["nonsense"]],
)
def test_wrong_usage_exits_2(shell, args):
    shell(*args, code=2)


def test_the_index_can_be_kept_between_commands(shell, image, tmp_path):
    backup_id = backup_of(shell, image, "--cache", str(tmp_path / "cache"))
    shell("restore", backup_id, str(tmp_path / "out"), "--cache", str(tmp_path / "cache"))
    assert (tmp_path / "out").read_bytes() == image.read_bytes()


def verify(url, *args: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["repo", "verify-store", str(url), *args])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_verifying_a_folder_says_what_it_keeps_and_leaves_nothing(tmp_path):
    (tmp_path / "mine").write_bytes(b"precious")
    verdicts = json.loads(verify(tmp_path, "--json"))
    assert len(verdicts) == len(PROMISES)
    assert all(verdict["kept"] for verdict in verdicts)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert "is not a folder" in verify(tmp_path / "absent", code=1)
    assert not (tmp_path / "absent").exists()


def test_verifying_finds_a_server_that_ignores_if_none_match(monkeypatch):
    monkeypatch.setattr("openvbs.stores.verify._MANY", 10)  # the server is slow
    with odd_server() as server:
        server.environment(monkeypatch)
        server.knows_if_none_match = False
        assert "do not keep backups in s3://bucket/p" in verify("s3://bucket/p", code=1)
        assert server.objects == {}


@pytest.mark.heavy
def test_the_disk_in_a_qcow2_image_is_backed_up_and_comes_back_raw(shell, image, tmp_path):
    os.truncate(image, 8 * MIB)
    packed = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", image, packed], check=True)
    backup_id = backup_of(shell, packed, "--format", "qcow2")
    shell("restore", backup_id, str(tmp_path / "restored"))
    assert (tmp_path / "restored").read_bytes() == image.read_bytes()
    assert "is not a qcow2 image" in shell("backup", str(image), "--format", "qcow2", code=1)
