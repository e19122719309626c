"""The only place that reads the wall clock, so that tests and rules can be given another."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment, aware, in UTC."""


def utc_now() -> datetime:
    """The present moment in UTC, with microseconds."""
    return datetime.now(UTC)


def monotonic_seconds() -> float:
    """Seconds since some fixed moment; never goes back. For durations, never for timestamps."""
    return time.monotonic()
