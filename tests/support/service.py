"""The service as its users run it: a process of its own, on free ports, with its own data directory."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import openstack
import requests
import yaml

from tests.support import openapi
from tests.support.waiting import until

OPENVBS = Path(sys.executable).parent / "openvbs"
# However the tests end, what they started stops: util-linux's setpriv asks the kernel for that and becomes the program.
STOPS_WITH_THE_TESTS = ("setpriv", "--pdeathsig", "TERM")
READY_SECONDS_MAX = 120
STOP_SECONDS_MAX = 60
OPERATE_SECONDS_MAX = 180
COMPLAINTS_MAX = 40


def free_port_pair() -> int:
    """The first of two neighbouring ports that nobody listens on.

    Below the range from which the kernel takes ports for connections, so that none comes between this and the listen.
    """
    while True:
        port = random.SystemRandom().randrange(20000, 30000, 2)
        try:
            for candidate in (port, port + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port


class Process:
    """A command in a process group of its own that says on stdout when it is ready."""

    def __init__(self, arguments: list[str], log_file: Path, environment: Mapping[str, str] | None = None) -> None:
        self.arguments = [str(OPENVBS), *arguments]
        self.log_file = log_file
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[str] | None = None
        self.said: list[str] = []
        _processes.add(self)

    def start(self) -> None:
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                [*STOPS_WITH_THE_TESTS, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env=self.environment,
            )
        self.said = []
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self.said.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def is_ready(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"ended with {code} instead of becoming ready:\n{self.said}\n{self.log()[-5000:]}"
        return any(line.startswith("ready") for line in self.said)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop; it must end by itself with exit code 0."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None
        assert code == 0, f"ended with {code}:\n{self.log()[-5000:]}"

    def kill(self) -> None:
        """SIGKILL to the whole process group."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def log(self) -> str:
        return self.log_file.read_text()


_processes: weakref.WeakSet[Process] = weakref.WeakSet()


def complaints() -> dict[str, str]:
    """What the processes that run have logged last above the level of information, by the file of the log."""
    found = {}
    for process in _processes:
        if process.process is not None:
            lines = [line for line in process.log().splitlines() if '"level":"info"' not in line.replace('": "', '":"')]
            found[str(process.log_file)] = "\n".join(lines[-COMPLAINTS_MAX:])
    return found


class Server:
    """What has a process; as a context manager it runs inside and has ended afterwards."""

    _process: Process

    @property
    def running(self) -> bool:
        return self._process.process is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> list[str]:
        """The lines that it printed since the last start."""
        return self._process.said

    def log(self) -> str:
        """All that it ever logged."""
        return self._process.log()

    def launch(self) -> None:
        """Start without waiting."""
        self._process.start()

    def start(self) -> Self:
        """Returns when it is ready; one that does not become so is not left behind."""
        self.launch()
        try:
            until(self.is_ready, what="being ready", seconds_max=READY_SECONDS_MAX)
        except BaseException:
            self.kill()
            raise
        return self

    def is_ready(self) -> bool:
        return self._process.is_ready()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop; asserts a clean end."""
        self._process.stop(number)

    def kill(self) -> None:
        """SIGKILL to its process group. The next start waits until every child is gone, too."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: object, *_error: object) -> None:
        if self.running and kind is None:
            self.stop()
        elif self.running:
            self.kill()


class RunningKeystone(Server):
    """The embedded Keystone alone, so that it stays up while services that use it are killed.

    Its catalog names the one service that it is for, by the address where that one will listen.
    """

    def __init__(self, data_dir: Path, *, service_port: int) -> None:
        self.data_dir = data_dir
        self.service_port = service_port
        self.url = f"http://127.0.0.1:{service_port + 1}"
        data_dir.mkdir(parents=True, exist_ok=True)
        flags = [f"--data-dir={data_dir}", f"--listen=127.0.0.1:{service_port}", "--with-demo-projects"]
        self._process = Process(["identity", *flags], data_dir / "identity.log")

    @property
    def clouds_file(self) -> Path:
        return self.data_dir / "clouds.yaml"

    def settings(self) -> dict[str, str]:
        """[keystone_authtoken] for a service that uses it."""
        passwords = json.loads((self.data_dir / "passwords.json").read_text())["passwords"]
        return {
            "auth_type": "password",
            "auth_url": f"{self.url}/v3",
            "www_authenticate_uri": f"{self.url}/v3",
            "username": "openvbs",
            "password": passwords["openvbs"],
            "project_name": "service",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }

    def is_ready(self) -> bool:
        super().is_ready()  # fails when it has ended
        try:
            return requests.get(f"{self.url}/v3", timeout=10).status_code == 200
        except requests.ConnectionError:
            return False


