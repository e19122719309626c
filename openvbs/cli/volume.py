"""``openvbs volume``: import, export and register volumes. For the operator, on the machine of the service."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from openvbs import wiring
from openvbs.actions import images
from openvbs.actions.jobs import cancel_job, get_job, worker_is_alive
from openvbs.actions.service import Service
from openvbs.actions.volumes import list_volumes
from openvbs.auth.caller import Caller
from openvbs.cli.bars import byte_bar
from openvbs.cli.cloud import Cloud, examples
from openvbs.cli.names import find_project_id
from openvbs.cli.settings import FOLDER, read_running, require_database, taking
from openvbs.cli.tables import print_json, print_table
from openvbs.config import Config
from openvbs.domain.errors import JobEnded
from openvbs.domain.job import ENDED, Job, JobStatus
from openvbs.domain.volume import Volume, VolumeQuery
from openvbs.engine.progress import Progress
from openvbs.errors import OpenVbsError
from openvbs.volumes.images import image_at

_ADMIN_CLOUD = "openvbs-admin"
_LOOK_SECONDS = 0.3
_EXIT_INTERRUPTED = 130
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_PROJECT = click.option("--project", metavar="PROJECT", help="Name or id of the project that the volume is for.")


class OperatorError(OpenVbsError):
    """The operator must do something else or something first."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """The service on this machine, reached through its data directory."""

    config: Config
    service: Service

    def operator(self, project_id: str) -> Caller:
        return Caller(
            project_id=project_id,
            token_project_id=project_id,
            user_id="operator",
            roles=frozenset({"admin"}),
            is_admin=True,
            request_id=f"req-{uuid.uuid4()}",
            sees_all=True,
        )

    def project_id(self, name_or_id: str) -> str:
        """Asks Keystone for a name; an id is taken as it is."""
        if self.config.identity_embedded:
            os.environ["OS_CLIENT_CONFIG_FILE"] = str(self.config.clouds_file)
        return find_project_id(Cloud(_ADMIN_CLOUD if self.config.identity_embedded else None), name_or_id)

    def require_worker(self) -> None:
        if not worker_is_alive(self.service):
            raise OperatorError("the service does not run here (no worker is alive); start openvbs serve first")


@contextmanager
def _machine(settings: dict[str, Any]) -> Iterator[_Machine]:
    config = read_running(settings)
    require_database(config)
    service = wiring.build_service(config)
    try:
        yield _Machine(config, service)
    finally:
        service.database.close()


@click.group(no_args_is_help=True, epilog=examples("openvbs volume import disk.img --project alpha --data-dir DIR"))
def volume() -> None:
    """Import, export and register volumes on the machine of the service, as its operator.

    Tenants make, list and delete volumes with the openstack command.
    """


@volume.command(
    "import",
    short_help="Make a volume of an image.",
    epilog=examples("openvbs volume import disk.qcow2 --project alpha --name web-root"),
)
@click.argument("file", type=click.Path(path_type=Path))
@_PROJECT
@click.option("--name", help="Name of the new volume. Default: the file's.")
@click.option("--into", metavar="ID", help="Overwrite this available volume instead of making one.")
@taking(*FOLDER, _JSON)
def import_(
    file: Path, *, project: str | None, name: str | None, into: str | None, as_json: bool, **settings: Any
) -> None:
    """Make a volume of a raw or qcow2 image, or with --into give a volume new content.

    The new volume has the image's size in whole GiB. Prints its id last.
    """
    if (project is None) == (into is None):
        raise click.UsageError("give either --project or --into")
    if name is not None and into is not None:
        raise click.UsageError("--name is for a new volume; --into keeps the name that is there")
    image = image_at(file.absolute())
    with _machine(settings) as machine:
        machine.require_worker()
        if into is not None:
            made, job = images.import_into(
                machine.service,
                machine.operator(""),
                into,
                path=str(image.path),
                size_bytes=image.size_bytes,
                stored_bytes=image.stored_bytes,
            )
        else:
            operator = machine.operator(machine.project_id(project or ""))
            made, job = images.import_image(
                machine.service,
                operator,
                path=str(image.path),
                size_bytes=image.size_bytes,
                stored_bytes=image.stored_bytes,
                name=name or file.stem,
            )
        _watch(machine, job, f"importing {file.name}")
    _print_volume(made, as_json=as_json)


@volume.command(epilog=examples("openvbs volume export d17c90aa-5e23-4b6f-8f41-07b9c6a2e5d4 disk.img"))
@click.argument("volume_id", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path))
@taking(*FOLDER)
def export(volume_id: str, file: Path, **settings: Any) -> None:
    """Write an available volume to a raw image; holes stay holes. Never writes over a file, also not over one that
    appears meanwhile: then the export fails.

    The file is written by the service, so its user must be allowed to write there.
    """
    target = file.absolute()
    if os.path.lexists(target):
        raise OperatorError(f"{file} exists already; choose another name")
    if not target.parent.is_dir():
        raise OperatorError(f"{target.parent} is not a directory")
    with _machine(settings) as machine:
        machine.require_worker()
        job = images.export_image(machine.service, machine.operator(""), volume_id, path=str(target))
        _watch(machine, job, f"exporting to {file.name}")
    click.echo(str(file))


@volume.command(
    short_help="Let a project back up a device or file.",
    epilog=examples("openvbs volume register /dev/vg0/web --project alpha --name web"),
)
@click.argument("path", type=click.Path(path_type=Path))
@_PROJECT
@click.option("--name", help="Name of the volume. Default: the file's.")
@click.option("--freeze-command", help="Makes its bytes stand still while a backup reads them.")
@click.option("--thaw-command", help="Undoes the freeze command; runs whatever happened.")
@taking(*FOLDER, _JSON)
def register(
    path: Path,
    *,
    project: str | None,
    name: str | None,
    freeze_command: str | None,
    thaw_command: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Let a project back up a block device or file where it lies. Prints the volume's id last.

    Without a freeze command backups of it are marked as taken from a device that may have been changing.
    """
    if project is None:
        raise click.UsageError("give --project")
    device = image_at(path.absolute())
    with _machine(settings) as machine:
        made = images.register_volume(
            machine.service,
            machine.operator(machine.project_id(project)),
            path=str(device.path),
            size_bytes=device.size_bytes,
            name=name or path.name,
            freeze_command=freeze_command,
            thaw_command=thaw_command,
        )
    _print_volume(made, as_json=as_json)


