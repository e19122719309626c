"""The disk in a qcow2 image, through Debian's qemu-img."""

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from openvbs.sources.base import SourceError

PROGRAM = "qemu-img"
PACKAGE = "qemu-utils"
_ONLY_LEAKS = 3
"""What ``qemu-img check`` says of an image that is whole but wastes space."""
_LOOK_SECONDS = 0.2
_OUTPUT_CHARACTERS_MAX = 300
_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")


class ProgramMissing(SourceError):
    """qemu-img is not on this machine; the operator installs a package."""

    def __init__(self) -> None:
        super().__init__(
            f"qcow2 images need {PROGRAM}; install the package that has it ({PACKAGE} on Debian and Ubuntu)"
        )


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
    program = shutil.which(PROGRAM)
    if program is None:
        raise ProgramMissing
    _check(program, image)
    command = [program, "convert", "-p", "-n", "--target-is-zero", "-f", "qcow2", "-O", "raw"]
    size_bytes = image.stat().st_size
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [*command, str(image), f"/proc/self/fd/{target}"],
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


def _check(program: str, image: Path) -> None:
    """Refuse a damaged image: what is missing at its end would silently become zeros."""
    done = subprocess.run(
        [program, "check", "-f", "qcow2", str(image)], stdin=subprocess.DEVNULL, capture_output=True, check=False
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
