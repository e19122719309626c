"""The disk in a qcow2 image, through QEMU's own tools: qemu-nbd to read it, qemu-img to convert it."""

import re
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from openvbs.lifeline import tied
from openvbs.sources.base import SourceError
from openvbs.sources.nbd import NbdSource

PROGRAM = "qemu-img"
READER = "qemu-nbd"
PACKAGE = "qemu-utils"
MAGIC = b"QFI\xfb"
HEADER_BYTES = 104
_HEADER = struct.Struct(">4sIQIIQ")
"""Magic, version, offset and size of the backing file's name, cluster bits, size of the disk."""
_ENCRYPTION_OFFSET = 32
"""Where the method of encryption stands, a big-endian u32; 0 is none."""
_FEATURES_OFFSET = 72
_EXTERNAL_DATA = 1 << 2
_ONLY_LEAKS = 3
"""What ``qemu-img check`` says of an image that is whole but wastes space."""
_LOOK_SECONDS = 0.2
_OUTPUT_CHARACTERS_MAX = 300
_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")


class ProgramMissing(SourceError):
    """A tool of QEMU is not on this machine; the operator installs a package."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"qcow2 images need {program}; install the package that has it ({PACKAGE} on Debian and Ubuntu)"
        )


def open_qcow2(image: Path) -> NbdSource:
    """The disk in an image that nobody writes to, its zeros known without reading. SourceError for a damaged image.

    The image must hold all its bytes itself.
    """
    image = image.absolute()  # QEMU takes a name with a colon for a protocol, but not a path
    try:
        with image.open("rb") as file:
            disk_size_bytes(image, file.read(HEADER_BYTES))
    except OSError as error:
        raise SourceError(f"{image} cannot be read: {error.strerror}") from error
    _check(_program(PROGRAM), image)
    return NbdSource([_program(READER), "--read-only", "--format=qcow2", str(image)], shown=image)


def disk_size_bytes(image: Path, header: bytes) -> int:
    """The size of the disk. SourceError for an image that is damaged or whose bytes lie in other files too.

    Such an image would let whoever made it name any file of this machine to be read.
    """
    if not header.startswith(MAGIC):
        raise SourceError(f"{image} is not a qcow2 image")
    if len(header) < HEADER_BYTES:
        raise SourceError(f"{image} says that it is qcow2 but ends in its header")
    _magic, version, backing_offset, _backing_size, _cluster_bits, size_bytes = _HEADER.unpack_from(header)
    if version not in {2, 3} or size_bytes == 0:
        raise SourceError(f"{image} is a damaged qcow2 image: version {version}, a disk of {size_bytes} bytes")
    if any(header[_ENCRYPTION_OFFSET : _ENCRYPTION_OFFSET + 4]):
        raise SourceError(f"{image} is encrypted; decrypt it first with qemu-img convert, or back it up as raw bytes")
    features = int.from_bytes(header[_FEATURES_OFFSET : _FEATURES_OFFSET + 8], "big")
    if backing_offset or (version > 2 and features & _EXTERNAL_DATA):
        raise SourceError(
            f"{image} has a part of its bytes in another file; make it whole first: "
            f"qemu-img convert -O qcow2 {image} whole.qcow2"
        )
    return int(size_bytes)


def convert_to_raw(
    image: Path,
    target: int,
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> None:
    """Write the image's disk to an open, all-zero file that is large enough; its zeros stay holes. Not yet durable.

    The image must hold all its bytes itself. What the checkpoint raises ends the conversion and is passed on.
    """
    program = _program(PROGRAM)
    image = image.absolute()
    _check(program, image)
    command = [program, "convert", "-p", "-n", "--target-is-zero", "-f", "qcow2", "-O", "raw"]
    size_bytes = image.stat().st_size
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            # It holds the target's lock as long as it lives: left alone it would keep a draft from being swept.
            tied([*command, str(image), f"/proc/self/fd/{target}"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=(target,),
        ) as process,
    ):
        percent = _Percent(process)
        try:
            while percent.thread.is_alive():
                percent.thread.join(_LOOK_SECONDS)
                checkpoint()
                on_progress(int(size_bytes * percent.value / 100), size_bytes)
        except BaseException:
            process.kill()
            percent.thread.join()
            raise
        if process.wait() != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-_OUTPUT_CHARACTERS_MAX:]
            raise SourceError(f"{PROGRAM} cannot convert {image}: {said}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ProgramMissing(name)
    return found


def _check(program: str, image: Path) -> None:
    """Refuse a damaged image: what is missing at its end would silently become zeros."""
    done = subprocess.run(
        tied([program, "check", "-f", "qcow2", str(image)]), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode not in {0, _ONLY_LEAKS}:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-_OUTPUT_CHARACTERS_MAX:]
        raise SourceError(f"{image} is a damaged qcow2 image: {said}")


class _Percent:
    """Reads how far a running qemu-img says it is."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.value = 0.0
        self._process = process
        self.thread = threading.Thread(target=self._read, name=PROGRAM, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while said := self._process.stdout.read1(4096):  # type: ignore[attr-defined]
            found = _PERCENT.findall(said)
            if found:
                self.value = float(found[-1])
