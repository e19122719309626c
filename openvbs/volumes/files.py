"""The files of local volumes and snapshots, named by id below the data directory. Knows no records."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from openvbs.files import sweep_drafts, sync_folder
from openvbs.sources.base import SourceError
from openvbs.sources.qcow2 import convert_to_raw
from openvbs.units import gib_ceil
from openvbs.volumes.copy import TEMPORARY_PREFIX, CannotClone, Watch, clone_file, copy_file, replacing

_BLOCK_BYTES = 512  # of st_blocks


@dataclass(frozen=True, slots=True)
class Base:
    """What a volume held when a backup was made of it: a clone that nobody writes to."""

    backup_id: str
    path: Path


@dataclass(frozen=True, slots=True)
class VolumeFiles:
    """Volumes and snapshots as private sparse files. What a method made is durable when it returns.

    Every method may be repeated after a crash. A frozen file is a clone that one job reads, named by the job.
    """

    directory: Path

    def prepare(self) -> None:
        """Make the folders and remove what crashed writers left half made."""
        for folder in (self.directory, *self._folders()):
            folder.mkdir(mode=0o700, exist_ok=True, parents=True)
        for folder in self._folders():
            sweep_drafts(folder, TEMPORARY_PREFIX)

    def volume(self, volume_id: str) -> Path:
        return self.directory / "volumes" / volume_id

    def snapshot(self, snapshot_id: str) -> Path:
        return self.directory / "snapshots" / snapshot_id

    def frozen(self, job_id: str) -> Path:
        return self.directory / "frozen" / job_id

    def create_volume(self, volume_id: str, size_bytes: int) -> None:
        """An all-zero volume that takes no space. One that is already there is left alone."""
        path = self.volume(volume_id)
        if not path.exists():
            with replacing(path) as descriptor:
                os.ftruncate(descriptor, size_bytes)

    def is_hole(self, volume_id: str) -> bool:
        """True if no byte was ever written to the volume's file, so that all of it is zeros."""
        return self.volume(volume_id).stat().st_blocks == 0

    def copy_to_volume(self, source: Path, volume_id: str, *, size_bytes: int, watch: Watch) -> None:
        """The volume's bytes become those of source, then zeros up to size_bytes; at once, or not at all."""
        copy_file(source, self.volume(volume_id), size_bytes=size_bytes, watch=watch)

    def convert_to_volume(self, image: Path, volume_id: str, *, size_bytes: int, watch: Watch) -> None:
        """The volume's bytes become those of the disk in a qcow2 image, then zeros; at once, or not at all."""
        with replacing(self.volume(volume_id)) as descriptor:
            os.ftruncate(descriptor, size_bytes)
            convert_to_raw(image, descriptor, on_progress=watch.on_progress, checkpoint=watch.checkpoint)

    def copy_to_snapshot(self, source: Path, snapshot_id: str, watch: Watch) -> None:
        """The snapshot is a copy of a volume's file or device as it is now."""
        copy_file(source, self.snapshot(snapshot_id), watch=watch)

    def extend_volume(self, volume_id: str, size_bytes: int) -> None:
        """Add zeros at the end. SourceError says why not; one that is longer already is left as it is."""
        try:
            descriptor = os.open(self.volume(volume_id), os.O_RDWR | os.O_CLOEXEC)
            try:
                present_bytes = os.fstat(descriptor).st_size
                if present_bytes < size_bytes:
                    os.ftruncate(descriptor, size_bytes)
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SourceError(f"volume {volume_id} cannot be extended: {error.strerror}") from error
        if present_bytes > size_bytes:
            longer = f"an earlier extension, which was broken off, made volume {volume_id} longer than that"
            raise SourceError(f"{longer}: ask for {gib_ceil(present_bytes)} GiB at least")

    def is_of_size(self, volume_id: str, size_bytes: int) -> bool:
        """Whether the volume's file is there and has this size."""
        path = self.volume(volume_id)
        return path.exists() and path.stat().st_size == size_bytes

    def freeze_volume(self, volume_id: str, job_id: str) -> bool:
        """Clone the volume for one job, in no time. False, and nothing made, where the filesystem cannot."""
        try:
            clone_file(self.volume(volume_id), self.frozen(job_id))
        except CannotClone:
            return False
        return True

    def keep_base(self, source: Path, volume_id: str, backup_id: str) -> bool:
        """Keep a clone of what the backup was made of, instead of an earlier one, to tell later what changed since.

        False, and nothing kept, where the filesystem cannot, or has no room for the volume once more: the clone holds
        on to everything that is overwritten in the volume from now on.
        """
        others = self._bases(volume_id)
        if source.stat().st_blocks * _BLOCK_BYTES > self.free_bytes():
            self.drop_base(volume_id)
            return False
        base = self._base(volume_id, backup_id)
        try:
            clone_file(source, base)
        except CannotClone:
            return False
        for other in others:
            if other != base:
                _remove(other)
        return True

    def base(self, volume_id: str) -> Base | None:
        """The clone that was kept; None if there is none."""
        bases = self._bases(volume_id)
        return Base(bases[-1].name.partition(".")[2], bases[-1]) if bases else None

    def drop_base(self, volume_id: str) -> None:
        """Give its space back; without one the next backup reads the whole volume."""
        for base in self._bases(volume_id):
            _remove(base)

    def drop_bases_of(self, backup_ids: Collection[str]) -> None:
        """Give back the space of bases whose backups go, and with it the use of the bases."""
        for base in self._bases():
            if base.name.partition(".")[2] in backup_ids:
                _remove(base)

    def drop_bases(self) -> None:
        """Give back the space of the bases of all volumes."""
        for base in self._bases():
            _remove(base)

    def delete_volume(self, volume_id: str) -> None:
        """Remove the volume's file and its base; absent ones are no error."""
        self.drop_base(volume_id)
        _remove(self.volume(volume_id))

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove the snapshot's file; an absent one is no error."""
        _remove(self.snapshot(snapshot_id))

    def thaw(self, job_id: str) -> None:
        """Remove the clone that freeze_volume made for the job; an absent one is no error."""
        _remove(self.frozen(job_id))

    def frozen_jobs(self) -> list[str]:
        """The jobs that have a clone."""
        return sorted(path.name for path in (self.directory / "frozen").iterdir() if not path.name.startswith("."))

    def free_bytes(self) -> int:
        """What the filesystem has left for us."""
        status = os.statvfs(self.directory)
        return status.f_bavail * status.f_frsize

    def _base(self, volume_id: str, backup_id: str) -> Path:
        return self.directory / "bases" / f"{volume_id}.{backup_id}"

    def _bases(self, volume_id: str = "*") -> list[Path]:
        """One of a volume; two after a crash between keeping the later and removing the earlier: each is true."""
        return sorted((self.directory / "bases").glob(f"{volume_id}.*"))

    def _folders(self) -> tuple[Path, ...]:
        return tuple(self.directory / name for name in ("volumes", "snapshots", "frozen", "bases"))


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)
