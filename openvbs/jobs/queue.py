"""The durable queue of jobs: DBOS, hidden behind two verbs. The worker's side of it is jobs/dbos_worker.py."""

import sqlalchemy as sa
from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions, run_dbos_database_migrations

from openvbs.db.session import Database
from openvbs.domain.job import Job, JobKind

APPLICATION = "openvbs"
APPLICATION_VERSION = "1"
"""Fixed, not derived from the code, so that a new release goes on with the jobs of the one before."""
WORKFLOW = "run_job"
SCHEMA = "dbos"

BYTES_QUEUE = "openvbs-bytes"
QUICK_QUEUE = "openvbs-quick"
_MOVES_BYTES = frozenset(
    {
        JobKind.CREATE_BACKUP,
        JobKind.RESTORE_BACKUP,
        JobKind.IMPORT_VOLUME,
        JobKind.EXPORT_VOLUME,
        JobKind.COLLECT,
    }
)


def queue_of(kind: str) -> str:
    """Long jobs wait behind long jobs, so that a volume is made while backups fill every slot of theirs."""
    return BYTES_QUEUE if kind in _MOVES_BYTES else QUICK_QUEUE


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
            "queue_name": queue_of(job.kind),
            "workflow_id": job.id,
            "app_version": APPLICATION_VERSION,
        }
        if delay_seconds > 0:
            options["delay_seconds"] = delay_seconds
        self._client.enqueue_in_transaction(connection, options, job.id)

    def close(self) -> None:
        """Let go of the queue; the database stays open."""
        self._client.destroy()
