"""How long work tells how far it is, and how it is told to stop."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes of the volume dealt with so far, of all its bytes; never goes back."""

    bytes_done: int
    bytes_total: int


OnProgress = Callable[[Progress], None]
"""Called from the caller's own thread, a few times a second."""

Checkpoint = Callable[[], None]
"""Called from the caller's own thread at least twice a second. What it raises stops the work and is passed on."""


def ignore_progress(_progress: Progress) -> None:
    """For callers that do not watch."""


def never_stop() -> None:
    """For callers that never cancel."""
