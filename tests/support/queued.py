"""What stands in the queue's own tables, changed behind its back."""

import sqlalchemy as sa

from openvbs.db.session import Database


def give_to(database: Database, job_id: str, worker_id: str) -> None:
    """As if that worker had begun the job."""
    table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
    with database.write() as connection:
        connection.execute(
            sa.text(f"UPDATE {table} SET status = 'PENDING', executor_id = :worker WHERE workflow_uuid = :job"),
            {"worker": worker_id, "job": job_id},
        )
