"""Volume bytes: what a backup reads and what a restore writes. Knows nothing of blocks, packs or HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from openvbs.errors import OpenVbsError


class SourceError(OpenVbsError):
    """A volume could not be read or written; says where."""


class TargetTooSmall(SourceError):
    """The target holds fewer bytes than the backup."""


class ExtentKind(Enum):
    """What an extent holds: bytes to read, zeros (also holes), or the same bytes as the parent backup.

    SAME is a hint of a source that was opened against the state that the parent backup was made of; HintedSource makes
    one of a list of changes. Who opens it names that parent to the engine, which checks a sample of what is SAME.
    """

    DATA = "data"
    ZERO = "zero"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Extent:
    """A byte range of a volume, never empty."""

    offset_bytes: int
    length_bytes: int
    kind: ExtentKind


class Source(Protocol):
    """A frozen volume: its bytes do not change while it is open. Threads may read at once."""

    size_bytes: int

    def extents(self) -> Iterator[Extent]:
        """Extents that cover the volume from 0 to size_bytes, in order, without gap or overlap."""

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill the whole buffer with the volume's bytes from offset_bytes on, or raise SourceError."""

    def close(self) -> None:
        """Give the source back."""


class Target(Protocol):
    """A volume to write to. Threads may call at once for ranges that do not overlap."""

    size_bytes: int
    is_blank: bool
    """True if every byte is known to be zero (a file just made), so zeros need no writing."""

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill the buffer with what the target holds now; used to skip blocks that are already right."""

    def write(self, offset_bytes: int, data: bytes | memoryview) -> None:
        """Write all of data."""

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        """Make the range read as zeros, as a hole where the medium can."""

    def flush(self) -> None:
        """Make everything written durable."""

    def close(self) -> None:
        """Give the target back."""
