"""The worker's side of DBOS: runs what the queue hands out. With jobs/queue.py the only place that knows DBOS."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from openvbs.db.session import Database, create_engine
from openvbs.domain.job import Job
from openvbs.jobs.queue import (
    APPLICATION,
    APPLICATION_VERSION,
    BYTES_QUEUE,
    COPY_QUEUE,
    QUICK_QUEUE,
    SPACE_QUEUE,
    WORKFLOW,
    queue_of,
)

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""How often somebody who waits for it is looked for; each look takes the write lock of SQLite twice."""
POLL_SLOWLY_SECONDS = 0.5
"""For work that nobody waits for at a screen."""
COPIES_AT_ONCE = 2
QUICK_AT_ONCE = 4
COLLECTIONS_AT_ONCE = 1
FORGET_AT_ONCE = 1000
ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
"""A workflow in one of these never runs again by itself."""


class Workflows:
    """Runs a function for every queued job id, durably: a killed process's jobs are run again.

    DBOS is one per process, so this is too.
    """

    def __init__(self, database: Database, worker_id: str) -> None:
        self._engine: sa.Engine = create_engine(database.url, always_immediate=True)
        self._worker_id = worker_id

    def launch(self, run_job: Callable[[str], None], *, jobs_at_once: int) -> None:
        """Begin to run jobs, first those that this worker had begun when it ended the last time."""
        logger = logging.getLogger("dbos")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())  # else DBOS writes to the console by itself
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_engine": self._engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": self._worker_id,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": False,
            "use_listen_notify": False,
            # Nothing of ours waits for notifications, so this only says how soon its thread sees the end.
            "notification_listener_polling_interval_sec": POLL_SECONDS,
            "log_level": "WARNING",
        }
        DBOS(config=config)

        # Lost attempts are counted by us, since one that parked is none.
        def run(job_id: str) -> None:
            run_job(job_id)

        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(run)
        DBOS.launch()
        for name, at_once, poll_seconds in (
            (BYTES_QUEUE, jobs_at_once, POLL_SECONDS),
            (QUICK_QUEUE, QUICK_AT_ONCE, POLL_SECONDS),
            (COPY_QUEUE, COPIES_AT_ONCE, POLL_SLOWLY_SECONDS),
            (SPACE_QUEUE, COLLECTIONS_AT_ONCE, POLL_SLOWLY_SECONDS),
        ):
            DBOS.register_queue(
                name, worker_concurrency=at_once, polling_interval_sec=poll_seconds, on_conflict="always_update"
            )

    def record(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run a step of the present workflow and keep what it gives; a later run of the workflow gets that instead."""
        outcome: dict[str, Any] = DBOS.run_step({"name": name}, work)
        return outcome

    def statuses(self, job_ids: Iterable[str]) -> dict[str, str]:
        """The statuses of those workflows that exist."""
        ids = list(job_ids)
        if not ids:
            return {}
        found = DBOS.list_workflows(workflow_ids=ids, load_input=False, load_output=False)
        return {workflow.workflow_id: workflow.status for workflow in found}

    def executors(self) -> set[str]:
        """Every worker that a workflow is running on, or was when it died."""
        running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {workflow.executor_id for workflow in running if workflow.executor_id is not None}

    def take_over(self, dead_worker_ids: Iterable[str]) -> None:
        """Put what ran on dead workers back into the queues. Of two that do it at once, one does it."""
        # The only call for this; no public one was left in DBOS 3.
        DBOS._recover_pending_workflows(list(dead_worker_ids))  # noqa: SLF001

    def queue_again(self, job: Job) -> None:
        """Put the job back into its queue if it is given to this worker still; whoever takes it then begins anew."""
        for workflow in DBOS.list_workflows(workflow_ids=[job.id], load_input=False, load_output=False):
            if workflow.status == "PENDING" and workflow.executor_id == self._worker_id:
                log.warning("job %s was begun by a worker that it is not given to; it is queued again", job.id)
                DBOS.resume_workflow(job.id, queue_name=queue_of(job))

    def forget_ended(self, before: datetime) -> int:
        """Drop some of the workflows that ended before this moment; their jobs' records stay. How many were dropped."""
        ended = DBOS.list_workflows(
            completed_before=before.isoformat(), limit=FORGET_AT_ONCE, load_input=False, load_output=False
        )
        if ended:
            DBOS.delete_workflows([workflow.workflow_id for workflow in ended])
        return len(ended)

    def stop(self, *, seconds_max: int) -> None:
        """Hand out nothing more, wait for running jobs to end or park, and let go of the database."""
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=seconds_max)
        self._engine.dispose()
