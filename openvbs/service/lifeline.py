"""How a process lives and dies with the one that started it."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


class ParentGone(Exception):
    """The parent died before we could ask to die with it."""


def die_with_parent(parent_pid: int) -> None:
    """From now on the kernel kills this process when ``parent_pid`` ends, however it ends.

    Called first thing by the child itself. Raises ParentGone when the parent had ended before. On Linux only; elsewhere
    a child notices nothing and must be stopped by hand.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent_pid:
        raise ParentGone(f"process {parent_pid} has ended")
