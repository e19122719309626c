"""A data directory with a database, a store and a worker, but no API: jobs are asked for through the actions."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from openvbs.actions.backups import create_backup
from openvbs.actions.service import Service
from openvbs.actions.volumes import create_volume
from openvbs.auth.caller import Caller
from openvbs.auth.permissions import Permissions
from openvbs.db import backups, jobs, migrate, volumes
from openvbs.db.session import Database
from openvbs.domain.backup import Backup, NewBackup
from openvbs.domain.job import ENDED, Job
from openvbs.domain.volume import NewVolume, Volume, VolumeKind, VolumeStatus
from openvbs.engine.keys import create_root_key, load_root_key
from openvbs.jobs.notifications import Notifications
from openvbs.jobs.parts import Parts
from openvbs.jobs.queue import JobQueue, prepare_queue
from openvbs.jobs.repositories import Repositories
from openvbs.jobs.scheduler import Scheduler
from openvbs.jobs.worker import Worker
from openvbs.stores.base import Store
from openvbs.stores.local import LocalStore
from openvbs.units import MIB, gib_ceil
from openvbs.volumes.files import VolumeFiles
from openvbs.volumes.reserve import Reserve
from tests.support.actions import caller
from tests.support.waiting import until

JOBS_AT_ONCE = 4


class Site:
    """Everything but the API, in one directory."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.directory = directory
        self.database_url = database_url
        migrate.upgrade(database_url)
        prepare_queue(database_url)
        self.database = Database(database_url)
        self.queue = JobQueue(self.database)
        self.service = Service(database=self.database, queue=self.queue, permissions=Permissions())
        self.files = VolumeFiles(directory)
        self.files.prepare()
        self.store: Store = LocalStore(directory / "store")
        create_root_key(directory / "root.key")

    def close(self) -> None:
        self.queue.close()
        self.database.close()

    def parts(self, store: Store | None = None, **values: object) -> Parts:
        repositories = Repositories(
            self.database,
            store or self.store,
            lambda: load_root_key(self.directory / "root.key"),
            cache=self.directory / "cache",
        )
        return Parts(
            database=self.database,
            queue=self.queue,
            files=self.files,
            reserve=Reserve(self.directory / "reserve"),
            repositories=repositories,
            **values,
        )

    @contextmanager
    def worker(
        self,
        store: Store | None = None,
        *,
        jobs_at_once: int = JOBS_AT_ONCE,
        notify_file: Path | None = None,
        **values: object,
    ) -> Iterator[Parts]:
        """A worker in threads of this process; its jobs are parked at the end."""
        parts = self.parts(store, **values)
        stop, ready = threading.Event(), threading.Event()
        worker = Worker(
            parts,
            Scheduler(self.service),
            Notifications(self.database, notify_file),
            directory=self.directory / "workers",
            jobs_at_once=jobs_at_once,
        )
        thread = threading.Thread(target=worker.run, kwargs={"on_ready": ready.set, "stop_event": stop})
        thread.start()
        until(lambda: ready.is_set() or not thread.is_alive(), what="the worker is ready")
        try:
            yield parts
        finally:
            stop.set()
            thread.join()

    def job(self, job_id: str) -> Job:
        with self.database.read() as connection:
            job = jobs.find(connection, job_id, project_id=None)
        assert job is not None
        return job

    def ended(self, job: Job) -> Job:
        """The job once it has ended."""
        return until(lambda: j if (j := self.job(job.id)).status in ENDED else None, what=f"{job.kind} ends")

    def succeeded(self, job: Job) -> Job:
        ended = self.ended(job)
        assert (ended.status, ended.fail_reason, ended.error_code) == ("SUCCESS", None, None)
        assert ended.bytes_done == ended.bytes_total
        return ended

    def failed(self, job: Job) -> Job:
        ended = self.ended(job)
        assert ended.status == "FAIL"
        assert ended.error_code
        assert ended.fail_reason
        return ended

    def volume(self, volume_id: str) -> Volume:
        with self.database.read() as connection:
            volume = volumes.find_volume(connection, volume_id, project_id=None)
        assert volume is not None
        return volume

    def backup(self, backup_id: str) -> Backup | None:
        with self.database.read() as connection:
            return backups.find(connection, backup_id, viewer_project_id="nobody", owner_project_id=None)

    def new_volume(self, who: Caller | None = None, *, data_bytes: int = 5 * MIB, **wanted: object) -> Volume:
        """A volume of a running worker with random bytes here and there."""
        new = NewVolume(**{"size_gib": 1, "name": "disk", **wanted})
        volume, job = create_volume(self.service, who or caller("alpha"), new)
        self.succeeded(job)
        self.write_random(volume.id, data_bytes)
        return self.volume(volume.id)

    def new_backup(self) -> Backup:
        """An available backup of alpha's, of a small new volume; a worker runs."""
        new = NewBackup(volume_id=self.new_volume(data_bytes=MIB).id, name="b")
        backup, job = create_backup(self.service, caller("alpha"), new)
        self.succeeded(job)
        return backup

    def register(
        self, path: Path, *, freeze_command: str | None, thaw_command: str | None, project_id: str = "alpha"
    ) -> Volume:
        """A file or device of the operator's."""
        now = self.service.clock()
        size_bytes = path.stat().st_size
        volume = Volume(
            id=self.service.make_id(),
            project_id=project_id,
            user_id="operator",
            name="device",
            description=None,
            size_gib=gib_ceil(size_bytes),
            size_bytes=size_bytes,
            status=VolumeStatus.AVAILABLE,
            kind=VolumeKind.REGISTERED,
            path=str(path),
            freeze_command=freeze_command,
            thaw_command=thaw_command,
            bootable=False,
            volume_type=None,
            availability_zone="nova",
            snapshot_id=None,
            source_volid=None,
            created_at=now,
            updated_at=now,
        )
        with self.database.write() as connection:
            volumes.insert_volume(connection, volume)
        return volume

    def write_random(self, volume_id: str, data_bytes: int, *, offset: int = 3 * MIB) -> None:
        with self.files.volume(volume_id).open("r+b") as file:
            file.write(os.urandom(min(MIB, data_bytes)))
            for start in range(0, data_bytes, MIB):
                file.seek(offset + start)
                file.write(os.urandom(MIB))

    def content(self, volume_id: str) -> "Content":
        return Content(self.files.volume(volume_id))


