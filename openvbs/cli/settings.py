"""The options by which every command of the service finds its settings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from openvbs.config import Config, ConfigError, read_config

OVERRIDES = ("data_dir", "listen", "public_url", "identity_listen", "tls_cert", "tls_key")
"""Options of [DEFAULT] that the command line can set."""

FOLDER = [
    click.option(
        "--config-file",
        "config_files",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="INI file with settings; may be given several times, later ones win.",
    ),
    click.option("--data-dir", help="Folder of everything that the service keeps on this machine."),
]
SERVERS = [
    *FOLDER,
    click.option("--listen", metavar="ADDRESS:PORT", help="Where the API listens. Default: 127.0.0.1:8776."),
    click.option("--public-url", metavar="URL", help="Base URL that clients use. Default: the listen address."),
    click.option("--identity-listen", metavar="ADDRESS:PORT", help="Where Keystone listens. Default: the next port."),
    click.option("--tls-cert", metavar="FILE", help="PEM file with the certificate chain."),
    click.option("--tls-key", metavar="FILE", help="PEM file with the private key."),
]
DEMO = click.option(
    "--with-demo-projects", is_flag=True, help="Make projects alpha, beta and gamma with a user in each."
)


def taking(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A decorator that adds the options, shown in this order."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def read(settings: dict[str, Any]) -> Config:
    """The configuration that a command's options lead to. Raises ConfigError."""
    overrides = {name: settings.get(name) for name in OVERRIDES}
    demo = bool(settings.get("with_demo_projects"))
    return read_config(settings["config_files"], overrides, with_demo_projects=demo)


def read_running(settings: dict[str, Any]) -> Config:
    """Like read, but what is not given is as the service that runs in the data directory has it, if one does."""
    config = read(settings)
    file = config.data_dir / "run.json"
    try:
        running = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return config
    except OSError as error:
        rule = f"cannot read {file}: {error.strerror}; run this as the service's own user"
        raise ConfigError("data_dir", rule) from error
    given = {name: value for name, value in settings.items() if value is not None}
    files = settings["config_files"] or tuple(Path(file) for file in running["config_files"])
    return read({**running["options"], **given, "config_files": files})


def sqlite_file(config: Config) -> Path | None:
    """The file that the database is, unless it is one of a server."""
    file = config.database_url.removeprefix("sqlite:///")
    return None if file == config.database_url else Path(file)


def require_database(config: Config) -> None:
    """Raises ConfigError rather than let SQLite make an empty database in what is not a data directory."""
    file = sqlite_file(config)
    if file is not None and not file.exists():
        rule = f"{config.data_dir} is not the data directory of a service: {file} is not there"
        raise ConfigError("data_dir", rule)


def server_flags(settings: dict[str, Any]) -> list[str]:
    """The options of SERVERS and DEMO again, for a child process."""
    flags = [f"--config-file={file}" for file in settings["config_files"]]
    flags += [f"--{name.replace('_', '-')}={settings[name]}" for name in OVERRIDES if settings[name] is not None]
    return [*flags, *(["--with-demo-projects"] if settings["with_demo_projects"] else [])]
