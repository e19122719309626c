"""How a process lives and dies with the one that started it."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

_PR_SET_PDEATHSIG = 1
_NOT_STARTED = 127
"""The exit code that shells give, too."""


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


def tied(command: Sequence[str]) -> list[str]:
    """The command, to be started so that the kernel kills it when the thread that starts it ends, however it ends.

    That thread must wait for it. What the command starts itself is not tied, nor is a program that gets the rights of
    another user (sudo). One that cannot be run ends with 127 and says why on standard error.
    """
    # Python once more, which becomes the command: code between fork and exec is not safe in a process with threads.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent_pid: int, command: list[str]) -> None:
    die_with_parent(parent_pid)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and the command would inherit that
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        raise SystemExit(_NOT_STARTED) from error


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


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
