"""The supervisor: starts the children, restarts what dies, and stops them in order."""

import json
import logging
import os
import signal
from collections.abc import Callable, Sequence

from openvbs.clock import monotonic_seconds
from openvbs.config import Config
from openvbs.files import write_private
from openvbs.service.child import Child

log = logging.getLogger(__name__)

_SIGNALS = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_STOP_SECONDS_MAX = 30
_TICK_SECONDS = 0.1
_BEHIND_SECONDS = 5
"""How often it is tried again to write run.json."""
_IDLE_SECONDS = 60


def running_options(config: Config) -> dict[str, str | None]:
    """The options of [DEFAULT] that lead to this configuration, for commands that look at a running service."""
    return {
        "listen": str(config.listen),
        "public_url": config.public_url,
        "identity_listen": str(config.identity_listen),
        "tls_cert": str(config.tls.cert) if config.tls else None,
        "tls_key": str(config.tls.key) if config.tls else None,
    }


class Supervisor:
    """Keeps its children alive until it is told to stop. Must run in the main thread of a process without others:

    the children ask the kernel to die with the thread that started them, and signals are taken in one place only.
    """

    def __init__(self, config: Config, children: Sequence[Child], on_ready: Callable[[], None]) -> None:
        """``children`` in the order in which they are stopped. ``on_ready`` is called once, when all are ready."""
        self._config = config
        self._children = children
        self._on_ready = on_ready
        self._run_file = config.data_dir / "run.json"
        self._announced: tuple[tuple[int | None, bool], ...] | None = None
        self._is_behind = False
        self._was_ready = False
        self._stop_by = 0.0
        # Under nohup it is ignored, but a signal that is held back would be taken all the same.
        hang_up_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._signals = _SIGNALS - {signal.SIGHUP} if hang_up_ignored else _SIGNALS

    def run(self) -> bool:
        """Supervise until SIGTERM, SIGINT or SIGHUP. True when every child then ended by itself, in time."""
        # Blocked and waited for, never handled: no signal can come between a look and the wait that follows it.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        log.info("starting %s", ", ".join(child.name for child in self._children))
        for child in reversed(self._children):
            child.start()
        while True:
            self._tend()
            taken = signal.sigtimedwait(self._signals, self._pause_seconds())
            if taken is not None and taken.si_signo != signal.SIGCHLD:
                log.info("stopping on %s", signal.Signals(taken.si_signo).name)
                return self._stop()

    def _tend(self) -> None:
        now = monotonic_seconds()
        for child in self._children:
            child.reap()
            if child.process is None and child.restart_at <= now:
                child.start()
            child.check_ready()
        self._announce()
        if not self._was_ready and all(child.ready for child in self._children):
            self._was_ready = True
            self._on_ready()

    def _pause_seconds(self) -> float:
        if not all(child.ready for child in self._children):
            return _TICK_SECONDS
        return _BEHIND_SECONDS if self._is_behind else _IDLE_SECONDS

    def _stop(self) -> bool:
        self._stop_by = monotonic_seconds() + _STOP_SECONDS_MAX
        clean = True
        for child in self._children:
            child.send(signal.SIGTERM)
            clean = self._await_end(child) and clean
        try:
            self._run_file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed: %s", self._run_file, error.strerror)
        log.info("stopped")
        return clean

    def _await_end(self, child: Child) -> bool:
        """True when it ended by itself. It is killed when its time is over; a second signal ends the time of all."""
        while child.process is not None and child.process.poll() is None:
            left = self._stop_by - monotonic_seconds()
            taken = signal.sigtimedwait(self._signals, max(left, 0))
            if taken is not None and taken.si_signo == signal.SIGCHLD:
                continue
            if taken is not None:
                log.warning("%s came too: what has not stopped is killed at once", signal.Signals(taken.si_signo).name)
                self._stop_by = monotonic_seconds()
            log.warning("%s (process %s) did not stop in time and is killed", child.name, child.pid)
            child.send(signal.SIGKILL)
            child.process.wait()
            child.forget()
            return False
        child.forget()
        log.info("%s has stopped", child.name)
        return True

    def _announce(self) -> None:
        """Keep run.json, which tells tools who runs, at what is true."""
        state = tuple((child.pid, child.ready) for child in self._children)
        if state == self._announced:
            return
        facts = {
            "pid": os.getpid(),
            "ready": all(child.ready for child in self._children),
            "url": self._config.public_url,
            "identity_url": f"{self._config.identity_public_url}/v3",
            "clouds": str(self._config.clouds_file) if self._config.identity_embedded else None,
            "config_files": [str(file) for file in self._config.config_files],
            "options": running_options(self._config),
            "children": {child.name: {"pid": child.pid, "ready": child.ready} for child in self._children},
        }
        try:
            write_private(self._run_file, json.dumps(facts, indent=1) + "\n")
        except OSError as error:
            # The children must not die of a full disk. Each look tries again; ten times a second need not be told.
            if not self._is_behind:
                log.warning(
                    "%s cannot be written: %s; free space on its disk, or make it writable: until then it does not say"
                    " which processes run",
                    self._run_file,
                    error.strerror,
                )
            self._is_behind = True
        else:
            self._announced, self._is_behind = state, False
