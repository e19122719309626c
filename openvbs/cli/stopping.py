"""An end from outside, by SIGTERM or SIGHUP, lets a command clean up behind itself as Ctrl-C does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While the context lasts, the first of these signals ends the command with exit code 128 + its number.

    SIGHUP stays ignored where it is, as under nohup. Called in the main thread.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        # What ends a session sends both, and the second must not interrupt what cleans up after the first.
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