class Content:
    """The bytes of a sparse file, to be compared without reading its holes."""

    def __init__(self, path: Path) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        with path.open("rb") as file:
            self.size = file.seek(0, os.SEEK_END)
            position = 0
            while position < self.size:
                try:
                    position = os.lseek(file.fileno(), position, os.SEEK_DATA)
                except OSError:
                    break
                end = os.lseek(file.fileno(), position, os.SEEK_HOLE)
                while position < end:
                    stop = min(end, (position // MIB + 1) * MIB)
                    if any(data := os.pread(file.fileno(), stop - position, position)):
                        self.pieces.append((position, data.rstrip(b"\0")))
                    position = stop

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and (self.size, self.pieces) == (other.size, other.pieces)

    def __hash__(self) -> int:
        return hash(self.size)


class WorkerProcess:
    """``openvbs worker`` of its own, as an operator starts it."""

    def __init__(self, site: Site) -> None:
        config = site.directory / "worker.conf"
        config.write_text(
            f"[DEFAULT]\ndata_dir = {site.directory}\n[database]\nconnection = {site.database_url}\n"
            f"[worker]\njobs_at_once = {JOBS_AT_ONCE}\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "openvbs.cli.main", "worker", "--config-file", str(config)],
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        """End it as an operator does."""
        self.process.terminate()
        assert self.process.wait() == 0

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self.process.kill()
        self.process.wait()

    def hold(self) -> None:
        """Hold it still, as a machine that hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def let_go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
