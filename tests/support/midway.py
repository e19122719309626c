"""Jobs caught in the middle of their work."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from tests.support.parties import Party
from tests.support.steps import ended, job
from tests.support.waiting import until

ATTEMPTS_MAX = 10


@contextlib.contextmanager
def held_midway(
    owner: Party, begin: Callable[[], str], worker_stopped: Callable[[], AbstractContextManager[None]]
) -> Iterator[str]:
    """Begin a job and hold the worker still while it is RUNNING; yields its id. Too quick a job is begun again."""
    for _ in range(ATTEMPTS_MAX):
        job_id = begin()
        until(partial(_begun, owner, job_id), what=f"begin of job {job_id}")
        with worker_stopped():
            if job(owner, job_id)["status"] == "RUNNING":
                yield job_id
                return
        ended(owner, job_id)
    raise AssertionError(f"no job could be caught in the middle in {ATTEMPTS_MAX} attempts")


def _begun(owner: Party, job_id: str) -> bool:
    return bool(job(owner, job_id)["status"] != "INIT")
