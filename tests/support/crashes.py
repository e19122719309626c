"""Processes that end at once, as by a kill, at a moment that the test chooses."""

import os
import sys
import traceback
from collections.abc import Callable

# What Python tells of when files are opened, named or removed; flushing and writing lie between these.
_FILE_EVENTS = {"open", "os.link", "os.rename", "os.remove", "os.mkdir"}
_CRASHED, _RAISED = 77, 1


def crashes_at(n: int, work: Callable[[], object]) -> bool:
    """Run work in a process of its own that ends just before its n-th touch of a file; False if it made fewer."""
    child = os.fork()
    if child == 0:
        code = _RAISED
        try:
            _end_at(n)
            work()
            code = 0
        except Exception:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, _CRASHED}, code
    return code == _CRASHED


def _end_at(n: int) -> None:
    left = n

    def on_event(event: str, _arguments: object) -> None:
        nonlocal left
        if event in _FILE_EVENTS:
            if left == 0:
                os._exit(_CRASHED)
            left -= 1

    sys.addaudithook(on_event)
