"""The service that the demo runs on: started in a folder of its own on free ports, stopped cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from demo_promise import Broken, expect

OPENVBS = str(Path(sys.executable).with_name("openvbs"))
_START_SECONDS_MAX = 180
_STOP_SECONDS_MAX = 60
_LOG_LINES_SHOWN = 30


class Service:
    """``openvbs serve`` with the demo projects."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.log = folder / "service.log"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it and give the line that says it is ready. Raises Broken, with the end of its log."""
        listen, identity = _free_ports(2)
        where = ["--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{listen}"]
        where += ["--identity-listen", f"127.0.0.1:{identity}", "--with-demo-projects"]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [OPENVBS, "serve", *where],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for us; we then stop it once, by name
            )
        waited_too_long = threading.Timer(_START_SECONDS_MAX, self._process.kill)
        waited_too_long.start()
        try:
            assert self._process.stdout is not None
            ready = next((line for line in self._process.stdout if line.startswith("ready")), None)
        finally:
            waited_too_long.cancel()  # else Python waits for it at the end, also after Ctrl-C
        if ready is None:
            raise Broken(f"the service did not start; the end of its log:\n{self.log_end()}")
        threading.Thread(target=_drain, args=(self._process.stdout, self.log), daemon=True).start()
        enter(self.data_dir / "clouds.yaml")
        return ready.strip()

    def stop(self) -> None:
        """Stop it as an operator does. Does nothing when it does not run. Raises Broken unless it ends cleanly."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise Broken(f"the service did not stop within {_STOP_SECONDS_MAX} s") from error
        if code:
            raise Broken(f"the service ended with {code}; the end of its log:\n{self.log_end()}")

    def end(self) -> None:
        """Let nothing of it run on, whatever happened before."""
        try:
            self.stop()
        except Broken as error:
            print(error, file=sys.stderr)

    def log_end(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-_LOG_LINES_SHOWN:])

    def tenant(self, cloud: str, *arguments: str) -> Any:
        """Run an ``openvbs`` command as a tenant and give the JSON that it prints. Raises Broken with its own words."""
        return json.loads(_openvbs(*arguments, "--os-cloud", cloud, "--json"))

    def operator(self, *arguments: str) -> str:
        """Run an ``openvbs`` command on this machine and give the last line that it prints. Raises Broken likewise."""
        return _openvbs(*arguments, "--data-dir", str(self.data_dir)).splitlines()[-1]


def enter(clouds: Path) -> None:
    """Make every OpenStack client of this process and its children use this clouds.yaml and nothing else."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        del os.environ[name]
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(clouds)
    os.environ["no_proxy"] = "127.0.0.1"


def _openvbs(*arguments: str) -> str:
    # Its standard error stays ours: that is where its progress bar goes, and why it fails.
    done = subprocess.run([OPENVBS, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    expect(done.returncode == 0, f"openvbs {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _drain(stream: IO[str], log: Path) -> None:
    """Keep what it prints after it is ready, so that it never waits for a reader."""
    with log.open("a") as file:
        file.writelines(stream)
