"""What the system refuses, odd names and odd streams: one sentence that says what is wrong, never a traceback."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from tests.support.service import OPENVBS

TOO_LONG = "x" * 300
NO_UTF8 = os.fsdecode(b"n\xff")


@pytest.fixture
def repository(tmp_path: Path) -> tuple[str, ...]:
    """What names a new repository with one backup, which is called in Japanese."""
    (tmp_path / "disk.img").write_bytes(b"data" * 100_000)
    named = (str(tmp_path / "store"), "--key-file", str(tmp_path / "key"))
    said("repo", "init", *named)
    said("repo", "backup", *named, str(tmp_path / "disk.img"), "--name", "日本")
    return named


def said(*arguments: str, code: int = 0) -> str:
    """Standard output, or if it fails the one sentence on standard error."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if code == 1:
        assert len(result.stderr.splitlines()) == 1
    return result.stdout if code == 0 else result.stderr


def last_id(repository: tuple[str, ...]) -> str:
    return str(json.loads(said("repo", "list", *repository, "--json"))[-1]["backup_id"])


def through_shell(streams: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run openvbs with standard output and error redirected as the shell has it, and buffered as they usually are."""
    command = ["sh", "-c", f'exec "$0" "$@" {streams}', str(OPENVBS), *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_what_the_system_refuses_is_one_sentence(
    repository: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = repository[0]
    for arguments in (
        ("repo", "restore", *repository, last_id(repository), str(tmp_path / TOO_LONG)),
        ("repo", "init", store, "--key-file", str(tmp_path / TOO_LONG)),
        ("rescue", "list", str(tmp_path / TOO_LONG), *repository[1:]),
    ):
        assert f"{TOO_LONG}" in said(*arguments, code=1)
    monkeypatch.setenv("OS_STORE__ROOT_KEY_FILE", str(tmp_path / TOO_LONG))
    assert "File name too long" in said("key", "create", "--data-dir", str(tmp_path / "data"), code=1)
    assert "/sys/cache: " in said("repo", "list", *repository, "--cache", "/sys/cache", code=1)


def test_a_folder_and_a_file_are_told_apart_at_the_start(repository: tuple[str, ...], tmp_path: Path) -> None:
    checking = ("repo", "check", *repository)
    assert "is a file" in said(*checking, "--cache", str(tmp_path / "disk.img"), code=2)
    assert "is a directory" in said(*checking, "--full", "--state", str(tmp_path), code=2)
    nowhere = str(tmp_path / "nowhere" / "state")
    assert f"cannot be kept in {nowhere}" in said(*checking, "--full", "--state", nowhere, code=1)
    assert "no share of the data" in said(*checking, "--sample", "nan", code=2)


def test_doctor_says_so_when_it_may_not_look(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()  # root may read every file
    result = CliRunner().invoke(main, ["doctor", "--data-dir", str(tmp_path)])
    assert "run this as the service's own user" in result.stdout
    assert isinstance(result.exception, SystemExit)


def test_names_that_are_no_utf_8_are_stored_all_the_same(repository: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / NO_UTF8).write_bytes(b"data")
    backing_up = ("repo", "backup", *repository, str(tmp_path / NO_UTF8))
    said(*backing_up)
    said(*backing_up, "--name", NO_UTF8, "--description", NO_UTF8)
    assert said("repo", "list", *repository).count("n\ufffd") == 2


@pytest.mark.heavy
def test_a_qcow2_image_may_have_such_a_name_too(repository: tuple[str, ...], tmp_path: Path) -> None:
    image = tmp_path / f"{NO_UTF8}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", os.fsencode(image), "1M"], check=True)
    said("repo", "backup", *repository, str(image), "--format", "qcow2")


@pytest.mark.heavy
def test_a_store_that_cannot_be_written_is_told_apart(repository: tuple[str, ...], tmp_path: Path) -> None:
    mounting = f"mount --bind {repository[0]} {repository[0]} && mount -o remount,bind,ro {repository[0]}"
    read_only = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mounting} && exec "$0" "$@"', str(OPENVBS)]
    for arguments, code in (
        (("repo", "list", *repository), 0),
        (("repo", "check", *repository), 1),
        (("repo", "restore", *repository, last_id(repository), str(tmp_path / "out")), 1),
    ):
        result = subprocess.run([*read_only, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == code, result.stderr
        assert ("must be writable, also to restore" in result.stderr) == (code == 1)
    assert not (tmp_path / "out").exists()


def test_every_backup_is_listed_in_an_encoding_that_lacks_its_name(repository: tuple[str, ...]) -> None:
    result = through_shell("", "repo", "list", *repository, PYTHONIOENCODING="latin-1")
    assert result.returncode == 0
    assert r"\u65e5\u672c" in result.stdout


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_a_full_standard_output_is_named_and_the_backup_too(
    repository: tuple[str, ...], tmp_path: Path, as_json: tuple[str, ...]
) -> None:
    result = through_shell(">/dev/full", "repo", "backup", *repository, str(tmp_path / "disk.img"), *as_json)
    assert result.returncode == 1
    made, error = result.stderr.splitlines()
    assert made.split()[1] in said("repo", "list", *repository)
    assert error == "Error: standard output: No space left on device"


def test_closed_streams_are_no_reason_to_fail(repository: tuple[str, ...], tmp_path: Path) -> None:
    assert through_shell(">&-", "repo", "list", *repository).returncode == 0
    backed_up = through_shell("2>&-", "repo", "backup", *repository, str(tmp_path / "disk.img"))
    assert backed_up.returncode == 0
    assert backed_up.stdout.splitlines()[-1] in said("repo", "list", *repository)
