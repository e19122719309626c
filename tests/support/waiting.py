"""Waiting for something that happens in another process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.03


def until(ask: Callable[[], T | None], *, what: str, seconds_max: float = 60) -> T:
    """Ask again and again until the answer is true; AssertionError naming ``what`` when that takes too long."""
    deadline = time.monotonic() + seconds_max
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {seconds_max} s in vain for: {what}"
        time.sleep(POLL_SECONDS)
