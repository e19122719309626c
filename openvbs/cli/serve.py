"""``openvbs serve`` and the processes that it is made of."""

import os
import sys
from importlib import import_module
from typing import Any

import click

from openvbs import logs
from openvbs.cli.first_start import ensure_root_key
from openvbs.cli.settings import DEMO, SERVERS, as_flags, read, taking
from openvbs.config import Config, ConfigError
from openvbs.db.migrate import upgrade
from openvbs.service import lifeline
from openvbs.service.child import Child, answers
from openvbs.service.folder import DataFolder
from openvbs.service.ports import check_port
from openvbs.service.supervisor import Supervisor

_API_THREADS = 16
_CHILD = (
    click.option("--parent-pid", type=int, hidden=True, help="Die when this process does."),
    click.option("--ready-fd", type=int, hidden=True, help="Write a byte here when ready."),
)


@click.command()
@taking(*SERVERS, DEMO)
def serve(**settings: Any) -> None:
    """Run the whole service until Ctrl-C or SIGTERM: API, worker and, unless one is configured, Keystone.

    Prints a line that starts with "ready" when all of them work. Running jobs are parked at the end and go on at the
    next start.
    """
    config = _start("serve", settings)
    with DataFolder(config.data_dir) as folder:
        check_port("listen", config.listen)
        if config.identity_embedded:
            check_port("identity_listen", config.identity_listen)
        ensure_root_key(config)
        upgrade(config.database_url)
        supervisor = Supervisor(config, _children(config, settings, folder.children_lock), lambda: _ready(config))
        clean = supervisor.run()
    sys.exit(0 if clean else 1)


@click.command()
@taking(*SERVERS, DEMO, *_CHILD)
def api(**settings: Any) -> None:
    """Run one API process until SIGTERM; the database must be migrated and Keystone reachable."""
    config = _start("api", settings)
    check_port("listen", config.listen)
    wsgi = import_module("openvbs.service.wsgi")

    def load() -> Any:
        return import_module("openvbs.wiring").build_app(config)

    wsgi.serve(config, process="api", address=config.listen, threads=_API_THREADS, load=load)


@click.command()
@taking(*SERVERS, DEMO, *_CHILD)
def worker(**settings: Any) -> None:
    """Run one worker process until SIGTERM, which parks its jobs; the database must be migrated."""
    ready_fd = settings["ready_fd"]
    config = _start("worker", settings)
    stopping = lifeline.stop_event()

    def on_ready() -> None:
        if ready_fd is None:
            click.echo("ready")
        else:
            os.write(ready_fd, b"r")

    import_module("openvbs.jobs.worker").run(config, on_ready=on_ready, stop_event=stopping)


@click.command()
@taking(*SERVERS, DEMO, *_CHILD)
def identity(**settings: Any) -> None:
    """Run only the embedded Keystone, for services on this and other machines to use."""
    supervised = settings["parent_pid"] is not None
    config = _start("keystone", settings)
    if not config.identity_embedded:
        raise ConfigError("[keystone_authtoken]", "names an external Keystone, so there is none of ours to run")
    keystone = import_module("openvbs.service.keystone")
    if supervised:
        keystone.run(config)
        return
    with DataFolder(config.data_dir):
        check_port("identity_listen", config.identity_listen)
        keystone.run(config)


def _start(process: str, settings: dict[str, Any]) -> Config:
    """What every process does first."""
    lifeline.let_signals_through()
    if (parent_pid := settings.get("parent_pid")) is not None:
        lifeline.die_with_parent(parent_pid)
    os.umask(0o077)
    config = read(settings)
    logs.configure_process(process, config.log_level)
    return config


def _children(config: Config, settings: dict[str, Any], lock: int) -> list[Child]:
    """In the order in which they are stopped. They read the same settings from the same places as we did."""
    flags = as_flags(settings)

    def command(name: str) -> list[str]:
        return [sys.executable, "-m", "openvbs.cli.main", name, *flags]

    tls = config.tls is not None
    children = [
        Child("api", command("api"), answers(config.listen, "/healthcheck", tls=tls), lock),
        Child("worker", command("worker"), None, lock),
    ]
    if config.identity_embedded:
        children.append(Child("keystone", command("identity"), answers(config.identity_listen, "/v3", tls=tls), lock))
    return children


def _ready(config: Config) -> None:
    entry = f"clouds {config.clouds_file}" if config.identity_embedded else f"Keystone {config.identity_public_url}"
    click.echo(f"ready {config.public_url} {entry}")
    sys.stdout.flush()
