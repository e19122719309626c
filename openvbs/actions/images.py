"""What the operator does with volumes on this machine: import and export images, register devices in place.

No role allows these over the network: they read and write files of the machine. The command line calls them.
"""

import shlex
from dataclasses import replace
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from openvbs.actions.restores import insert_new_volume
from openvbs.actions.service import Service, enqueue
from openvbs.auth.caller import Caller
from openvbs.db import volumes
from openvbs.domain.errors import BadRequest, VolumeBusy, VolumeNotFound
from openvbs.domain.job import Job, JobKind
from openvbs.domain.volume import NewVolume, Volume, VolumeKind, VolumeStatus
from openvbs.files import is_same
from openvbs.units import gib_ceil


def import_image(
    service: Service, operator: Caller, *, path: str, size_bytes: int, stored_bytes: int, name: str | None
) -> tuple[Volume, Job]:
    """Accept an image as a new volume of the operator's project, in whole GiB. Raises BadRequest."""
    size_gib = gib_ceil(size_bytes)
    if size_gib > service.limits.volume_gib_max:
        raise BadRequest("FILE", f"its disk has {size_gib} GiB; a volume has at most {service.limits.volume_gib_max}")
    with service.database.write() as connection:
        new = NewVolume(size_gib=size_gib, name=name)
        volume = insert_new_volume(service, connection, operator, new, VolumeStatus.DOWNLOADING)
        job = _enqueue_import(
            service, connection, operator, volume, path=path, stored_bytes=stored_bytes, made_for_import=True
        )
    return volume, job


def import_into(
    service: Service, operator: Caller, volume_id: str, *, path: str, size_bytes: int, stored_bytes: int
) -> tuple[Volume, Job]:
    """Accept an image as the new content of any project's volume. Raises VolumeNotFound, BadRequest, VolumeBusy."""
    with service.database.write() as connection:
        volume = _take(service, connection, volume_id, VolumeStatus.DOWNLOADING)
        if volume.kind == VolumeKind.REGISTERED:
            raise BadRequest("--into", "a registered device or file is written by its operator, not here")
        if volume.size_bytes < size_bytes:
            rule = f"the image's disk has {size_bytes} bytes, more than the {volume.size_bytes} of volume {volume_id}"
            raise BadRequest("--into", f"{rule}; extend the volume first")
        caller = replace(operator, project_id=volume.project_id)
        job = _enqueue_import(
            service, connection, caller, volume, path=path, stored_bytes=stored_bytes, made_for_import=False
        )
    return volume, job


def _enqueue_import(
    service: Service,
    connection: sa.Connection,
    caller: Caller,
    volume: Volume,
    *,
    path: str,
    stored_bytes: int,
    made_for_import: bool,
) -> Job:
    return enqueue(
        service,
        connection,
        caller,
        JobKind.IMPORT_VOLUME,
        volume_id=volume.id,
        bytes_total=stored_bytes,
        arguments={"path": path, "made_for_import": made_for_import},
    )


def export_image(service: Service, operator: Caller, volume_id: str, *, path: str) -> Job:
    """Accept an export of any project's volume to a raw image. Raises VolumeNotFound, VolumeBusy."""
    with service.database.write() as connection:
        volume = _take(service, connection, volume_id, VolumeStatus.UPLOADING)
        return enqueue(
            service,
            connection,
            replace(operator, project_id=volume.project_id),
            JobKind.EXPORT_VOLUME,
            volume_id=volume.id,
            bytes_total=volume.size_bytes,
            arguments={"path": path},
        )


def register_volume(
    service: Service,
    operator: Caller,
    *,
    path: str,
    size_bytes: int,
    name: str | None,
    freeze_command: str | None,
    thaw_command: str | None,
) -> Volume:
    """A volume of the operator's project whose bytes stay where they are. Raises BadRequest.

    Also when the same bytes are registered by another name: each volume has a lock and commands of its own, and one's
    backup would thaw what the other's still reads.
    """
    if thaw_command is not None and freeze_command is None:
        raise BadRequest("--thaw-command", "is of no use without --freeze-command")
    for option, command in (("--freeze-command", freeze_command), ("--thaw-command", thaw_command)):
        if command is not None:
            _require_words(option, command)
    leads_there = cache(lambda other: is_same(Path(path), Path(other)))
    with service.database.read() as connection:
        known = volumes.registered_paths(connection)
    for other in known:
        leads_there(other)  # now: a network filesystem that does not answer must not hold up all writers
    with service.database.write() as connection:
        for other in volumes.registered_paths(connection):
            if leads_there(other):
                by_name = "" if other == path else f", as {other}"
                raise BadRequest("PATH", f"{path} is registered already{by_name}")
        new = NewVolume(size_gib=gib_ceil(size_bytes), name=name)
        made = insert_new_volume(service, connection, operator, new, VolumeStatus.AVAILABLE)
        volumes.update_volume(
            connection,
            made.id,
            now=service.clock(),
            kind=VolumeKind.REGISTERED,
            path=path,
            size_bytes=size_bytes,
            freeze_command=freeze_command,
            thaw_command=thaw_command,
        )
        registered = volumes.find_volume(connection, made.id, project_id=None)
    assert registered is not None
    return registered


def _require_words(option: str, command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadRequest(option, f"is no command: {error}") from error
    if not words:
        raise BadRequest(option, "is no command: it is empty")


def _take(service: Service, connection: sa.Connection, volume_id: str, status: VolumeStatus) -> Volume:
    """Lock an available volume of any project for a job."""
    volume = volumes.find_volume(connection, volume_id, project_id=None, for_update=True)
    if volume is None:
        raise VolumeNotFound(volume_id)
    if not volumes.begin_work(
        connection, volume_id, status=status, from_status=[VolumeStatus.AVAILABLE], now=service.clock()
    ):
        raise VolumeBusy(volume_id, volume.status, "available")
    return volume
