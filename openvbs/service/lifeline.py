"""How a process lives and dies with the one that started it."""

import ctypes
import os
import signal
import threading
from types import FrameType

_PR_SET_PDEATHSIG = 1


class ParentGone(Exception):
    """The parent died before we could ask to die with it."""


def die_with_parent(parent_pid: int) -> None:
    """From now on the kernel kills this process when ``parent_pid`` ends, however it ends.

    Called first thing by the child itself. Raises ParentGone when the parent had ended before, OSError off Linux.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent_pid:
        raise ParentGone(f"process {parent_pid} has ended")


def let_signals_through() -> None:
    """Undo what we inherit from the supervisor, which holds its signals back and waits for them."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def stop_event() -> threading.Event:
    """An event that SIGTERM or SIGINT sets. Called once, in the main thread.

    The handler only writes to a pipe: setting the event there could wait for ever for a lock that the interrupted
    main thread holds while it waits for that very event.
    """
    stopping = threading.Event()
    readable, writable = os.pipe2(os.O_CLOEXEC)

    def wake(_number: int, _frame: FrameType | None) -> None:
        os.write(writable, b"x")

    def wait() -> None:
        os.read(readable, 1)
        stopping.set()

    threading.Thread(target=wait, name="stop", daemon=True).start()
    signal.signal(signal.SIGTERM, wake)
    signal.signal(signal.SIGINT, wake)
    return stopping
