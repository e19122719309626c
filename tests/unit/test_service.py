"""The small parts that the supervisor is made of, each with real processes, locks and sockets."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from openvbs.config import Address, ConfigError
from openvbs.engine.keys import create_root_key
from openvbs.files import write_private
from openvbs.service.child import Child, answers
from openvbs.service.folder import DataFolder, FolderInUse, FolderUnusable
from openvbs.service.ports import check_port
from tests.support.waiting import until


def test_a_folder_is_made_private_and_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data"
    with DataFolder(path):
        assert path.stat().st_mode & 0o777 == 0o700
        with pytest.raises(FolderInUse, match=f"in use by process {os.getpid()};"):
            DataFolder(path)
    with DataFolder(path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match=r"data_dir: cannot use .*file/data: Not a directory"):
        DataFolder(tmp_path / "file" / "data")


def test_a_new_service_waits_for_the_children_of_a_killed_one(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[first.children_lock])
    first.close()  # as the kernel does when the supervisor is killed
    opened: list[DataFolder] = []
    waiting = threading.Thread(target=lambda: opened.append(DataFolder(tmp_path)))
    waiting.start()
    assert not opened
    assert orphan.poll() is None
    orphan.communicate(b"\n")
    waiting.join(30)
    assert len(opened) == 1
    opened[0].close()


def test_a_port_is_free_taken_or_not_ours() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", listening.getsockname()[1])
        listening.listen()
        with pytest.raises(ConfigError, match=f"listen: cannot listen on {address}: Address already in use"):
            check_port("listen", address)
    check_port("listen", address)
    with pytest.raises(ConfigError, match=r"identity_listen: cannot listen on 192\.0\.2\.1:8776: .*--identity-listen"):
        check_port("identity_listen", Address("192.0.2.1", 8776))


PROGRAM = "import os, sys; args = sys.argv; fd = int(args[args.index('--ready-fd') + 1]); {}"


def child(tmp_path: Path, body: str) -> Child:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    return Child("worker", [sys.executable, "-c", PROGRAM.format(body)], None, lock)


def test_a_child_says_when_it_is_ready_and_is_asked_to_end(tmp_path: Path) -> None:
    made = child(tmp_path, "os.write(fd, b'r'); sys.stdin.read(); import time; time.sleep(60)")
    made.start()
    assert made.process is not None

    def ready() -> bool:
        made.check_ready()
        return made.ready

    until(ready, what="the child being ready")
    assert not made.reap()
    assert os.getpgid(made.process.pid) == made.process.pid != os.getpgid(0)
    process = made.process
    made.send(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    made.forget()
    os.close(made.lock)


def test_a_child_that_dies_is_waited_for_longer_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = child(tmp_path, "sys.exit(7)")
    for _ in range(3):
        made.start()
        assert made.process is not None
        made.process.wait(30)
        assert made.reap()
        assert not made.reap()
        assert made.pid is None
    made.check_ready()
    assert not made.ready
    pauses = [record.args[-1] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses == [0.5, 1.0, 2.0]
    assert "ended: exit code 7; starts again" in caplog.text
    os.close(made.lock)


def test_a_child_that_cannot_be_started_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Child("api", [str(tmp_path / "nothing")], None, os.open(tmp_path, os.O_RDONLY))
    made.start()
    assert made.process is None
    assert made.restart_at > 0
    assert "could not be started" in caplog.text
    os.close(made.lock)


def test_a_child_that_can_never_be_started_is_not_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Child("api", [str(tmp_path / "nothing")], None, os.open(tmp_path, os.O_RDONLY))
    for _ in range(1100):  # more doublings than a float takes
        made.start()
    pauses = [record.args[-1] for record in caplog.records if isinstance(record.args, tuple)]
    assert pauses[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30, 30]
    assert set(pauses[8:]) == {30}
    os.close(made.lock)


def test_a_probe_of_nobody_is_false() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert not answers(Address("127.0.0.1", silent.getsockname()[1]), "/", tls=False)()


DYING = """
import os, subprocess, sys
code = "from openvbs.lifeline import die_with_parent; import sys, time; " \
       "die_with_parent(int(sys.argv[1])); print('tied', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code, str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_child_dies_with_its_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", DYING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.communicate()

    def ended() -> bool:
        try:
            return ") Z " in Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True

    until(ended, what="the child ending")


def test_an_orphan_does_not_even_begin() -> None:
    code = "from openvbs.lifeline import die_with_parent; die_with_parent(1 << 22)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ParentGone" in done.stderr


STOPPING = """
import os, signal
from openvbs.lifeline import stop_event
stopping = stop_event()
print("up", flush=True)
stopping.wait()
print("stopping", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event_that_a_worker_waits_for(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", STOPPING], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == "stopping\n"
    assert process.returncode == 0


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_private(file, "one")
    file.chmod(0o644)
    write_private(file, "two")
    assert file.read_text() == "two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.fixture
def umask() -> Iterator[None]:
    """Commands set it for their own process, which here is the tests'."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_key_export_copies_once_and_never_over_a_file(tmp_path: Path) -> None:
    create_root_key(tmp_path / "root.key")
    copy = tmp_path / "copy"
    arguments = ["key", "export", f"--data-dir={tmp_path}"]
    exported = CliRunner().invoke(main, [*arguments, str(copy)])
    assert exported.exit_code == 0, exported.output
    assert copy.read_text() == (tmp_path / "root.key").read_text()
    assert copy.stat().st_mode & 0o777 == 0o600
    copy.write_text("something else")
    refused = CliRunner().invoke(main, [*arguments, str(copy)])
    assert (refused.exit_code, copy.read_text()) == (1, "something else")
    assert "exists already and is left as it is" in refused.output
    shown = CliRunner().invoke(main, arguments)
    assert shown.stdout == (tmp_path / "root.key").read_text()


@pytest.mark.usefixtures("umask")
def test_key_create_makes_one_key_and_keeps_it(tmp_path: Path) -> None:
    arguments = ["key", "create", f"--data-dir={tmp_path / 'data'}"]
    made = CliRunner().invoke(main, arguments)
    assert made.exit_code == 0, made.output
    assert "NO BACKUP CAN BE READ" in made.output
    before = (tmp_path / "data" / "root.key").read_text()
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, again.output) == (0, "")
    assert (tmp_path / "data" / "root.key").read_text() == before


@pytest.mark.usefixtures("umask")
def test_key_export_refuses_a_key_that_would_not_work(tmp_path: Path) -> None:
    (tmp_path / "root.key").write_text("damaged")
    (tmp_path / "root.key").chmod(0o600)
    refused = CliRunner().invoke(main, ["key", "export", f"--data-dir={tmp_path}", str(tmp_path / "copy")])
    assert refused.exit_code == 1
    assert not (tmp_path / "copy").exists()
