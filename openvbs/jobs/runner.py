"""What a kind of job consists of, and how a job ends."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from openvbs.db import jobs
from openvbs.domain.job import Job, JobStatus
from openvbs.jobs.ends import record_end
from openvbs.jobs.failures import Failure
from openvbs.jobs.parts import Parts
from openvbs.jobs.run import Run


def nothing_to_undo(_parts: Parts, _job: Job) -> None:
    """For kinds whose half-done work leaves nothing outside the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One kind of job."""

    work: Callable[[Run], None]
    """Its steps in order; the last one publishes. Only what comes before it may need cleaning up."""
    mark_failed: Callable[[sa.Connection, Parts, Job, Failure], None]
    """What the records say after a failure, in the transaction that ends the job."""
    undo: Callable[[Parts, Job], None] = nothing_to_undo
    """Take back what half-done work left outside the database. Idempotent; may fail without harm to the records."""


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
