"""Asking for a repository's care. Collections are gathered for a while, at most one of a project at a time."""

import logging

import sqlalchemy as sa

from openvbs.db import jobs
from openvbs.domain.job import Job, JobKind, JobStatus
from openvbs.jobs.parts import Parts

log = logging.getLogger(__name__)

WORKER_USER = "openvbs"
"""The user of jobs that the service gives to itself."""
AGAIN = "again"


def request_collection(
    connection: sa.Connection, parts: Parts, repository_id: str, *, delay_seconds: float | None = None
) -> None:
    """Let the space of a project's repository be collected soon; stands or falls with the transaction.

    One that waits already will do; one that runs may have looked too early, so another follows it.
    """
    waiting = jobs.open_care(connection, repository_id, JobKind.COLLECT)
    if waiting is not None:
        if waiting.status == JobStatus.RUNNING:
            jobs.update_open(connection, waiting.id, attempt=None, arguments={**waiting.arguments, AGAIN: True})
        return
    job = care_job(parts, repository_id, JobKind.COLLECT)
    try:
        with connection.begin_nested():
            jobs.insert(connection, job)
    except sa.exc.IntegrityError:
        log.info("another worker has just asked for the same collection")
        return
    parts.queue.enqueue(
        connection, job, delay_seconds=parts.collect_delay_seconds if delay_seconds is None else delay_seconds
    )


def request_check(connection: sa.Connection, parts: Parts, repository_id: str) -> None:
    """Let a sample of a repository's data be checked; stands or falls with the transaction.

    Two workers at once may ask for two, which does no harm.
    """
    if jobs.open_care(connection, repository_id, JobKind.CHECK) is None:
        job = care_job(parts, repository_id, JobKind.CHECK)
        jobs.insert(connection, job)
        parts.queue.enqueue(connection, job)


def care_job(parts: Parts, repository_id: str, kind: JobKind) -> Job:
    """A job that the service gives to itself."""
    job_id = parts.make_id()
    return Job(
        id=job_id,
        project_id=repository_id,
        user_id=WORKER_USER,
        kind=kind,
        status=JobStatus.INIT,
        backup_id=None,
        volume_id=None,
        snapshot_id=None,
        share_id=None,
        bytes_done=0,
        bytes_total=0,
        error_code=None,
        fail_reason=None,
        attempt=0,
        cancel_requested_by=None,
        request_id=f"req-{job_id}",
        arguments={},
        created_at=parts.clock(),
        begin_time=None,
        end_time=None,
    )
