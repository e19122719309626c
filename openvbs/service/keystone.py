"""The process of the embedded Keystone."""

import logging
import multiprocessing
import os
import sys
from importlib import import_module
from typing import Any

from openvbs import logs
from openvbs.config import Config
from openvbs.errors import OpenVbsError
from openvbs.identity.bootstrap import load_keystone, prepare
from openvbs.identity.clouds import write_clouds
from openvbs.lifeline import die_with_parent
from openvbs.service import wsgi

log = logging.getLogger(__name__)

# On SQLite a second thread that reads and then writes gets "database is locked" at once, which is a 500 to the client.
_THREADS = 1


class IdentityFailed(OpenVbsError):
    """The embedded Keystone could not be brought up to date; the log above says why."""


def run(config: Config) -> None:
    """Bring the embedded Keystone up to date, write clouds.yaml, and serve until SIGTERM."""
    load_keystone()
    preparing = multiprocessing.get_context("fork").Process(target=_prepare, args=(config, os.getpid()), name="prepare")
    preparing.start()
    preparing.join()
    if preparing.exitcode != 0:
        raise IdentityFailed(f"the embedded Keystone in {config.identity_dir} could not be prepared; see the log")
    write_clouds(config)
    wsgi.serve(config, process="keystone", address=config.identity_listen, threads=_THREADS, load=lambda: _load(config))


def _prepare(config: Config, parent_pid: int) -> None:
    # Nobody may write in the folder after the process whose lock holds it.
    die_with_parent(parent_pid)
    try:
        prepare(config)
    except Exception:
        # The outermost frame of this process: whatever it was, say it in the log and fail.
        log.exception("preparing the embedded Keystone failed")
        sys.exit(1)


def _load(config: Config) -> Any:
    settings = str(config.identity_dir / "keystone.conf")
    core = import_module("keystone.server.flask.core")
    return core.initialize_application(
        name="public",
        post_log_configured_function=lambda: logs.configure_process("keystone", config.log_level),
        config_files=[settings],
    )
