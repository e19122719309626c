"""``openvbs key``: keeping the root key safe, changing it, and destroying what opens a project's backups."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from openvbs.actions.service import new_id
from openvbs.cli.bars import count_bar
from openvbs.cli.cloud import examples
from openvbs.cli.first_start import ensure_root_key
from openvbs.cli.settings import FOLDER, read, taking
from openvbs.cli.tables import print_json
from openvbs.db.session import Database
from openvbs.engine.keys import load_root_key
from openvbs.errors import OpenVbsError
from openvbs.files import sync_folder
from openvbs.recovery import forget as forgetting
from openvbs.recovery import root_key
from openvbs.service.folder import DataFolder, make_private, refuse_root
from openvbs.stores.urls import open_store
from openvbs.volumes.files import VolumeFiles


class ExportRefused(OpenVbsError):
    """The copy of the root key could not be written where it was asked for."""


@click.group(no_args_is_help=True)
def key() -> None:
    """Keep the root key safe, change it, and destroy the key of one project's backups."""


@key.command(short_help="Make the root key, if there is none.")
@taking(*FOLDER)
def create(**settings: Any) -> None:
    """Make the root key, if there is none; "serve" does so by itself at its first start.

    Refuses when the store holds backups already: they need the key that they were made with.
    """
    config = read(settings)
    refuse_root(config.data_dir)
    make_private(config.data_dir)
    ensure_root_key(config)


@key.command(short_help="Copy the root key to a file.")
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


@key.command(
    short_help="Put a new root key in the place of the old.",
    epilog=examples(
        "openvbs key rotate --data-dir /var/lib/openvbs",
        "openvbs key export --data-dir /var/lib/openvbs new-root.key",
        "openvbs key rotate --data-dir /var/lib/openvbs --finish",
    ),
)
@taking(*FOLDER)
@click.option("--finish", is_flag=True, help="Second step: let the old key open nothing any more, and remove it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rotate(*, finish: bool, as_json: bool, **settings: Any) -> None:
    """Put a new root key in the place of the old one. Backups stay as they are and none is read.

    First without --finish: a new key is made, every repository learns to open with it, and it takes the place of the
    root key file; the old one stays beside it as FILE.previous, and either opens everything. Copy the new key to where
    the old one is kept, and to every machine that runs a worker. Then with --finish: the old key opens nothing more.

    The service may run meanwhile; run this as its user. After a crash or an error, run the same command again.
    """
    config = read(settings)
    refuse_root(config.data_dir)
    refuse_root(config.root_key_file)
    step = root_key.finish if finish else root_key.rotate
    with closing(open_store(config.store_url)) as store, count_bar("looking through the store") as on_listed:
        count = step(store, config.root_key_file, on_listed=on_listed)
    key_id = load_root_key(config.root_key_file).key_id
    if as_json:
        print_json({"root_key_id": key_id, "repositories": count, "finished": finish})
        return
    if finish:
        click.echo(
            f"{count} repositories open with the root key {key_id} alone. Destroy what copies there are of the old key."
        )
        return
    click.echo(f"{count} repositories open with the new root key {key_id} and, until the next step, with the old one.")
    click.echo(
        "Now copy the new key away from this machine ('openvbs key export') and to every machine with a worker;\n"
        "then run 'openvbs key rotate --finish'. WITHOUT THE NEW KEY NO BACKUP CAN BE READ after that."
    )


@key.command(
    short_help="Destroy the key of a project's backups.",
    epilog=examples("openvbs key forget 9ad3e6014b7f4d2c8e15c0f26b98d7a1 --data-dir /var/lib/openvbs"),
)
@taking(*FOLDER)
@click.argument("project_id", metavar="PROJECT_ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def forget(project_id: str, *, yes: bool, as_json: bool, **settings: Any) -> None:
    """Destroy the key of all backups of a project, so that nobody can ever read them again, and remove them.

    Their records go, every share of them ends, and records that other projects imported of the same data go too.
    Volumes stay; what this data directory keeps of the bytes that backups were made of goes. The project's next backup
    begins anew, with a new key. The service must be stopped; run this as its user.

    What it cannot reach: copies of the store or of a repository.json elsewhere (saved stores, old versions that a
    bucket keeps), which the root key opens as before. To make those useless too, rotate the root key afterwards and
    destroy every copy of the old one. Nor does it reach the folder bases/ of other machines' data directories.
    """
    config = read(settings)
    refuse_root(config.data_dir)
    key_file = config.root_key_file
    with (
        DataFolder(config.data_dir),
        closing(Database(config.database_url)) as database,
        closing(open_store(config.store_url)) as store,
        root_key.alone(key_file),
    ):
        place = forgetting.Place(
            database=database,
            store=store,
            index_cache=config.data_dir / "cache" / "index",
            drop_bases_of=VolumeFiles(config.data_dir).drop_bases_of,
            notifies=config.audit_rules.notifies,
            make_id=new_id,
        )
        root = load_root_key(key_file)
        doomed = forgetting.look(place, project_id)
        if not yes:
            _confirm(project_id, doomed)
        with count_bar("removing objects") as on_removed:
            forgetting.forget(place, root, project_id, on_removed=on_removed)
    if as_json:
        print_json(
            {
                "project_id": project_id,
                "backups": sum(doomed.backups.values()),
                "shares": doomed.shares,
                "objects": doomed.objects,
                "key_destroyed": doomed.has_key,
            }
        )
    elif not doomed.has_key:
        click.echo(f"The store holds no key of project {project_id}, so none was destroyed. Its records are gone.")
    else:
        click.echo(f"The key of project {project_id} is destroyed, and its {doomed.objects} objects are removed.")


def _confirm(project_id: str, doomed: forgetting.Doomed) -> None:
    own = doomed.backups.get(project_id, 0)
    lines = [
        f"This destroys all backups of project {project_id}, for ever:",
        f"{own} backups, {doomed.shares} shares of them, {doomed.objects} objects in the store.",
    ]
    for other, count in sorted(doomed.backups.items()):
        if other != project_id:
            lines.append(f"Project {other} has imported records of the same data; {count} backups of its own go too.")
    if not doomed.has_key:
        lines.append(
            "The store does not hold the key. If it is only not mounted, mount it first, or they stay readable."
        )
    click.echo("\n".join(lines), err=True)
    said = click.prompt("Type the project's id to go on", default="", show_default=False, err=True)
    if said != project_id:
        raise forgetting.ForgetRefused("that is another id; nothing was changed")


def _write_new(file: Path, text: str) -> None:
    """Durable on return. A crash may leave an incomplete file, which reading it as a key finds out."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as copy:
                copy.write(text)
                copy.flush()
                os.fsync(copy.fileno())
            sync_folder(file.absolute().parent)
        except BaseException:
            file.unlink()
            raise
    except FileExistsError as error:
        raise ExportRefused(f"{file} exists already and is left as it is; name a file that does not") from error
    except OSError as error:
        raise ExportRefused(f"cannot write {file}: {error.strerror}") from error
