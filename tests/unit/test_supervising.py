"""The supervisor with small real children: what it survives, and how it stops."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import until

NAMES = ("api", "worker", "keystone")
SUPERVISING = """
import os, sys
from pathlib import Path
from openvbs import logs
from openvbs.config import read_config
from openvbs.service.child import Child
from openvbs.service.supervisor import Supervisor
folder, body, *names = sys.argv[1:]
CHILD = "import os, signal, sys, time; sys.path[:0] = [{root!r}]; from openvbs.lifeline import *; " \\
        "args = sys.argv; die_with_parent(int(args[args.index('--parent-pid') + 1])); " \\
        "ready = int(args[args.index('--ready-fd') + 1]); "
logs.configure_process("serve", "info")
lock = os.open(folder, os.O_RDONLY)
command = [sys.executable, "-c", CHILD.format(root=os.getcwd()) + body]
children = [Child(name, command, None, lock) for name in names]
clean = Supervisor(read_config([], {"data_dir": folder}), children, lambda: print("ready", flush=True)).run()
sys.exit(0 if clean else 1)
"""
GENTLE = "let_signals_through(); os.write(ready, b'r'); time.sleep(600)"
STUBBORN = "os.write(ready, b'r'); time.sleep(600)"
"""Holds back the signals that the supervisor holds back, as every child does that does not ask for them."""


class Supervised:
    """A supervisor that is ready, and what it logged so far."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process = process
        self.run_file = folder / "run.json"
        self.logged: list[str] = []
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        self.logged.extend(self.process.stderr)

    def log(self) -> str:
        return "".join(self.logged)

    def facts(self) -> dict:
        return json.loads(self.run_file.read_text())

    def ended(self) -> int:
        """Its exit code, once it has ended and all it logged is here."""
        code = self.process.wait(60)
        self._listening.join(60)
        return code


@contextmanager
def supervised(folder: Path, body: str) -> Iterator[Supervised]:
    command = [sys.executable, "-c", SUPERVISING, str(folder), body, *NAMES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            made = Supervised(process, folder)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", made.log()
            yield made
        finally:
            process.kill()


def test_a_full_disk_does_not_end_the_supervisor(tmp_path: Path) -> None:
    with supervised(tmp_path, GENTLE) as made:
        before = made.facts()
        limits = resource.prlimit(made.process.pid, resource.RLIMIT_FSIZE)
        # No byte more is written to any file: the kernel refuses as a full disk does.
        resource.prlimit(made.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        worker = before["children"]["worker"]["pid"]
        os.kill(worker, signal.SIGKILL)
        until(lambda: "run.json cannot be written" in made.log() or made.process.poll() is not None, what="a warning")
        assert made.process.poll() is None, made.log()
        assert made.facts() == before
        resource.prlimit(made.process.pid, resource.RLIMIT_FSIZE, limits)

        def announced() -> bool:
            now = made.facts()
            return now["ready"] and now["children"]["worker"]["pid"] != worker

        until(announced, what="the new worker in run.json")
        assert made.log().count("run.json cannot be written") == 1  # not ten times a second
        made.process.send_signal(signal.SIGTERM)
        assert made.ended() == 0, made.log()
        assert not made.run_file.exists()


def test_a_second_signal_kills_all_children_at_once(tmp_path: Path) -> None:
    with supervised(tmp_path, STUBBORN) as made:
        made.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping on SIGTERM" in made.log(), what="the first signal being taken")
        made.process.send_signal(signal.SIGINT)
        until(
            lambda: "stopped" in made.log() or made.log().count("is killed") == len(NAMES),
            what="all being killed",
            seconds_max=20,
        )  # less than what a stop may take
        assert made.ended() == 1
        assert "SIGINT came too" in made.log()
