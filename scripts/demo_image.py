"""A real filesystem in a file, made from real files, changed like a disk in use, and compared byte by byte."""

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO

from demo_promise import Broken, expect

MIB = 1024 * 1024
GIB = 1024 * MIB
_PIECE_BYTES = 4 * MIB
_CHANGED_FILES = 20


def need(program: str) -> str:
    """The path of a program of e2fsprogs, which lies outside the PATH of ordinary users. Raises Broken."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Broken(f"{program} is missing (Debian: apt-get install e2fsprogs)")
    return found


def copy_files(source: Path, folder: Path, bytes_max: int) -> int:
    """Copy files from a folder until there are enough of them; give how many bytes that are."""
    copied = 0
    for path in sorted(source.rglob("*")):
        size = path.lstat().st_size
        if path.is_symlink() or not path.is_file() or copied + size > bytes_max:
            continue
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        copied += size
    return copied


def make_image(folder: Path, image: Path, size_bytes: int) -> None:
    """An ext4 filesystem that holds the folder's files; holes stay holes. Raises Broken."""
    with image.open("xb") as file:
        file.truncate(size_bytes)
    _run(need("mke2fs"), "-q", "-t", "ext4", "-L", "openvbs-demo", "-d", str(folder), str(image))


def change_image(image: Path, folder: Path, scratch: Path) -> tuple[int, int]:
    """Do what a day does to a disk: edit some files, delete some, add one. Gives (files, bytes written).

    ``folder`` is the tree that the image was made from. Raises Broken.
    """
    names = [path for path in sorted(folder.rglob("*.py")) if path.stat().st_size > 0][::50][:_CHANGED_FILES]
    commands = []
    written = 0
    for number, path in enumerate(names):
        inside = path.relative_to(folder)
        commands += [f"cd /{inside.parent}", f"rm {inside.name}"]
        if number % 4:
            edited = scratch / f"edited-{number}"
            edited.write_bytes(path.read_bytes() + b"\n# edited on tuesday\n")
            written += edited.stat().st_size
            commands.append(f"write {edited} {inside.name}")
    added = scratch / "added"
    added.write_bytes(os.urandom(MIB))
    commands += ["cd /", f"write {added} added-on-tuesday.bin"]
    script = scratch / "debugfs-commands"
    script.write_text("\n".join(commands) + "\n")
    _run(need("debugfs"), "-w", "-f", str(script), str(image))
    check_filesystem(image)
    return len(names) + 1, written + MIB


def check_filesystem(image: Path) -> None:
    """Raise Broken unless e2fsck finds nothing to say against the filesystem."""
    _run(need("e2fsck"), "-f", "-n", str(image))


def compare(expected: Path, found: Path) -> int:
    """Compare two files byte by byte and give how many there are. Raises Broken at the first difference."""
    size_bytes = expected.stat().st_size
    expect(found.stat().st_size == size_bytes, f"{found.name} has {found.stat().st_size} bytes, not {size_bytes}")
    with expected.open("rb") as left, found.open("rb") as right:
        for piece in sorted(_pieces_with_data(left) | _pieces_with_data(right)):
            offset = piece * _PIECE_BYTES
            same = os.pread(left.fileno(), _PIECE_BYTES, offset) == os.pread(right.fileno(), _PIECE_BYTES, offset)
            expect(same, f"{found.name} differs from {expected.name} between {offset} and {offset + _PIECE_BYTES}")
    return size_bytes


def _pieces_with_data(file: BinaryIO) -> set[int]:
    """Numbers of the pieces that are not a mere hole, which is zeros in both files."""
    pieces: set[int] = set()
    end = 0
    while True:
        try:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return pieces
            raise
        end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        pieces.update(range(start // _PIECE_BYTES, (end - 1) // _PIECE_BYTES + 1))


def bytes_used(path: Path) -> int:
    """Bytes that a file, or all files below a folder, occupy on disk; holes count nothing."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_blocks * 512 for file in files)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
