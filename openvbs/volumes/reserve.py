"""Space that is set aside, so that a full disk can still be told of: the database needs some to note a failure."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from openvbs.units import MIB

log = logging.getLogger(__name__)

RESERVE_BYTES = 32 * MIB


@dataclass(frozen=True, slots=True)
class Reserve:
    """A file that takes space and holds nothing. Processes may share it."""

    path: Path

    def keep(self) -> None:
        """Set the space aside if it is not, and if there is plenty left; else nothing is done."""
        if self._is_whole():
            return
        status = os.statvfs(self.path.parent)
        if status.f_bavail * status.f_frsize < 2 * RESERVE_BYTES:
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except OSError as error:
            log.warning("no space could be set aside at %s: %s", self.path, error)
            self.release()
        finally:
            os.close(descriptor)

    def _is_whole(self) -> bool:
        """A kill between the making of the file and the end of its growth leaves a smaller one."""
        try:
            return self.path.stat().st_size >= RESERVE_BYTES
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the space to whoever needs it now."""
        self.path.unlink(missing_ok=True)
