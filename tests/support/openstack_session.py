"""One ``openstack`` that is told command after command, as a person at its prompt does: starting it costs seconds."""

import json
import os
import queue
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from tests.support.service import RunningService

OPENSTACK = Path(sys.executable).parent / "openstack"
ANSWER_SECONDS_MAX = 180
END_SECONDS_MAX = 60


class OpenStackSession:
    """Ends with the block it is made in. What it says of errors stands among what it prints, in order."""

    def __init__(self, service: RunningService, cloud: str) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(service.data_dir),
            "OS_CLIENT_CONFIG_FILE": str(service.clouds_file),
            "OS_CLOUD": cloud,
            "PYTHONUNBUFFERED": "1",
        }
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [OPENSTACK],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # as Ctrl-D
        try:
            self._process.wait(END_SECONDS_MAX)
        finally:
            self._process.kill()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._lines.put(line)
        self._lines.put(None)

    def says(self, command: str) -> str:
        """All that it prints about the command."""
        end = f"end-of-{uuid4().hex}"
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n!echo {shlex.quote(end)}\n")
        self._process.stdin.flush()
        said = []
        while (line := self._lines.get(timeout=ANSWER_SECONDS_MAX)) is not None:
            if line.strip() == end:
                return "".join(said)
            said.append(line)
        raise AssertionError(f"openstack ended at {command!r}: {said}")

    def does(self, command: str) -> None:
        """A command that succeeds without a word."""
        said = self.says(command)
        assert said == "", (command, said)

    def shows(self, command: str) -> Any:
        """The answer of a command that succeeds, as JSON."""
        said = self.says(f"{command} -f json")
        try:
            return json.loads(said)
        except ValueError as error:
            raise AssertionError((command, said)) from error
