"""One attempt at one job: its steps, its progress, and how it learns that it must stop."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from openvbs.clock import monotonic_seconds
from openvbs.db import jobs
from openvbs.db.session import DatabaseUnavailable
from openvbs.domain.job import ENDED, Job, JobStatus
from openvbs.errors import OpenVbsError
from openvbs.jobs.ends import record_end
from openvbs.jobs.failures import Cancelled, Failure, failure_of
from openvbs.jobs.parts import Parts
from openvbs.metrics import STORE_ERRORS
from openvbs.stores.base import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.4
"""How often a running step reports its progress and looks whether it was cancelled."""
DATABASE_SILENT_SECONDS_MAX = 30.0
DATABASE_RETRY_SECONDS = 1.0
PARKED = "parked"

Recorder = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]
"""Runs a step once and keeps its outcome: the next attempt is given that and does not run it again."""


class MustPark(OpenVbsError):
    """The process wants to end, or another worker has taken the job over: stop here, and end nothing."""


class LeaveWorkflow(BaseException):
    """Ends a workflow's thread but not the workflow: it goes on elsewhere or later.

    No Exception, so that the engine of workflows does not take it for the workflow's result.
    """


class StepFailed(OpenVbsError):
    """A step of the job failed for good."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Run:
    """An attempt. ``job`` is the record as this attempt began; its attempt number is the fence for every write."""

    def __init__(self, parts: Parts, job: Job, record: Recorder) -> None:
        self.parts = parts
        self.job = job
        self._record = record
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._answered_at = monotonic_seconds()
        self._progress = (job.bytes_done, job.bytes_total)
        self._reported = self._progress

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """What work gives, a JSON value; from an earlier attempt if that got it. Raises StepFailed.

        Work must be idempotent: a crash before its outcome is kept lets the next attempt do it again.
        """
        outcome = self._record(name, lambda: self._outcome(name, work))
        if outcome["failure"] is not None:
            raise StepFailed(Failure(**outcome["failure"]))
        return outcome["value"]

    def _outcome(self, name: str, work: Callable[[], Any]) -> dict[str, Any]:
        def looked() -> Any:
            self._look()
            return work()

        try:
            return {"value": persist(self.parts, looked), "failure": None}
        except MustPark as error:
            raise LeaveWorkflow from error
        except Cancelled as error:
            log.info("step %s: cancelled by %s", name, error)
            failure = failure_of(self.job.kind, error)
        except Exception as error:
            log.warning("step %s failed", name, exc_info=True)
            if isinstance(error, StoreError):
                STORE_ERRORS.labels(type(error).__name__).inc()
            failure = failure_of(self.job.kind, error)
            if failure.is_full:
                # The database may lie on the disk that is full, and could not keep the outcome that we are to give.
                self.parts.reserve.release()
        return {"value": None, "failure": asdict(failure)}

    def checkpoint(self) -> None:
        """Call it often during long work. Raises Cancelled or MustPark; reports progress now and then."""
        if self.parts.stopping.is_set():
            raise MustPark("the worker stops")
        with self._lock:
            now = monotonic_seconds()
            if now - self._looked_at < LOOK_SECONDS:
                return
            self._looked_at = now
        try:
            self._look()
        except DatabaseUnavailable as error:
            # A hiccup need not throw away minutes of work; longer, and another worker may have taken over.
            if monotonic_seconds() - self._answered_at > DATABASE_SILENT_SECONDS_MAX:
                raise
            log.warning("the database does not answer; the job goes on for a while: %s", error)

    def on_progress(self, bytes_done: int, bytes_total: int) -> None:
        """Note how far the work is; the next look reports it."""
        self._progress = (bytes_done, bytes_total)

    def _look(self) -> None:
        progress = self._progress
        with self.parts.database.read() as connection:
            job = jobs.find(connection, self.job.id, project_id=None)
        self._refuse_if_over(job)
        if progress != self._reported:
            with self.parts.database.write() as connection:
                jobs.update_open(
                    connection,
                    self.job.id,
                    attempt=self.job.attempt,
                    bytes_done=progress[0],
                    bytes_total=progress[1],
                )
            self._reported = progress
        self._answered_at = monotonic_seconds()

    def _refuse_if_over(self, job: Job | None) -> None:
        if self.parts.stopping.is_set():
            raise MustPark("the worker stops")
        if job is None or job.status in ENDED or job.attempt != self.job.attempt:
            raise MustPark("another worker has taken this job over")
        if job.cancel_requested_by is not None:
            raise Cancelled(job.cancel_requested_by)

    @contextmanager
    def publishing(self) -> Iterator[sa.Connection]:
        """The transaction in which the job succeeds. Raises Cancelled or MustPark, and then nothing is published.

        A crash before its commit leaves the job running, one after it leaves nothing to do.
        """
        with self.parts.database.write() as connection:
            self._refuse_if_over(jobs.find(connection, self.job.id, project_id=None, for_update=True))
            total = self._progress[1]
            ended = jobs.update_open(
                connection,
                self.job.id,
                attempt=self.job.attempt,
                status=JobStatus.SUCCESS,
                end_time=self.parts.clock(),
                bytes_done=total,
                bytes_total=total,
            )
            assert ended, "the row was locked and open"
            record_end(connection, self.parts, self.job, None)
            yield connection

    def is_ours(self) -> bool:
        """False once the job has ended or a newer attempt runs it."""
        with self.parts.database.read() as connection:
            job = jobs.find(connection, self.job.id, project_id=None)
        return job is not None and job.status not in ENDED and job.attempt == self.job.attempt

    def note_parked(self) -> None:
        """An attempt that parked does not count as one that was lost."""
        with self.parts.database.write() as connection:
            job = jobs.find(connection, self.job.id, project_id=None, for_update=True)
            if job is not None:
                arguments = {**job.arguments, PARKED: parked_attempts(job) + 1}
                jobs.update_open(connection, job.id, attempt=self.job.attempt, arguments=arguments)


def parked_attempts(job: Job) -> int:
    """How many of the job's attempts ended by parking."""
    parked = job.arguments.get(PARKED, 0)
    assert isinstance(parked, int)
    return parked


def persist(parts: Parts, work: Callable[[], Any]) -> Any:
    """What work gives, begun again for as long as the database does not answer. Raises MustPark when stopping."""
    while True:
        if parts.stopping.is_set():
            raise MustPark("the worker stops")
        try:
            return work()
        except DatabaseUnavailable as error:
            log.warning("the database does not answer; trying again: %s", error)
            parts.stopping.wait(DATABASE_RETRY_SECONDS)
