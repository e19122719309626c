"""What the benchmark of the API runs against: PostgreSQL, a real Keystone, and one API process on a core of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from bench.api_load import Site
from tests.support.service import OPENVBS, RunningKeystone, free_port_pair
from tests.support.waiting import until


class Api:
    """``openvbs api`` of its own configuration, on one core."""

    def __init__(self, folder: Path, database_url: str, keystone: RunningKeystone, *, core: int) -> None:
        self.port = free_port_pair()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._core = core
        folder.mkdir()
        sections = {"database": {"connection": database_url}, "keystone_authtoken": keystone.settings()}
        lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in opts.items()) for name, opts in sections.items()]
        config = folder / "openvbs.conf"
        config.write_text("\n".join(lines))
        config.chmod(0o600)
        self._flags = [f"--config-file={config}", f"--data-dir={folder / 'data'}", f"--listen=127.0.0.1:{self.port}"]

    def migrate(self) -> None:
        subprocess.run([OPENVBS, "migrate", *self._flags], check=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", str(self._core), OPENVBS, "api", *self._flags],
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._answers, what="the API to answer")
            yield
        finally:
            self._process.terminate()
            self._process.wait()

    def processor_seconds(self) -> float:
        """What the process and its children have used so far."""
        found = psutil.Process(self._process.pid)
        times = [process.cpu_times() for process in (found, *found.children(recursive=True))]
        return sum(used.user + used.system for used in times)

    def site(self, token: str) -> Site:
        return Site(self.url, token)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthcheck", timeout=10).status_code == 200
        except requests.ConnectionError:
            return False
