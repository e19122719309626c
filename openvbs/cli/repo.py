"""``openvbs repo``: a repository without any server or database."""

import click

from openvbs.cli.lazy import LazyGroup
from openvbs.cli.stopping import stopped_by_signals

COMMANDS = {
    "init": ("openvbs.cli.repo_backups:init", "Make a repository, and a root key if there is none."),
    "backup": ("openvbs.cli.repo_backups:backup", "Back up an image or a block device."),
    "restore": ("openvbs.cli.repo_backups:restore", "Restore a backup to a file or a block device."),
    "list": ("openvbs.cli.repo_backups:list_", "List the backups, the oldest first."),
    "delete": ("openvbs.cli.repo_backups:delete", "Delete a backup; no other one is affected."),
    "check": ("openvbs.cli.repo_care:check", "See that everything is there, and that it is good."),
    "collect": ("openvbs.cli.repo_care:collect", "Give back the space of deleted backups."),
    "repair": ("openvbs.cli.repo_care:repair", "Make lost or damaged parts of the index again."),
    "rotate-key": ("openvbs.cli.repo_care:rotate_key", "Let the repository open with another root key."),
    "verify-store": ("openvbs.cli.repo_verify:verify_store_command", "See whether a folder or bucket will do."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, no_args_is_help=True)
@click.pass_context
def repo(context: click.Context) -> None:
    """Back up images and disks to a repository, without server or database.

    URL is a directory or s3://bucket/prefix; for a bucket, the usual AWS_* variables say endpoint and credentials.
    A repository of the service is one of these too: DIR/store/PROJECT_ID with the key file DIR/root.key.

    The store must be writable: whoever works in a repository, be it only to restore or check, puts a lease there.
    "list" alone does without.
    """
    context.with_resource(stopped_by_signals())
