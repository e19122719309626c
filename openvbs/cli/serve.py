"""``openvbs serve`` and the processes that it is made of."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from openvbs import lifeline, logs
from openvbs.cli.settings import DEMO, SERVERS, read, server_flags, taking
from openvbs.config import Config, ConfigError
from openvbs.service.child import Child, answers
from openvbs.service.folder import DataFolder, make_private, refuse_root
from openvbs.service.ports import check_port
from openvbs.service.supervisor import Supervisor

_API_THREADS = 16
_COMMAND = (sys.executable, "-m", "openvbs.cli.main")
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
        first_start = import_module("openvbs.cli.first_start")
        first_start.ensure_root_key(config)
        first_start.ensure_accounts(config)
        import_module("openvbs.metrics").prepare(_metrics_folder(config))
        # In a process of its own, so that the supervisor stays small: it only watches from here on.
        migrating = [*_COMMAND, "migrate", *server_flags(settings), "--parent-pid", str(os.getpid())]
        if subprocess.run(migrating, check=False, stdin=subprocess.DEVNULL).returncode != 0:
            sys.exit(1)
        supervisor = Supervisor(config, _children(config, settings, folder.children_lock), lambda: _ready(config))
        clean = supervisor.run()
    sys.exit(0 if clean else 1)


@click.command()
@taking(*SERVERS, DEMO, *_CHILD)
def migrate(**settings: Any) -> None:
    """Bring the database to the schema of this release; "serve" does so by itself.

    Before the first "openvbs api" or "worker", and after installing a new release, while none of them runs. Repeating
    it changes nothing.
    """
    config = _start("migrate", settings)
    import_module("openvbs.db.migrate").upgrade(config.database_url)
    import_module("openvbs.jobs.queue").prepare_queue(config.database_url)


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

    import_module("openvbs.wiring").build_worker(config).run(on_ready=on_ready, stop_event=stopping)


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
    config = read(settings)
    refuse_root(config.data_dir)
    make_private(config.data_dir)
    if process in {"api", "worker"}:
        make_private(_metrics_folder(config))
        # Before anything imports the library, which looks at it only once.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics_folder(config))
    logs.configure_process(process, config.log_level)
    return config


def _metrics_folder(config: Config) -> Path:
    return config.data_dir / "run" / "metrics"


def _children(config: Config, settings: dict[str, Any], lock: int) -> list[Child]:
    """In the order in which they are stopped. They read the same settings from the same places as we did."""
    flags = server_flags(settings)

    tls = config.tls is not None
    children = [
        Child("api", [*_COMMAND, "api", *flags], answers(config.listen, "/healthcheck", tls=tls), lock),
        Child("worker", [*_COMMAND, "worker", *flags], None, lock),
    ]
    if config.identity_embedded:
        keystone = answers(config.identity_listen, "/v3", tls=tls)
        children.append(Child("keystone", [*_COMMAND, "identity", *flags], keystone, lock))
    return children


def _ready(config: Config) -> None:
    entry = f"clouds {config.clouds_file}" if config.identity_embedded else f"Keystone {config.identity_public_url}"
    click.echo(f"ready {config.public_url} {entry}")
    sys.stdout.flush()