class RunningService(Server):
    """``openvbs serve``. Ports and data directory stay the same over stop, kill and start."""

    def __init__(
        self,
        data_dir: Path,
        *,
        demo: bool = True,
        database_url: str | None = None,
        external_keystone: RunningKeystone | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """``settings`` are further options by section, ``tls`` certificate and key.

        The configuration and the log lie beside the data directory.
        """
        self.data_dir = data_dir
        self.keystone = external_keystone
        self.port = external_keystone.service_port if external_keystone else free_port_pair()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.identity_url = external_keystone.url if external_keystone else f"{scheme}://127.0.0.1:{self.port + 1}"
        self.clouds_file = (external_keystone or self).data_dir / "clouds.yaml"
        self.config_file = data_dir.with_name(data_dir.name + ".conf")
        sections: dict[str, dict[str, object]] = {name: dict(options) for name, options in (settings or {}).items()}
        self.database_url = database_url or f"sqlite:///{data_dir}/openvbs.db"
        if database_url:
            sections.setdefault("database", {})["connection"] = database_url
        if external_keystone:
            sections["keystone_authtoken"] = dict(external_keystone.settings())
        lines = [f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in opts.items()) for name, opts in sections.items()]
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text("\n".join(lines))
        self.config_file.chmod(0o600)
        self.folder_flags = [f"--config-file={self.config_file}", f"--data-dir={data_dir}"]
        """What commands like ``openvbs volume import`` need to find this service's settings."""
        demo_flags = ["--with-demo-projects"] if demo and not external_keystone else []
        where = [*self.folder_flags, f"--listen=127.0.0.1:{self.port}"]
        tls_flags = [f"--tls-cert={tls[0]}", f"--tls-key={tls[1]}"] if tls else []
        self._process = Process(["serve", *where, *demo_flags, *tls_flags], data_dir.with_name(data_dir.name + ".log"))

    def children(self) -> dict[str, int]:
        """Name -> pid of the processes that the supervisor keeps."""
        facts = json.loads((self.data_dir / "run.json").read_text())
        return {name: child["pid"] for name, child in facts["children"].items()}

    def child(self, name: str) -> int:
        """The pid of one of them: api, worker or keystone."""
        return self.children()[name]

    def clouds(self) -> dict[str, Any]:
        clouds: dict[str, Any] = yaml.safe_load(self.clouds_file.read_text())["clouds"]
        return clouds

    def operate(self, *arguments: object) -> str:
        """What a command of the operator's about this service printed; it must end well."""
        command = [str(OPENVBS), *map(str, arguments), *self.folder_flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=OPERATE_SECONDS_MAX, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def connection(self, cloud: str) -> openstack.connection.Connection:
        """An openstacksdk connection, all of whose answers must be as the OpenAPI document says; close it."""
        config = openstack.config.OpenStackConfig(config_files=[str(self.clouds_file)])
        connection = openstack.connection.Connection(config=config.get_one(cloud))
        connection.session.session.hooks["response"].append(openapi.hook(self.url))
        return connection

    def session(self, cloud: str) -> requests.Session:
        """Plain HTTP with a fresh token of that cloud's user."""
        with self.connection(cloud) as connection:
            session = requests.Session()
            session.hooks["response"].append(openapi.hook(self.url))
            session.headers["X-Auth-Token"] = connection.auth_token
            return session
