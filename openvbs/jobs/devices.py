"""Volumes as bytes: where one lies, and making a registered one stand still while it is read."""

import logging
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from openvbs.db import volumes
from openvbs.db.session import Database
from openvbs.domain.job import Job
from openvbs.domain.volume import Volume, VolumeKind
from openvbs.jobs.failures import FREEZE_FAILED, SOURCE_GONE, JobFailed
from openvbs.lifeline import tied
from openvbs.volumes.files import VolumeFiles

log = logging.getLogger(__name__)

COMMAND_SECONDS_MAX = 120
_OUTPUT_CHARACTERS_MAX = 300


def find_volume(connection: sa.Connection, volume_id: str | None) -> Volume:
    """The volume's record, whoever owns it, or JobFailed."""
    volume = None if volume_id is None else volumes.find_volume(connection, volume_id, project_id=None)
    if volume is None:
        raise JobFailed(f"Volume {volume_id} is no longer there.", error_code=SOURCE_GONE)
    return volume


def path_of(files: VolumeFiles, volume: Volume) -> Path:
    """Where the volume's bytes lie."""
    if volume.kind == VolumeKind.REGISTERED:
        assert volume.path is not None
        return Path(volume.path)
    return files.volume(volume.id)


@contextmanager
def standing_still(volume: Volume) -> Iterator[bool]:
    """Run the operator's freeze command before and the thaw command after, whatever happens between.

    Gives whether the bytes stand still: always for local volumes, which only we write, and for a registered one if
    there is a freeze command. A crash inside leaves the device frozen, also when all has been read: each step that does
    this begins with ``thaw_after_lost_attempts``.
    """
    if volume.kind != VolumeKind.REGISTERED:
        yield True
        return
    if volume.freeze_command is None:
        log.warning("volume %s has no freeze command; what is read may change while it is read", volume.id)
        yield False
        return
    try:
        _run(volume.freeze_command, volume)
        yield True
    finally:
        if volume.thaw_command is not None:
            _run(volume.thaw_command, volume)


def thaw_after_lost_attempts(database: Database, job: Job, volume_id: str | None) -> None:
    """What a killed attempt froze, nobody has thawed. On a device that is not frozen the command may well fail."""
    if job.attempt == 1 or volume_id is None:
        return
    with database.read() as connection:
        volume = volumes.find_volume(connection, volume_id, project_id=None)
    if volume is None or volume.kind != VolumeKind.REGISTERED or volume.thaw_command is None:
        return
    try:
        _run(volume.thaw_command, volume)
    except JobFailed as error:
        log.info("thawing volume %s in case it was left frozen: %s", volume.id, error)


def _run(command: str, volume: Volume) -> None:
    """Run it to its end. It dies with this process: a freeze that went on could come after the next attempt's thaw."""
    try:
        done = subprocess.run(
            tied(shlex.split(command)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise JobFailed(f"Command {command!r} of volume {volume.id}: {error}", error_code=FREEZE_FAILED) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-_OUTPUT_CHARACTERS_MAX:]
        raise JobFailed(
            f"Command {command!r} of volume {volume.id} ended with exit code {done.returncode}: {said}",
            error_code=FREEZE_FAILED,
        )
