"""The durable queue of jobs: DBOS, hidden behind two verbs. The worker's side of it is jobs/dbos_worker.py."""

import sqlalchemy as sa
from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions, run_dbos_database_migrations

from openvbs.db.session import Database
from openvbs.domain.job import Job, JobKind

APPLICATION = "openvbs"
APPLICATION_VERSION = "1"
"""Fixed, not derived from the code, so that a new release goes on with the jobs of the one before."""
WORKFLOW = "run_job"

BYTES_QUEUE = "openvbs-bytes"
COPY_QUEUE = "openvbs-copies"
QUICK_QUEUE = "openvbs-quick"
SPACE_QUEUE = "openvbs-space"
_QUEUES: dict[str, str] = {
    JobKind.CREATE_BACKUP: BYTES_QUEUE,
    JobKind.RESTORE_BACKUP: BYTES_QUEUE,
    JobKind.COPY_BACKUP: BYTES_QUEUE,
    JobKind.IMPORT_VOLUME: BYTES_QUEUE,
    JobKind.EXPORT_VOLUME: BYTES_QUEUE,
    JobKind.CREATE_SNAPSHOT: COPY_QUEUE,
    JobKind.COLLECT: SPACE_QUEUE,
    JobKind.CHECK: COPY_QUEUE,
}
_COPIES_FROM = ("snapshot_id", "source_volid")


def queue_of(job: Job) -> str:
    """Long jobs wait behind long jobs only: a volume is made at once while backups fill every slot of theirs."""
    if job.kind == JobKind.CREATE_VOLUME and any(job.arguments.get(name) for name in _COPIES_FROM):
        return COPY_QUEUE
    return _QUEUES.get(job.kind, QUICK_QUEUE)


def prepare_queue(database_url: str) -> None:
    """Create or upgrade the queue's own tables beside ours. Safe to repeat."""
    run_dbos_database_migrations(database_url)


class JobQueue:
    """Hands jobs to the workers. The queue's tables must have been prepared."""

    def __init__(self, database: Database) -> None:
        self._client = DBOSClient(
            system_database_engine=database.engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
        )

    def enqueue(self, connection: sa.Connection, job: Job, *, delay_seconds: float = 0) -> None:
        """Let a worker run the job once the caller's transaction commits; a rollback takes it back.

        Enqueuing a job that is queued already changes nothing.
        """
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": queue_of(job),
            "workflow_id": job.id,
            "app_version": APPLICATION_VERSION,
        }
        if delay_seconds > 0:
            options["delay_seconds"] = delay_seconds
        self._client.enqueue_in_transaction(connection, options, job.id)

    def close(self) -> None:
        """Let go of the queue; the database stays open."""
        self._client.destroy()