@volume.command("list", short_help="List the volumes of all projects, or of one.")
@_PROJECT
@taking(*FOLDER, _JSON)
def list_(*, project: str | None, as_json: bool, **settings: Any) -> None:
    """List the volumes of all projects, or of one, the newest first."""
    with _machine(settings) as machine:
        project_id = None if project is None else machine.project_id(project)
        found: list[Volume] = []
        marker = None
        while True:
            query = VolumeQuery(all_projects=True, project_id=project_id, marker=marker)
            page = list_volumes(machine.service, machine.operator(""), query)
            found += page.items
            if not page.has_more:
                break
            marker = found[-1].id
    if as_json:
        print_json([_row(one) for one in found])
        return
    print_table(
        ("id", "project", "name", "GiB", "status", "path"),
        ((one.id, one.project_id, one.name, str(one.size_gib), one.status, one.path) for one in found),
    )


def _watch(machine: _Machine, job: Job, label: str) -> None:
    """Show the job until it ends; Ctrl-C asks it to stop. Raises OperatorError when it failed."""
    operator = machine.operator(job.project_id)
    interrupted = False
    with byte_bar(label) as show:
        while job.status not in ENDED:
            try:
                time.sleep(_LOOK_SECONDS)
                job = get_job(machine.service, operator, job.id)
                show(Progress(job.bytes_done, job.bytes_total))
            except KeyboardInterrupt:
                interrupted = True
                click.echo(f"asking job {job.id} to stop", err=True)
                try:
                    cancel_job(machine.service, operator, job.id)
                except JobEnded:
                    continue  # the next look shows how
    if job.status == JobStatus.FAIL:
        if interrupted:
            raise click.exceptions.Exit(_EXIT_INTERRUPTED)
        raise OperatorError(f"job {job.id} failed: {job.fail_reason}")


def _print_volume(made: Volume, *, as_json: bool) -> None:
    if as_json:
        print_json(_row(made))
    else:
        click.echo(made.id)


def _row(one: Volume) -> dict[str, Any]:
    return {
        "id": one.id,
        "project_id": one.project_id,
        "name": one.name,
        "size_gib": one.size_gib,
        "size_bytes": one.size_bytes,
        "kind": one.kind,
        "path": one.path,
    }
