"""Standard output and standard error, whatever the caller made of them."""

import io
import os
import sys
from typing import TextIO


def settle_streams() -> None:
    """Both are there, and take any text: what their encoding does not have is escaped. Called before anything else."""
    # One that was closed would be taken by the next file that is opened, and then be printed to.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_unwritten() -> OSError | None:
    """Drop what standard output does not take, or Python would try again at its end; gives why it was not taken."""
    try:
        sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return error
    return None


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
