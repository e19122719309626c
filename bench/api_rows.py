"""Fills a database with backups, shares and jobs, all made by the database itself from one row of each."""

from collections.abc import Mapping
from datetime import UTC, datetime

import sqlalchemy as sa

from openvbs.db import backups as backup_rows
from openvbs.db import jobs as job_rows
from openvbs.db import shares as share_rows
from openvbs.db import tables
from openvbs.db.session import Database
from openvbs.domain.backup import Backup
from openvbs.domain.job import Job, JobKind, JobStatus
from openvbs.domain.share import Share

PER_PROJECT = 500
BIG_EVERY = 20
"""Every 20th row of a project is the big one's instead: 50,000 of a million."""

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TEMPLATE = "template"

# n is the number of the row, and the j-th of its project. Ids are hashes, so that neither ids nor projects follow the
# order of the table.
_J = "(n / :projects)"
_PROJECT = "(SELECT id FROM bench_projects WHERE k = {})"
_OWNER = f"CASE WHEN {_J} % {BIG_EVERY} = 0 THEN :big ELSE {_PROJECT.format('n % :projects')} END"
_NEXT = f"(n + 1 + {_J} % (:projects - 1)) % :projects"
_RECIPIENT = f"CASE WHEN {_J} % {BIG_EVERY} = 1 THEN :big ELSE {_PROJECT.format(_NEXT)} END"
_WHEN = "timestamp '2026-01-01' + n * interval '7 seconds'"
_BACKUP_ID = "md5('backup ' || n)::uuid::text"
_VOLUME_ID = f"md5('volume ' || n % :projects || ' ' || {_J} / 10)::uuid::text"

_BACKUPS = {
    "id": _BACKUP_ID,
    "project_id": _OWNER,
    "repository_id": _OWNER,
    "name": "'nightly-' || n",
    "volume_id": _VOLUME_ID,
    "status": f"CASE WHEN {_J} % 50 = 7 THEN 'error' ELSE 'available' END",
    "data_timestamp": _WHEN,
    "created_at": _WHEN,
    "updated_at": f"{_WHEN} + interval '90 seconds'",
    "data_id": _BACKUP_ID,
    # One in ten has left the API.
    "deleted_at": f"CASE WHEN {_J} % 10 = 3 THEN {_WHEN} + interval '30 days' END",
    "purged_at": f"CASE WHEN {_J} % 10 = 3 THEN {_WHEN} + interval '30 days' END",
}
_SHARES = {
    "id": "md5('share ' || n)::uuid::text",
    "backup_id": _BACKUP_ID,
    "from_project_id": _OWNER,
    "to_project_id": _RECIPIENT,
    "created_at": f"{_WHEN} + interval '1 hour'",
    # Those of deleted backups ended with them.
    "cancelled_at": f"CASE WHEN {_J} % 10 = 3 THEN {_WHEN} + interval '30 days' END",
}
_JOBS = {
    "id": "md5('job ' || n)::uuid::text",
    "project_id": _OWNER,
    "backup_id": _BACKUP_ID,
    "volume_id": _VOLUME_ID,
    "created_at": _WHEN,
    "begin_time": _WHEN,
    "end_time": f"{_WHEN} + interval '90 seconds'",
}


def fill(database: Database, *, rows: int, ordinary_project: str, big_project: str) -> None:
    """That many backups, each with a share and the job that made it, over rows / 500 projects.

    The two projects are among them: the big one has a twentieth of all.
    """
    projects = max(2, rows // PER_PROJECT)
    with database.write() as connection:
        connection.execute(sa.text("CREATE TEMPORARY TABLE bench_projects (k int PRIMARY KEY, id text)"))
        made = "SELECT k, CASE k WHEN 2 THEN :ordinary ELSE md5('project ' || k) END FROM generate_series(0, :last) k"
        values = {"ordinary": ordinary_project, "last": projects - 1}
        connection.execute(sa.text(f"INSERT INTO bench_projects {made}"), values)
        connection.execute(sa.text("ANALYZE bench_projects"))
        _insert_templates(connection)
        numbers = {"big": big_project, "projects": projects, "rows": rows}
        for table, made_of in ((tables.backups, _BACKUPS), (tables.shares, _SHARES), (tables.jobs, _JOBS)):
            _multiply(connection, table, made_of, numbers)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))


def _multiply(
    connection: sa.Connection, table: sa.Table, made_of: Mapping[str, str], numbers: Mapping[str, object]
) -> None:
    """Rows like the template but for some columns. Indexes are made afterwards, which is several times faster."""
    names = [column.name for column in table.c if column.computed is None]
    chosen = ", ".join(made_of.get(name, f't."{name}"') for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    for index in table.indexes:
        index.drop(connection)
    source = f"{table.name} t, generate_series(1, :rows) n WHERE t.id = '{_TEMPLATE}'"
    statement = f"INSERT INTO {table.name} ({quoted}) SELECT {chosen} FROM {source}"
    connection.execute(sa.text(statement), numbers)
    connection.execute(table.delete().where(table.c.id == _TEMPLATE))
    for index in table.indexes:
        index.create(connection)


def _insert_templates(connection: sa.Connection) -> None:
    metadata = {"purpose": "month end", "made-by": "nightly"}
    backup_rows.insert(
        connection,
        Backup(
            id=_TEMPLATE,
            project_id=_TEMPLATE,
            repository_id=_TEMPLATE,
            user_id="5f0c2a7be91d4c38a6d40b1e77c3f920",
            name=None,
            description="what was there at the end of the month",
            volume_id=_TEMPLATE,
            volume_name="ledger",
            volume_description="books of the house",
            snapshot_id=None,
            size_gib=40,
            status="available",
            fail_reason=None,
            container="b-7",
            availability_zone="nova",
            object_count=812,
            asked_incremental=True,
            is_full=False,
            bootable=True,
            metadata=metadata,
            volume_metadata=metadata,
            image_metadata={"os": "debian", "min_disk": "10"},
            bytes_total=40 << 30,
            bytes_read=1 << 30,
            bytes_stored=1 << 29,
            data_timestamp=_START,
            created_at=_START,
            updated_at=_START,
            data_id=_TEMPLATE,
        ),
    )
    job_rows.insert(connection, _template_job())
    share_rows.insert(
        connection,
        Share(
            id=_TEMPLATE,
            backup_id=_TEMPLATE,
            from_project_id=_TEMPLATE,
            to_project_id=_TEMPLATE,
            created_at=_START,
            updated_at=None,
        ),
    )


def _template_job() -> Job:
    return Job(
        id=_TEMPLATE,
        project_id=_TEMPLATE,
        user_id="5f0c2a7be91d4c38a6d40b1e77c3f920",
        kind=JobKind.CREATE_BACKUP,
        status=JobStatus.SUCCESS,
        backup_id=_TEMPLATE,
        volume_id=_TEMPLATE,
        snapshot_id=None,
        share_id=None,
        bytes_done=1 << 30,
        bytes_total=1 << 30,
        error_code=None,
        fail_reason=None,
        attempt=1,
        cancel_requested_by=None,
        request_id="req-0",
        arguments={},
        created_at=_START,
        begin_time=_START,
        end_time=_START,
    )
