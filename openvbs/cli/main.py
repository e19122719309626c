"""The command ``openvbs``."""

import errno
import os
from typing import Any

import click

from openvbs.cli.lazy import LazyGroup
from openvbs.cli.streams import drop_unwritten, settle_streams
from openvbs.cli.tables import printable
from openvbs.errors import OpenVbsError

COMMANDS = {
    "serve": ("openvbs.cli.serve:serve", "Run the whole service: API, worker and, unless configured, Keystone."),
    "api": ("openvbs.cli.serve:api", "Run one API process."),
    "worker": ("openvbs.cli.serve:worker", "Run one worker process."),
    "identity": ("openvbs.cli.serve:identity", "Run only the embedded Keystone."),
    "migrate": ("openvbs.cli.serve:migrate", "Bring the database to the schema of this release."),
    "volume": ("openvbs.cli.volume:volume", "Import, export and register volumes on this machine."),
    "share": ("openvbs.cli.share:share", "Share backups with other projects, see shares, cancel them."),
    "job": ("openvbs.cli.job:job", "Follow backups and restores while they run, cancel them."),
    "repo": ("openvbs.cli.repo:repo", "Back up, restore and check without a server."),
    "key": ("openvbs.cli.key:key", "Keep the root key safe, change it, forget a project's key."),
    "rescue": ("openvbs.cli.rescue:rescue", "Get everything back from the store and the root key alone."),
    "doctor": ("openvbs.cli.doctor:doctor", "Check configuration, database, store, Keystone and clocks."),
}


class _Main(LazyGroup):
    """Errors that we foresaw, and what the system refuses, become one sentence and exit code 1."""

    def main(self, *args: Any, **extra: Any) -> Any:
        settle_streams()
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OpenVbsError as error:
            # Line by line: an error may take several, but what it quotes may hold anything.
            raise click.ClickException("\n".join(map(printable, str(error).splitlines()))) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads on
            raise click.ClickException(_sentence(error)) from error


def _sentence(error: OSError) -> str:
    unwritten = drop_unwritten()
    if unwritten is not None:
        return f"standard output: {unwritten.strerror}"
    said = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        said = f"{error.filename}: {said}"
    if isinstance(error, PermissionError):
        said += "; run this as a user who may, or name another place"
    return said


@click.group(cls=_Main, lazy=COMMANDS)
@click.version_option(package_name="openvbs")
def main() -> None:
    """OpenVBS: back up volumes, restore them, share backups with other projects."""
    os.umask(0o077)  # keys, records and images of disks: nothing that any command writes is for others to read


if __name__ == "__main__":
    main()  # how the supervisor starts its children, whatever PATH says
