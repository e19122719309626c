"""What a worker does beside running jobs: say that it lives, take over from the dead, and see that every job ends."""

import logging
import os
import socket
from datetime import datetime, timedelta

from openvbs.db import backups, jobs, workers
from openvbs.domain.job import CLOCK_AHEAD_MAX, WORKER_SILENT_MAX, Job, JobKind, is_alive
from openvbs.domain.job import ENDED as ENDED_JOBS
from openvbs.jobs.collecting import request_check, request_collection
from openvbs.jobs.failures import Cancelled, Failure, JobFailed, failure_of
from openvbs.jobs.parts import Parts
from openvbs.jobs.runner import end_as_failed, fail
from openvbs.jobs.runners import RUNNERS
from openvbs.jobs.workflows import ENDED, Workflows

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
FORGOTTEN_AFTER = timedelta(days=1)


class Care:
    """Its methods may be called by every worker at once; each does nothing that another has done already."""

    def __init__(self, parts: Parts, workflows: Workflows, worker_id: str) -> None:
        self._parts = parts
        self._workflows = workflows
        self._worker_id = worker_id
        self._started_at = parts.clock()

    def beat(self) -> None:
        """Say that this worker lives."""
        with self._parts.database.write() as connection:
            workers.beat(
                connection,
                self._worker_id,
                host=socket.gethostname(),
                pid=os.getpid(),
                started_at=self._started_at,
                now=self._parts.clock(),
            )

    def leave(self) -> None:
        """Say that this worker has ended, so that others need not wait to take over what it parked."""
        with self._parts.database.write() as connection:
            workers.remove(connection, self._worker_id)

    def take_over(self) -> None:
        """Let what ran on workers that are silent or gone run again, here or elsewhere."""
        # Before the beats are read: a worker beats before it begins a job, so none is missed that began just now.
        executors = self._workflows.executors()
        now = self._parts.clock()
        with self._parts.database.read() as connection:
            beats = dict(workers.list_all(connection))
        alive = {worker_id for worker_id, at in beats.items() if is_alive(at, now)}
        dead = executors - alive - {self._worker_id}
        if dead:
            log.warning("taking over the jobs of %s, silent for %s s or gone", sorted(dead), WORKER_SILENT_MAX.seconds)
            self._workflows.take_over(dead)
        forgotten = [worker_id for worker_id, at in beats.items() if abs(now - at) > FORGOTTEN_AFTER]
        if forgotten:
            with self._parts.database.write() as connection:
                for worker_id in forgotten:
                    workers.remove(connection, worker_id)

    def reconcile(self) -> None:
        """See that a workflow works at the end of every open job.

        A job without a workflow is queued again: the queue's tables were lost or set back. One whose workflow ended
        without ending the job has failed.
        """
        with self._parts.database.read() as connection:
            open_jobs = jobs.list_open(connection)
        statuses = self._workflows.statuses(job.id for job in open_jobs)
        for job in open_jobs:
            status = statuses.get(job.id)
            if status is None:
                self._queue_again(job)
            elif status in ENDED:
                # If the job ended just now, after it was listed, this finds it so and does nothing.
                failure = failure_of(job.kind, JobFailed("The job's worker ended without a result."))
                if self._end(job, failure):
                    log.error("job %s was open though its workflow had ended with %s", job.id, status)

    def _end(self, job: Job, failure: Failure) -> bool:
        runner = RUNNERS[job.kind]
        with self._parts.database.read() as connection:
            found = jobs.find(connection, job.id, project_id=None)
        if found is None or found.status in ENDED_JOBS:
            return False
        return fail(self._parts, runner, found, failure)

    def _queue_again(self, job: Job) -> None:
        with self._parts.database.write() as connection:
            found = jobs.find(connection, job.id, project_id=None, for_update=True)
            if found is not None and found.status not in ENDED_JOBS:
                log.warning("job %s had no workflow; it is queued again", job.id)
                self._parts.queue.enqueue(connection, job)

    def end_cancelled(self) -> None:
        """End jobs that were cancelled while they waited, however long the queue before them is.

        They hold nothing but records. One that begins just now is a newer attempt: it is not touched, and looks itself.
        """
        with self._parts.database.read() as connection:
            cancelled = jobs.cancelled_while_waiting(connection)
        for job in cancelled:
            assert job.cancel_requested_by is not None
            failure = failure_of(job.kind, Cancelled(job.cancel_requested_by))
            end_as_failed(self._parts, RUNNERS[job.kind], job, failure)

    def sweep(self) -> None:
        """Remove the clones of jobs that have ended; a crash between the two left them."""
        # Before the jobs are read: else a job that began in between would lose its clone.
        frozen = self._parts.files.frozen_jobs()
        with self._parts.database.read() as connection:
            open_ids = {job.id for job in jobs.list_open(connection)}
        for job_id in frozen:
            if job_id not in open_ids:
                self._parts.files.thaw(job_id)

    def forget(self) -> None:
        """Keep the queue's tables small: an ended workflow is of no more use, its job's record says all."""
        before = self._parts.clock() - timedelta(seconds=self._parts.workflows_kept_seconds)
        while self._workflows.forget_ended(before):
            pass

    def collect_daily(self) -> None:
        """Ask for a collection of every repository that had none for a day."""
        now = self._parts.clock()
        with self._parts.database.read() as connection:
            repositories = backups.repositories(connection)
            collected = jobs.last_asked(connection, JobKind.COLLECT, until=now + CLOCK_AHEAD_MAX)
        for repository_id in repositories:
            last = collected.get(repository_id)
            if last is None or _is_far(last, now, self._parts.collect_every_seconds):
                with self._parts.database.write() as connection:
                    request_collection(connection, self._parts, repository_id)

    def check_daily(self) -> None:
        """Ask for a check of every repository that is a day old and had none for a day."""
        now = self._parts.clock()
        with self._parts.database.read() as connection:
            begun = backups.repositories_begun(connection)
            checked = jobs.last_asked(connection, JobKind.CHECK, until=now + CLOCK_AHEAD_MAX)
        for repository_id, begun_at in begun.items():
            if _is_far(checked.get(repository_id, begun_at), now, self._parts.check_every_seconds):
                with self._parts.database.write() as connection:
                    request_check(connection, self._parts, repository_id)


def _is_far(at: datetime, now: datetime, seconds: float) -> bool:
    """It is longer ago; or ahead by as much, which only a clock that was wrong can have said."""
    return abs(now - at) > timedelta(seconds=seconds)
