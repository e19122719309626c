"""What is measured: ours, restic, borg and cp, each as a whole process that leaves its data durable."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ANONYMOUS_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Measured:
    """One finished process."""

    seconds: float
    anonymous_bytes_max: int
    output: str


def measure(command: list[object], *, durable: Path, environment: dict[str, str] | None = None) -> Measured:
    """Run a command and flush the filesystem of ``durable``; RuntimeError with its words when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    most = 0
    while process.poll() is None:
        most = max(most, _anonymous_bytes(process.pid))
        time.sleep(ANONYMOUS_LOOK_SECONDS)
    output = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}: {output}")
    subprocess.run(["sync", "-f", str(durable)], check=True)
    return Measured(time.perf_counter() - started, most, output)


def _anonymous_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # Shared memory cannot be dropped either; pages of files can.
    found = [line for line in status.splitlines() if line.startswith(("RssAnon", "RssShmem"))]
    return sum(int(line.split()[1]) * 1024 for line in found)


def stored_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Ours:
    """A fresh repository of ``openvbs repo``."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.folder, self.store, self.key = folder, folder / "store", folder / "key"
        self._run("init", self.store)

    def _run(self, verb: str, *arguments: object) -> Measured:
        command = [sys.executable, "-m", "openvbs.cli.main", "repo", verb, *arguments, "--key-file", self.key]
        return measure(command, durable=self.folder)

    def back_up(self, image: Path) -> tuple[Measured, str]:
        done = self._run("backup", self.store, image, "--json")
        document = json.loads(done.output[done.output.index("{") :])
        return done, str(document["backup_id"])

    def restore(self, backup_id: str, target: Path) -> Measured:
        return self._run("restore", self.store, backup_id, target)


def in_a_worker(*arguments: object, durable: Path) -> dict[str, float]:
    """What ``bench.worker`` prints."""
    done = measure([sys.executable, "-m", "bench.worker", *arguments], durable=durable)
    figures: dict[str, float] = json.loads(done.output)
    return figures


class Restic:
    """A fresh restic repository with default settings."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.folder, self.store = folder, folder / "store"
        self.environment = {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(folder / "cache")}
        self._run("init")

    def _run(self, *arguments: object) -> Measured:
        command = ["restic", "--repo", self.store, *arguments]
        return measure(list(command), durable=self.folder, environment=self.environment)

    def back_up(self, image: Path) -> Measured:
        return self._run("backup", "--force", image)

    def restore(self, image: Path, folder: Path) -> Measured:
        shutil.rmtree(folder, ignore_errors=True)
        return self._run("restore", "latest", "--target", folder, "--include", image)


class Borg:
    """A fresh borg repository with default settings, encrypted."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.folder, self.store, self.made = folder, folder / "store", 0
        self.environment = {"BORG_PASSPHRASE": "bench", "BORG_BASE_DIR": str(folder / "base")}
        measure(["borg", "init", "-e", "repokey", self.store], durable=folder, environment=self.environment)

    def back_up(self, image: Path) -> Measured:
        self.made += 1
        command = ["borg", "create", "--files-cache=disabled", f"{self.store}::a{self.made}", image]
        return measure(list(command), durable=self.folder, environment=self.environment)


def copy(image: Path, target: Path) -> Measured:
    """``cp``, the disk's own speed."""
    target.unlink(missing_ok=True)
    command = ["cp", "--sparse=always", "--reflink=never", image, target]
    return measure(list(command), durable=target.parent)
