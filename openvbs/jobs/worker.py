"""The worker: runs jobs until it is told to stop, then parks them."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from openvbs.clock import monotonic_seconds
from openvbs.db import jobs
from openvbs.db.session import DatabaseUnavailable
from openvbs.domain.job import Job
from openvbs.jobs.care import BEAT_SECONDS, Care
from openvbs.jobs.failures import Failure, JobFailed, failure_of
from openvbs.jobs.notifications import LOOK_SECONDS as NOTIFY_SECONDS
from openvbs.jobs.notifications import Notifications
from openvbs.jobs.parts import Parts
from openvbs.jobs.record_keeping import RecordKeeping
from openvbs.jobs.run import LeaveWorkflow, MustPark, Run, StepFailed, parked_attempts, persist
from openvbs.jobs.runner import Runner, fail
from openvbs.jobs.runners import RUNNERS
from openvbs.jobs.scheduler import FORGET_SECONDS, LOOK_SECONDS, Scheduler
from openvbs.jobs.worker_id import worker_id
from openvbs.jobs.workflows import Workflows
from openvbs.logs import bind
from openvbs.metrics import JOBS

log = logging.getLogger(__name__)

LOST_ATTEMPTS_MAX = 10
CARE_SECONDS = 15.0
CANCELLED_SECONDS = 1.0
DAILY_LOOK_SECONDS = 600.0
PARK_SECONDS_MAX = 25
"""Below the time after which the supervisor kills."""


class Worker:
    """One worker process."""

    def __init__(
        self,
        parts: Parts,
        scheduler: Scheduler,
        notifications: Notifications,
        *,
        directory: Path,
        jobs_at_once: int,
    ) -> None:
        """``directory`` keeps who this worker is; workers of one machine share it."""
        self._parts = parts
        self._scheduler = scheduler
        self._notifications = notifications
        self._directory = directory
        self._jobs_at_once = jobs_at_once
        self._left: SimpleQueue[Job] = SimpleQueue()
        self._running: list[str] = []
        """Jobs by id, once for each attempt that a thread of ours is at."""

    def run(self, *, on_ready: Callable[[], None], stop_event: threading.Event) -> None:
        """Run jobs until stop_event is set; then every running job is parked, and this returns.

        Parked jobs go on with the next start of this worker, or sooner on another one.
        """
        self._parts.files.prepare()
        with worker_id(self._directory) as me:
            self._workflows = Workflows(self._parts.database, me)
            care = Care(self._parts, self._workflows, me)
            care.beat()
            self._workflows.launch(self.run_job, jobs_at_once=self._jobs_at_once)
            beside = self._start_beside()
            try:
                care.sweep()
                self._tend(care, on_ready, stop_event)
            finally:
                self._parts.stopping.set()
                for thread in beside:
                    thread.join(PARK_SECONDS_MAX / 10)
                self._workflows.stop(seconds_max=PARK_SECONDS_MAX)
                self._parts.repositories.close()
            self._do(care.leave)

    def _start_beside(self) -> list[threading.Thread]:
        """What has threads of its own, since a slow store or file must not keep this worker from saying it lives."""
        keeping = RecordKeeping(self._parts.database, self._parts.repositories)
        threads = [
            threading.Thread(target=keeping.run, args=(self._parts.stopping,), daemon=True),
            threading.Thread(target=self._send_notifications, daemon=True),
        ]
        for thread in threads:
            thread.start()
        return threads

    def _send_notifications(self) -> None:
        while not self._parts.stopping.is_set():
            self._do(self._notifications.send_owed)
            self._parts.stopping.wait(NOTIFY_SECONDS)

    def _tend(self, care: Care, on_ready: Callable[[], None], stop_event: threading.Event) -> None:
        duties = {
            care.beat: BEAT_SECONDS,
            care.end_cancelled: CANCELLED_SECONDS,
            self._queue_left: CANCELLED_SECONDS,
            care.take_over: CARE_SECONDS,
            care.reconcile: CARE_SECONDS,
            care.collect_daily: DAILY_LOOK_SECONDS,
            care.check_daily: DAILY_LOOK_SECONDS,
            care.forget: DAILY_LOOK_SECONDS,
            self._parts.reserve.keep: CARE_SECONDS,
            self._scheduler.look: LOOK_SECONDS,
            self._scheduler.forget: FORGET_SECONDS,
        }
        due = dict.fromkeys(duties, 0.0)
        is_ready = False
        while not stop_event.is_set():
            for duty, every_seconds in duties.items():
                if monotonic_seconds() >= due[duty]:
                    self._do(duty)
                    due[duty] = monotonic_seconds() + every_seconds
            if not is_ready:
                is_ready = True
                on_ready()
            stop_event.wait(max(0.0, min(due.values()) - monotonic_seconds()))

    def _do(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except DatabaseUnavailable as error:
            log.warning("the database does not answer, so %s was not done: %s", duty.__name__, error)
        except Exception:
            # Jobs must go on whatever is wrong with this; the next time may be better.
            log.exception("%s failed", duty.__name__)

    def run_job(self, job_id: str) -> None:
        """Run the job in a thread of its own, once the queue has given it to this worker."""
        self._running.append(job_id)
        try:
            self._run_job(job_id)
        finally:
            self._running.remove(job_id)

    def _run_job(self, job_id: str) -> None:
        """One attempt at a job. Its steps are durable; what is between them is done anew by every attempt."""
        with bind(job_id=job_id):
            try:
                job = persist(self._parts, lambda: self._begin(job_id))
            except MustPark as error:
                raise LeaveWorkflow from error
            if job is None:
                return
            with bind(request_id=job.request_id):
                runner = RUNNERS[job.kind]
                self._attempt(Run(self._parts, job, self._workflows.record), runner)

    def _begin(self, job_id: str) -> Job | None:
        with self._parts.database.write() as connection:
            return jobs.begin(connection, job_id, now=self._parts.clock())

    def _attempt(self, run: Run, runner: Runner) -> None:
        job = run.job
        log.info("attempt %d at %s begins", job.attempt, job.kind)
        try:
            try:
                self._refuse_hopeless(job)
                runner.work(run)
            except StepFailed as failed:
                self._fail(run, runner, failed.failure)
            else:
                JOBS.labels(job.kind, "success").inc()
                log.info("%s succeeded", job.kind)
        except (LeaveWorkflow, MustPark) as error:
            log.info("%s is parked: %s", job.kind, error.__cause__ or error)
            if self._parts.stopping.is_set():
                self._note_parked(run)
            else:
                self._left.put(job)
            raise LeaveWorkflow from error

    def _queue_left(self) -> None:
        """Queue again what an attempt of ours has left to a newer one, unless the queue gave that one the job.

        A worker may have stood still between taking a job out of the queue and beginning it. By then the job was given
        to us, and so the queue lets that attempt go no further, however new it is.
        """
        for _ in range(self._left.qsize()):
            job = self._left.get()
            if job.id in self._running:  # the newer attempt is ours as well
                self._left.put(job)
                continue
            try:
                self._workflows.queue_again(job)
            except Exception:
                self._left.put(job)  # whatever it was: the next look tries again
                raise

    def _refuse_hopeless(self, job: Job) -> None:
        if job.attempt - parked_attempts(job) > LOST_ATTEMPTS_MAX:
            reason = f"Given up: {LOST_ATTEMPTS_MAX} attempts at this job ended with the end of their worker."
            raise StepFailed(failure_of(job.kind, JobFailed(reason)))

    def _fail(self, run: Run, runner: Runner, failure: Failure) -> None:
        job, parts = run.job, self._parts
        if not persist(parts, run.is_ours) or not persist(parts, lambda: fail(parts, runner, job, failure)):
            raise MustPark("another worker has taken this job over")
        JOBS.labels(job.kind, "cancelled" if failure.cancelled else "fail").inc()
        log.warning("%s failed: %s", job.kind, failure.reason)

    def _note_parked(self, run: Run) -> None:
        try:
            run.note_parked()
        except DatabaseUnavailable as error:
            log.warning("the attempt counts as lost, since the database does not answer: %s", error)
