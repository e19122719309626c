"""Serving one WSGI application with Granian, which runs it in a process that it forks."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from granian.constants import Interfaces, SSLProtocols
from granian.log import LogLevels
from granian.server import Server

from openvbs import logs
from openvbs.config import Address, Config
from openvbs.lifeline import die_with_parent

_STOP_SECONDS = 8
"""How long requests that are being answered get to end before they are cut off."""


def serve(config: Config, *, process: str, address: Address, threads: int, load: Callable[[], Any]) -> None:
    """Answer requests until SIGTERM or SIGINT. ``load`` makes the application, in the process that runs it.

    Returns after a clean stop; raises SystemExit when the serving process died. Nothing outlives a SIGKILL of this
    process.
    """
    # Forked, not spawned: what load closes over and what is imported already go along.
    multiprocessing.set_start_method("fork", force=True)
    tls = config.tls
    server = Server(
        process,
        address=address.host,
        port=address.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=threads,
        ssl_cert=tls.cert if tls else None,
        ssl_key=tls.key if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
        workers_kill_timeout=_STOP_SECONDS,
        log_level=LogLevels.error,
    )
    logs.configure_process(process, config.log_level)
    parent = os.getpid()

    def load_in_child() -> Any:
        die_with_parent(parent)
        # Granian installs its own handlers once the application is there; until then the parent's, inherited by the
        # fork, would swallow a SIGTERM.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        logs.configure_process(process, config.log_level)
        return load()

    server.serve(target_loader=load_in_child, wrap_loader=False)
