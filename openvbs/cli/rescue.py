"""``openvbs rescue``: everything back from the store and the root key, when database or service are lost."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from openvbs.actions.service import new_id
from openvbs.cli.bars import byte_bar, count_bar
from openvbs.cli.cloud import examples
from openvbs.cli.settings import FOLDER, read, require_database, taking
from openvbs.cli.stopping import stopped_by_signals
from openvbs.cli.tables import print_json, print_table, printable, size_text
from openvbs.cli.targets import open_target
from openvbs.db.session import Database
from openvbs.domain.share import Share
from openvbs.engine.keys import RootKey, load_root_key
from openvbs.engine.repository import open_repository
from openvbs.engine.restore import restore as restore_backup
from openvbs.errors import OpenVbsError
from openvbs.recovery.rebuild import Rebuilt, accept_shares, reject_shares, suspended_shares
from openvbs.recovery.rebuild import rebuild as rebuild_records
from openvbs.recovery.survey import Found, Problem, survey
from openvbs.service.folder import DataFolder, refuse_root
from openvbs.stores.base import Store
from openvbs.stores.prefixed import prefixed
from openvbs.stores.urls import folder_of, open_store

_PATH = click.Path(path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_KEY_FILE = click.option(
    "--key-file", type=_PATH, help="The root key file; root.key in PLACE if that is a data directory."
)
_PROJECT = click.option("--project", "project_id", metavar="ID", help="Only the backups of this project.")


class RescueIncomplete(OpenVbsError):
    """Something could not be read or restored; what, was printed."""


class RescueMisplaced(OpenVbsError):
    """The command line does not say where the root key or the backups are."""


@click.group(no_args_is_help=True)
@click.pass_context
def rescue(context: click.Context) -> None:
    """Get everything back from the store and the root key alone, without database, Keystone or server.

    "list" and "restore" need PLACE: a data directory, a folder that was its store, or s3://bucket/prefix with the usual
    AWS_* variables. "rebuild" makes the service's records anew in an empty database; then "serve" goes on as before.
    """
    context.with_resource(stopped_by_signals())


@contextmanager
def _opened(place: str, key_file: Path | None) -> Iterator[tuple[Store, RootKey]]:
    folder = folder_of(place)
    data_dir = folder if folder and (folder / "store").is_dir() else None
    if key_file is None:
        if not data_dir or not (data_dir / "root.key").exists():
            raise RescueMisplaced(f"{place} holds no root.key; say with --key-file where the root key is")
        key_file = data_dir / "root.key"
    root_key = load_root_key(key_file)
    with closing(open_store(str(data_dir / "store") if data_dir else place)) as store:
        yield store, root_key


def _survey(
    store: Store, root_key: RootKey, *, place: str, project_id: str | None
) -> tuple[list[Found], list[Problem]]:
    found: list[Found] = []
    problems: list[Problem] = []
    with count_bar("reading backups") as on_surveyed:
        for one in survey(store, root_key, place=place, on_surveyed=on_surveyed):
            if isinstance(one, Problem):
                problems.append(one)
            elif not one.is_deleted and project_id in {None, one.backup.project_id}:
                found.append(one)
    if project_id is not None and not found:
        problems.append(Problem("-", f"no backup of project {project_id} was found"))
    return sorted(found, key=lambda one: (one.backup.project_id, one.backup.created_at, one.backup.id)), problems


@rescue.command(
    "list",
    short_help="List every backup of every project.",
    epilog=examples(
        "openvbs rescue list /var/lib/openvbs", "openvbs rescue list s3://backups/cloud --key-file root.key.copy"
    ),
)
@click.argument("place")
@_KEY_FILE
@_PROJECT
@_JSON
def list_(place: str, *, key_file: Path | None, project_id: str | None, as_json: bool) -> None:
    """List every backup of every project, and its shares as they were. Exits with 1 if some cannot be read."""
    with _opened(place, key_file) as (store, root_key):
        found, problems = _survey(store, root_key, place=place, project_id=project_id)
    if as_json:
        print_json({"backups": [_json(one) for one in found], "problems": [_problem_json(one) for one in problems]})
    else:
        print_table(
            ("project", "id", "name", "volume", "created", "size", "shared with"),
            (
                (
                    one.backup.project_id,
                    one.backup.id,
                    one.backup.name,
                    one.backup.volume_name or one.backup.volume_id,
                    one.backup.created_at.isoformat(timespec="seconds"),
                    size_text(one.backup.bytes_total),
                    ", ".join(share.to_project_id for share in one.shares),
                )
                for one in found
            ),
        )
    _report(problems)


@rescue.command(
    short_help="Restore backups, all or some, to files.",
    epilog=examples(
        "openvbs rescue restore /var/lib/openvbs /mnt/rescued",
        "openvbs rescue restore s3://backups/cloud . --key-file root.key.copy --project 9ad3e6014b7f4d2c",
    ),
)
@click.argument("place")
@click.argument("folder", type=_PATH)
@_KEY_FILE
@_PROJECT
@click.option(
    "--backup", "backup_ids", metavar="ID", multiple=True, help="Only this backup; may be given several times."
)
@_JSON
def restore(
    place: str,
    folder: Path,
    *,
    key_file: Path | None,
    project_id: str | None,
    backup_ids: tuple[str, ...],
    as_json: bool,
) -> None:
    """Restore backups, all or some, to FOLDER/PROJECT_ID/BACKUP_ID.img: raw, sparse images.

    Run again after an interruption, it goes on: what is there already is compared, and only what differs is written. A
    backup that is damaged is told of, and the others are restored. Exits with 1 if any was not. It takes leases in the
    store, so that must be writable.
    """
    with _opened(place, key_file) as (store, root_key):
        found, problems = _survey(store, root_key, place=place, project_id=project_id)
        wanted = [one for one in found if not backup_ids or one.backup.id in backup_ids]
        for missing in sorted(set(backup_ids) - {one.backup.id for one in wanted}):
            problems.append(Problem("-", f"no backup {missing} was found"))
        done = []
        for one in wanted:
            file = folder / one.backup.project_id / f"{one.backup.id}.img"
            try:
                _restore_one(store, root_key, one, file)
            except (OpenVbsError, OSError) as error:
                problems.append(Problem(one.backup.repository_id, f"backup {one.backup.id} was not restored: {error}"))
                continue
            done.append({"backup_id": one.backup.id, "file": str(file)})
            if not as_json:
                name = printable(one.backup.name or "")
                click.echo(f"{file}  {size_text(one.backup.bytes_total)}  {name}".rstrip())
    if as_json:
        print_json({"restored": done, "problems": [_problem_json(one) for one in problems]})
    _report(problems)


def _restore_one(store: Store, root_key: RootKey, found: Found, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    backup = found.backup
    with (
        open_repository(prefixed(store, backup.repository_id), root_key) as repository,
        open_target(file, backup.bytes_total) as target,
        byte_bar(f"restoring {backup.name or backup.id}") as on_progress,
    ):
        restore_backup(repository, backup.data_id, target, on_progress=on_progress)


@rescue.command(
    short_help="Make the service's records anew.", epilog=examples("openvbs rescue rebuild --data-dir /var/lib/openvbs")
)
@taking(*FOLDER)
@_JSON
def rebuild(*, as_json: bool, **settings: Any) -> None:
    """Make the records of backups anew in an empty database, from the configured store and root key.

    Owners, names, tags and volumes' properties come back as they were. Volumes, policies, quotas and audit events were
    in the database alone. Shares come back suspended, granting nothing: the last cancel before the loss may not have
    reached the store. See them with "openvbs rescue shares" and accept those that their owners still want.

    The service must be stopped; run this as its user. An error or a crash leaves the database empty. Exits with 1 if
    not all could be read.
    """
    config = read(settings)
    refuse_root(config.data_dir)
    with DataFolder(config.data_dir):
        root_key = load_root_key(config.root_key_file)
        import_module("openvbs.db.migrate").upgrade(config.database_url)
        import_module("openvbs.jobs.queue").prepare_queue(config.database_url)
        with (
            closing(Database(config.database_url)) as database,
            closing(open_store(config.store_url)) as store,
            count_bar("reading backups") as on_surveyed,
        ):
            found = survey(store, root_key, place=config.store_url, on_surveyed=on_surveyed)
            rebuilt = rebuild_records(database, found)
    if as_json:
        print_json(
            {
                "backups": rebuilt.backups,
                "suspended_shares": [_share_json(share) for share in rebuilt.shares],
                "problems": [_problem_json(one) for one in rebuilt.problems],
            }
        )
    else:
        _print_rebuilt(rebuilt)
    _report(rebuilt.problems)


def _print_rebuilt(rebuilt: Rebuilt) -> None:
    print_table(("project", "backups"), ((name, str(count)) for name, count in sorted(rebuilt.backups.items())))
    if rebuilt.shares:
        click.echo(f"{len(rebuilt.shares)} shares are suspended; see 'openvbs rescue shares --help'.")


@rescue.command(
    short_help="List, accept or reject shares found by rebuild.",
    epilog=examples(
        "openvbs rescue shares --data-dir /var/lib/openvbs",
        "openvbs rescue shares --data-dir /var/lib/openvbs --accept a94d07c2-8b36-41fe-b2c9-5d160e7f83ab",
    ),
)
@taking(*FOLDER)
@click.option("--accept", "accepted", metavar="ID", multiple=True, help="Let this share grant again what it did.")
@click.option("--accept-all", is_flag=True, help="Accept all of them.")
@click.option("--reject-all", is_flag=True, help="Let none of them wait any more; they stay cancelled.")
@_JSON
def shares(*, accepted: tuple[str, ...], accept_all: bool, reject_all: bool, as_json: bool, **settings: Any) -> None:
    """List shares that "rebuild" found in the store and that grant nothing yet; accept or reject them.

    One that its owner cancelled shortly before the database was lost may be among them: ask the owner first. The
    service may run meanwhile. A share ceases to wait when its owner shares the backup with the same project anew, ends
    all shares of the backup, or deletes it.
    """
    if sum((bool(accepted), accept_all, reject_all)) > 1:
        raise click.UsageError("--accept, --accept-all and --reject-all exclude each other")
    config = read(settings)
    require_database(config)
    with closing(Database(config.database_url)) as database:
        waiting = suspended_shares(database)
        if reject_all:
            reject_shares(database)
        elif accept_all or accepted:
            wanted = [share.id for share in waiting] if accept_all else accepted
            waiting = accept_shares(database, wanted, make_id=new_id, notifies=config.audit_rules.notifies)
    if as_json:
        print_json([_share_json(share) for share in waiting])
        return
    print_table(
        ("share", "from project", "backup", "to project", "shared at"),
        (
            (
                share.id,
                share.from_project_id,
                share.backup_id,
                share.to_project_id,
                share.created_at.isoformat(" ", "seconds"),
            )
            for share in waiting
        ),
    )


def _report(problems: list[Problem]) -> None:
    for one in problems:
        click.echo(f"problem in {one.repository_id}: {printable(one.text)}", err=True)
    if problems:
        raise RescueIncomplete(f"{len(problems)} problems; all else is as it should be")


def _json(found: Found) -> dict[str, Any]:
    backup = found.backup
    return {
        "project_id": backup.project_id,
        "repository_id": backup.repository_id,
        "id": backup.id,
        "name": backup.name,
        "description": backup.description,
        "created_at": backup.created_at.isoformat(),
        "volume_id": backup.volume_id,
        "volume_name": backup.volume_name,
        "size_bytes": backup.bytes_total,
        "metadata": backup.metadata,
        "tags": backup.tags,
        "shares": [_share_json(share) for share in found.shares],
    }


def _share_json(share: Share) -> dict[str, Any]:
    return {
        "id": share.id,
        "backup_id": share.backup_id,
        "from_project_id": share.from_project_id,
        "to_project_id": share.to_project_id,
        "created_at": share.created_at.isoformat(),
        "expires_at": None if share.expires_at is None else share.expires_at.isoformat(),
    }


def _problem_json(problem: Problem) -> dict[str, str]:
    return {"repository_id": problem.repository_id, "problem": problem.text}
