"""What a kind of job consists of, and how a job ends."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from openvbs.db import jobs
from openvbs.db.session import DatabaseUnavailable
from openvbs.domain.job import Job, JobStatus
from openvbs.jobs.ends import record_end
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run

log = logging.getLogger(__name__)


def nothing_to_do(_parts: Parts, _job: Job) -> None:
    """For kinds that keep nothing still, or whose half-done work leaves nothing outside the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One kind of job."""

    work: Callable[[Run], None]
    """Its steps in order; the last one publishes. Only what comes before it may need cleaning up."""
    mark_failed: Callable[[sa.Connection, Parts, Job, Failure], None]
    """What the records say after a failure, in the transaction that ends the job."""
    thaw: Callable[[Parts, Job], None] = nothing_to_do
    """Let go on what a lost attempt left standing still. Before the job ends, while nobody else may use it."""
    undo: Callable[[Parts, Job], None] = nothing_to_do
    """Take back what half-done work left outside the database. May fail without harm to the records.

    Only after the job has ended as failed: an attempt that stood still, and another that took over and published
    meanwhile, would else take away what is in use. It looks whether somebody has made use of it since.
    """


def fail(parts: Parts, runner: Runner, job: Job, failure: Failure) -> bool:
    """End a job that had begun, and clean up after it. False if it has ended or a newer attempt runs it.

    A crash before the end leaves the job to the next attempt, one after it what goes with the record or is swept.
    """
    try:
        runner.thaw(parts, job)
    except DatabaseUnavailable:
        raise
    except Exception:
        # The records must be set right all the same.
        log.exception("what the failed job kept still may stand still yet")
    ended = end_as_failed(parts, runner, job, failure)
    if ended:
        try:
            runner.undo(parts, job)
        except Exception:
            # It is removed with the record.
            log.exception("what the failed job left could not all be taken back")
    return ended


def end_as_failed(parts: Parts, runner: Runner, job: Job, failure: Failure) -> bool:
    """End the job and set the records right, in one transaction. False if it has ended or a newer attempt runs it."""
    with parts.database.write() as connection:
        ended = jobs.update_open(
            connection,
            job.id,
            attempt=job.attempt,
            status=JobStatus.FAIL,
            error_code=failure.error_code,
            fail_reason=failure.reason,
            end_time=parts.clock(),
        )
        if ended:
            record_end(connection, parts, job, failure)
            runner.mark_failed(connection, parts, job, failure)
    return ended
