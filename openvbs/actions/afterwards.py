"""Work that no caller waits for, in one thread behind the requests."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from openvbs.actions.service import Work

log = logging.getLogger(__name__)


class Afterwards:
    """What is given is done in order, by one thread, which a clean end of the process waits for."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="afterwards")

    def do(self, work: Work) -> None:
        """Do it soon. A bug in it goes to the log: nobody is there to be told."""
        self._pool.submit(work).add_done_callback(_tell)


def _tell(done: "Future[None]") -> None:
    error = done.exception()
    if error is not None:
        log.error("work behind a request failed", exc_info=error)
