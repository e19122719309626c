"""The data: a disk image of this machine's files, incompressible data and holes, and a changed version of it."""

import os
import random
import shutil
import subprocess
from pathlib import Path

from openvbs.units import KIB, MIB

PAGE_BYTES = 4 * KIB
CHANGED_SHARE = 0.01
SOURCES = ("/usr/lib", "/usr/share", "/usr/bin")
_TOOL_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def tool(*command: object) -> None:
    """Run a program, also one of /sbin; CalledProcessError with its words when it fails."""
    subprocess.run(
        [str(word) for word in command],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": _TOOL_PATH},
    )


def make_image(path: Path, size_bytes: int, *, seed: int) -> None:
    """An ext4 image, about 60% files of this machine, 10% random data, the rest holes."""
    tree = path.with_suffix(".tree")
    tree.mkdir()
    try:
        _copy_files(tree, int(size_bytes * 0.6))
        chooser = random.Random(seed)
        with (tree / "incompressible").open("wb") as file:
            for _ in range(size_bytes // 10 // MIB):
                file.write(chooser.randbytes(MIB))
        tool("mke2fs", "-q", "-t", "ext4", "-d", tree, path, f"{size_bytes // KIB}k")
    finally:
        shutil.rmtree(tree)


def _copy_files(tree: Path, bytes_wanted: int) -> None:
    copied = 0
    for source in SOURCES:
        for folder, _, names in os.walk(source):
            target = tree / folder.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            for name in names:
                file = Path(folder, name)
                if file.is_symlink() or not file.is_file():
                    continue
                shutil.copyfile(file, target / name)
                copied += file.stat().st_size
                if copied >= bytes_wanted:
                    return


def make_changed(original: Path, changed: Path, *, seed: int) -> None:
    """A copy in which 1% of the pages that hold data are rewritten, and some files are added and one is deleted."""
    tool("cp", "--sparse=always", "--reflink=never", original, changed)
    chooser = random.Random(seed)
    with changed.open("r+b") as file:
        for page in data_pages(changed):
            if chooser.random() < CHANGED_SHARE:
                file.seek(page * PAGE_BYTES)
                file.write(chooser.randbytes(PAGE_BYTES))
    for number in range(10):
        tool("debugfs", "-w", "-R", f"write {__file__} added-{number}", changed)
    tool("debugfs", "-w", "-R", "rm incompressible", changed)


def data_pages(path: Path) -> list[int]:
    """Numbers of the pages that are not in holes."""
    pages: list[int] = []
    descriptor = os.open(path, os.O_RDONLY)
    try:
        position, end = 0, os.fstat(descriptor).st_size
        while position < end:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            pages.extend(range(start // PAGE_BYTES, position // PAGE_BYTES))
    finally:
        os.close(descriptor)
    return pages
