"""One process that the supervisor keeps alive."""

import http.client
import logging
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openvbs.clock import monotonic_seconds
from openvbs.config import Address

log = logging.getLogger(__name__)

_PROBE_SECONDS = 5
_RESTART_SECONDS_MIN = 0.5
_RESTART_SECONDS_MAX = 30
_DOUBLINGS_MAX = 6
"""By then the pause is at its longest. Doubled with every death there is, it ends as a number too large for a float."""
_STEADY_SECONDS = 60


@dataclass(slots=True)
class Child:
    """A command, and the process that runs it at the moment, if any."""

    name: str
    command: Sequence[str]
    probe: Callable[[], bool] | None
    """Says whether it does its work; without one, the process says so itself through the pipe of --ready-fd."""
    lock: int
    """A descriptor that the process inherits and so keeps open for as long as it lives."""
    ready: bool = False
    restart_at: float = 0.0
    """When to start it, by the monotonic clock, while it does not run."""
    process: subprocess.Popen[bytes] | None = None
    _pipe: int | None = None
    _started_at: float = 0.0
    _deaths: int = 0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def start(self) -> None:
        """Start the process; when the system refuses, try again later.

        It gets a process group of its own, so that Ctrl-C in a terminal reaches the supervisor alone.
        """
        readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.process = subprocess.Popen(
                [*self.command, "--parent-pid", str(os.getpid()), "--ready-fd", str(writable)],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # stdout is for the supervisor's own few lines
                pass_fds=(writable, self.lock),
                process_group=0,
            )
        except OSError as error:
            os.close(readable)
            self._wait_before_restart(f"could not be started: {error}")
            return
        finally:
            os.close(writable)
        self._close_pipe()
        self._pipe, self.ready, self._started_at = readable, False, monotonic_seconds()

    def check_ready(self) -> None:
        """Bring ``ready`` up to date; once true it stays so until the process ends."""
        if self.process is not None and not self.ready:
            self.ready = self.probe() if self.probe else self._said_ready()

    def reap(self) -> bool:
        """True when the process has ended since the last look. ``restart_at`` then says when to start another."""
        if self.process is None or self.process.poll() is None:
            return False
        code = self.process.returncode
        how = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        if monotonic_seconds() - self._started_at > _STEADY_SECONDS:
            self._deaths = 0
        self._wait_before_restart(f"(process {self.process.pid}) ended: {how}")
        return True

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if there is one."""
        if self.process is not None:
            self.process.send_signal(number)

    def forget(self) -> None:
        """The process has ended as it was asked to."""
        self._close_pipe()
        self.process, self.ready = None, False

    def _wait_before_restart(self, what: str) -> None:
        # A child that keeps dying is waited for longer and longer, but never given up.
        pause = min(_RESTART_SECONDS_MIN * 2 ** min(self._deaths, _DOUBLINGS_MAX), _RESTART_SECONDS_MAX)
        self._deaths += 1
        self.restart_at = monotonic_seconds() + pause
        self.forget()
        log.error("%s %s; starts again in %.1f seconds", self.name, what, pause)

    def _said_ready(self) -> bool:
        if self._pipe is None:
            return False
        try:
            return os.read(self._pipe, 1) != b""
        except BlockingIOError:
            return False

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def answers(address: Address, path: str, *, tls: bool) -> Callable[[], bool]:
    """A probe: true when GET ``path`` gives 200."""
    here = address.from_here
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is our own child on this machine, reached by an address that its certificate need not name.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def probe() -> bool:
        connection = (
            http.client.HTTPSConnection(here.host, here.port, timeout=_PROBE_SECONDS, context=context)
            if tls
            else http.client.HTTPConnection(here.host, here.port, timeout=_PROBE_SECONDS)
        )
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe
