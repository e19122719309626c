"""``openvbs serve`` and the processes that it is made of."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from openvbs import logs
from openvbs.cli.first_start import ensure_root_key
from openvbs.config import Config, ConfigError, read_config
from openvbs.db.migrate import upgrade
from openvbs.service import lifeline
from openvbs.service.child import Child, answers
from openvbs.service.folder import DataFolder
from openvbs.service.ports import check_port
from openvbs.service.supervisor import Supervisor

_API_THREADS = 16
_OVERRIDES = ("data_dir", "listen", "public_url", "identity_listen", "tls_cert", "tls_key")

_SETTINGS = [
    click.option(
        "--config-file",
        "config_files",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="INI file with settings; may be given several times, later ones win.",
    ),
    click.option("--data-dir", help="Folder of everything that the service keeps on this machine."),
    click.option("--listen", metavar="HOST:PORT", help="Where the API listens. Default: 127.0.0.1:8776."),
    click.option("--public-url", metavar="URL", help="Base URL that clients use. Default: the listen address."),
    click.option("--identity-listen", metavar="HOST:PORT", help="Where Keystone listens. Default: the next port."),
    click.option("--tls-cert", metavar="FILE", help="PEM file with the certificate chain."),
    click.option("--tls-key", metavar="FILE", help="PEM file with the private key."),
    click.option("--with-demo-projects", is_flag=True, help="Make projects alpha, beta and gamma with a user each."),
]
_CHILD = [
    click.option("--parent-pid", type=int, hidden=True, help="Die when this process does."),
    click.option("--ready-fd", type=int, hidden=True, help="Write a byte here when ready."),
]


def _with(options: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.command()
@_with(_SETTINGS)
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
@_with([*_SETTINGS, *_CHILD])
def api(**settings: Any) -> None:
    """Run one API process until SIGTERM; the database must be migrated and Keystone reachable."""
    config = _start("api", settings)
    check_port("listen", config.listen)
    wsgi = import_module("openvbs.service.wsgi")

    def load() -> Any:
        return import_module("openvbs.api.app").create_app(config)

    wsgi.serve(config, process="api", address=config.listen, threads=_API_THREADS, load=load)


@click.command()
@_with([*_SETTINGS, *_CHILD])
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
@_with([*_SETTINGS, *_CHILD])
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
    config = _read(settings)
    logs.configure_process(process, config.log_level)
    return config


def _read(settings: dict[str, Any]) -> Config:
    overrides = {name: settings[name] for name in _OVERRIDES}
    return read_config(settings["config_files"], overrides, with_demo_projects=settings["with_demo_projects"])


def _children(config: Config, settings: dict[str, Any], lock: int) -> list[Child]:
    """In the order in which they are stopped. They read the same settings from the same places as we did."""
    flags = [f"--config-file={file}" for file in settings["config_files"]]
    flags += [f"--{name.replace('_', '-')}={settings[name]}" for name in _OVERRIDES if settings[name] is not None]
    if config.with_demo_projects:
        flags.append("--with-demo-projects")

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
