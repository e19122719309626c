"""``openvbs key``: keeping the root key safe."""

import os
from pathlib import Path
from typing import Any

import click

from openvbs.cli.first_start import ensure_root_key
from openvbs.cli.settings import FOLDER, read, taking
from openvbs.engine.keys import load_root_key
from openvbs.errors import OpenVbsError
from openvbs.files import sync_folder
from openvbs.service.folder import make_private


class ExportRefused(OpenVbsError):
    """The copy of the root key could not be written where it was asked for."""


@click.group()
def key() -> None:
    """Keep the root key safe."""


@key.command()
@taking(*FOLDER)
def create(**settings: Any) -> None:
    """Make the root key, if there is none; "serve" does so by itself at its first start.

    Refuses when the store holds backups already: they need the key that they were made with.
    """
    config = read(settings)
    make_private(config.data_dir)
    ensure_root_key(config)


@key.command()
@taking(*FOLDER)
@click.argument("file", required=False, type=click.Path(path_type=Path))
def export(file: Path | None, **settings: Any) -> None:
    """Copy the root key to FILE (mode 0600, never over another file), or to standard output.

    Whoever has the key and the store can read every backup; without the key nobody can. Keep the copy away from this
    machine and from the store. To use it again, put it in place of the lost one.
    """
    config = read(settings)
    load_root_key(config.root_key_file)  # a copy of a damaged key would be found out too late
    text = config.root_key_file.read_text(encoding="ascii")
    if file is None:
        click.echo(text, nl=False)
        return
    _write_new(file, text)
    click.echo(f"The root key {config.root_key_file} was copied to {file}. Keep it away from this machine.")


def _write_new(file: Path, text: str) -> None:
    """Durable on return. A crash may leave an incomplete file, which reading it as a key finds out."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as copy:
            copy.write(text)
            copy.flush()
            os.fsync(copy.fileno())
        sync_folder(file.absolute().parent)
    except FileExistsError as error:
        raise ExportRefused(f"{file} exists already and is left as it is; name a file that does not") from error
    except OSError as error:
        raise ExportRefused(f"cannot write {file}: {error.strerror}") from error
