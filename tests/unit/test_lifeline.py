"""Commands that end with the process that started them, whatever ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openvbs.files import sweep_drafts
from openvbs.lifeline import tied
from openvbs.volumes.copy import TEMPORARY_PREFIX
from tests.support.waiting import until

STARTING = """
import subprocess, sys
from openvbs.lifeline import tied
subprocess.run(tied(["/bin/sh", "-c", "echo $$ > $0/new; mv $0/new $0/pid; exec sleep 600", sys.argv[1]]))
"""
CONVERTING = """
import sys
from pathlib import Path
from openvbs.volumes.copy import Watch
from openvbs.volumes.files import VolumeFiles
folder = Path(sys.argv[1])
files = VolumeFiles(folder)
files.prepare()
files.convert_to_volume(folder / "image", "volume", size_bytes=1 << 20, watch=Watch())
"""
SLOW_QEMU_IMG = "#!/bin/sh\n[ $1 = check ] && exit 0\necho $$ > {0}/new; mv {0}/new {0}/pid; exec sleep 600\n"


@contextmanager
def killed_while_it_waits(code: str, folder: Path, **environment: str) -> Iterator[int]:
    """Run this until it waits for a command, kill it, and give the pid of the command."""
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], env={**os.environ, **environment})
    try:
        until((folder / "pid").exists, what="the command running")
    finally:
        process.kill()
        process.wait()
    pid = int((folder / "pid").read_text())
    try:
        yield pid
    finally:
        if runs(pid):
            os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """A zombie does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_command_dies_with_the_killed_process_that_started_it(tmp_path: Path) -> None:
    with killed_while_it_waits(STARTING, tmp_path) as pid:
        until(lambda: not runs(pid), what="the end of the command", seconds_max=20)


def test_a_broken_pipe_ends_a_command_as_without_us() -> None:
    """Python ignores the signal, and what it becomes would go on doing so."""
    command = "kill -PIPE $$; echo alive"
    done = subprocess.run(tied(["/bin/sh", "-c", command]), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGPIPE, b"")


def test_a_command_that_cannot_be_run_says_why() -> None:
    done = subprocess.run(tied(["/nothing/here"]), capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (127, "/nothing/here: No such file or directory\n")


def test_the_draft_of_a_killed_conversion_is_swept(tmp_path: Path) -> None:
    """qemu-img has the draft open and with it its lock."""
    program = tmp_path / "bin" / "qemu-img"
    program.parent.mkdir()
    program.write_text(SLOW_QEMU_IMG.format(tmp_path))
    program.chmod(0o700)
    (tmp_path / "image").write_bytes(b"x")
    path = f"{program.parent}:{os.environ['PATH']}"
    with killed_while_it_waits(CONVERTING, tmp_path, PATH=path) as pid:
        until(lambda: not runs(pid), what="the end of qemu-img", seconds_max=20)
        assert len(sweep_drafts(tmp_path / "volumes", TEMPORARY_PREFIX)) == 1
