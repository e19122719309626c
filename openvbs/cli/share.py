"""``openvbs share``: share a backup with other projects, see shares, cancel them. A thin client of the HTTP API."""

from typing import Any

import click

from openvbs.cli.cloud import Cloud, cloud_command, examples
from openvbs.cli.names import find_backup_id, find_project_id
from openvbs.cli.tables import print_json, print_record, print_table

_PATH = "os-vendor-backup-sharing"


@click.group(
    no_args_is_help=True,
    epilog=examples(
        "openvbs share create monday --with beta", "openvbs share list", "openvbs share cancel --backup monday"
    ),
)
def share() -> None:
    """Share backups with other projects, and end that.

    A share lets one other project see a backup and restore it into a volume of its own. It copies no data. The
    recipient can neither change nor delete the backup nor share it on.

    The cloud comes from --os-cloud or OS_CLOUD, as with the openstack command.
    """


@share.command(
    short_help="Share a backup with other projects.",
    epilog=examples(
        "openvbs share create monday --with beta --expires 2026-03-04T18:00",
        "openvbs share create monday --with 9ad3e6014b7f4d2c8e15c0f26b98d7a1 --with gamma",
    ),
)
@click.argument("backup")
@click.option("--with", "recipients", metavar="PROJECT", multiple=True, required=True, help="Project, by name or id.")
@click.option(
    "--expires",
    metavar="TIME",
    help="When the share ends by itself, such as 2026-03-04T18:00 (UTC) or 2026-03-04T18:00+01:00.",
)
@cloud_command
def create(cloud: Cloud, backup: str, recipients: tuple[str, ...], *, expires: str | None, as_json: bool) -> None:
    """Share BACKUP (name or id) with one or more projects, all or none of them.

    Sharing again with a project that already has the backup changes nothing, but for the time given with --expires.
    """
    wanted = {
        "backup_id": find_backup_id(cloud, backup),
        "to_project_ids": [find_project_id(cloud, recipient) for recipient in recipients],
        **({} if expires is None else {"expires_at": expires}),
    }
    made = cloud.call("POST", _PATH, body={"shared": wanted}).json()["shared"]
    if as_json:
        print_json(made)
        return
    print_table(
        ("share", "backup", "to project", "shared at"),
        ((row["id"], row["backup_id"], row["to_project_id"], row["created_at"]) for row in made),
    )


@share.command(
    "list",
    short_help="List the shares that were given or received.",
    epilog=examples("openvbs share list --backup monday", "OS_CLOUD=openvbs-beta openvbs share list --to-me"),
)
@click.option("--to-me", is_flag=True, help="Shares that others gave to this project, instead of those it gave.")
@click.option("--backup", metavar="BACKUP", help="Only the shares of this backup (name or id).")
@cloud_command
def list_(cloud: Cloud, *, to_me: bool, backup: str | None, as_json: bool) -> None:
    """List the shares that this project gave, or with --to-me those it received."""
    params = {"share_to_me": "true"} if to_me else {}
    if backup is not None:
        params["backup_id"] = find_backup_id(cloud, backup)
    rows = list(cloud.pages(f"{_PATH}/detail", "shared", **params))
    if as_json:
        print_json(rows)
        return
    other = "from_project_id" if to_me else "to_project_id"
    print_table(
        ("share", "backup", "from project" if to_me else "to project", "status", "GiB", "shared at"),
        ((row["id"], _called(row), row[other], *_facts(row["backup"]), row["created_at"]) for row in rows),
    )


@share.command(short_help="Show one share and its backup.")
@click.argument("share_id", metavar="ID")
@cloud_command
def show(cloud: Cloud, share_id: str, *, as_json: bool) -> None:
    """Show one share, given or received, and the backup that it grants."""
    row = cloud.get(f"{_PATH}/{share_id}")["shared"]
    if as_json:
        print_json(row)
        return
    status, size = _facts(row["backup"])
    print_record(
        (
            ("share", row["id"]),
            ("from project", row["from_project_id"]),
            ("to project", row["to_project_id"]),
            ("shared at", row["created_at"]),
            *((("expires at", row["expires_at"]),) if "expires_at" in row else ()),
            ("backup", row["backup_id"]),
            ("backup name", row["backup"]["name"]),
            ("backup status", status),
            ("backup size", f"{size} GiB"),
            ("backup made at", row["backup"]["created_at"]),
        )
    )


@share.command(
    epilog=examples("openvbs share cancel a94d07c2-8b36-41fe-b2c9-5d160e7f83ab", "openvbs share cancel --backup monday")
)
@click.argument("share_id", metavar="ID", required=False)
@click.option("--backup", metavar="BACKUP", help="End every share of this backup (name or id) instead of one share.")
@click.option("--abort-running", is_flag=True, help="Also stop what recipients are restoring from it right now.")
@cloud_command
def cancel(cloud: Cloud, share_id: str | None, *, backup: str | None, abort_running: bool, as_json: bool) -> None:
    """End the share ID, or with --backup all shares of a backup.

    From that moment on the recipient cannot see or restore the backup. A restore that it had already begun runs to
    its end unless you say --abort-running, and volumes that it already made are its own. A recipient may give up a
    share too, by its ID.
    """
    abort = {"abort_running": "true"} if abort_running else {}
    if (share_id is None) == (backup is None):
        raise click.UsageError("say which share: either its ID or --backup BACKUP")
    if share_id is not None:
        cloud.call("DELETE", f"{_PATH}/{share_id}", params=abort)
        cancelled = {"share_id": share_id}
    else:
        backup_id = find_backup_id(cloud, str(backup))
        cloud.call("DELETE", f"{_PATH}/{backup_id}", params={"is_backup_id": "true", **abort})
        cancelled = {"backup_id": backup_id}
    if as_json:
        print_json({"cancelled": cancelled})
    else:
        click.echo(f"share {share_id} is cancelled" if share_id else f"backup {backup} is no longer shared")


@share.command(
    short_help="Keep a copy of a shared backup.",
    epilog=examples("OS_CLOUD=openvbs-beta openvbs share keep monday --name monday-of-alpha"),
)
@click.argument("backup")
@click.option("--name", help="Name of the copy. Default: the backup's.")
@cloud_command
def keep(cloud: Cloud, backup: str, *, name: str | None, as_json: bool) -> None:
    """Keep a copy of BACKUP (name or id), which is shared with this project, as a backup of its own.

    The copy counts for this project's quota, and stays when the share ends. "openvbs job watch" waits for it.
    """
    wanted = {"copy": {} if name is None else {"name": name}}
    made = cloud.call("POST", f"cloudbackups/{find_backup_id(cloud, backup)}/copy", body=wanted).json()
    if as_json:
        print_json(made)
    else:
        print_record((("job", made["job_id"]), ("backup", made["backup_id"])))


def _called(row: dict[str, Any]) -> str:
    return str(row["backup"]["name"] or row["backup_id"])


def _facts(backup: dict[str, Any]) -> tuple[str, str]:
    return str(backup["status"]), str(backup["size"])
