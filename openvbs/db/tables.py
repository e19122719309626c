"""Every table. Migrations create exactly this (a test compares them).

A record is never shown by SQL alone: callers of this package pass the project whose rows they want. ``deleted_at``
marks records that have left the API but must stay: for audit, and backups until their data is purged.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware UTC in Python; naive UTC in the database, so that both databases sort and compare alike."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        # Not process_result_value, which SQLAlchemy calls through another function: a page has more than a hundred.
        parse = self.impl_instance.result_processor(dialect, coltype)
        if parse is None:
            return _as_utc
        return lambda value: _as_utc(parse(value))


_combine = datetime.combine


def _as_utc(value: datetime | None) -> datetime | None:
    # As value.replace(tzinfo=UTC), in a sixth of the time.
    return None if value is None else _combine(value, value.time(), UTC)


def _where(name: str, *columns_and_condition: str, unique: bool = False, include: Sequence[str] = ()) -> sa.Index:
    """An index of those rows alone that meet the condition, which comes last."""
    *columns, condition = columns_and_condition
    where = sa.text(condition)
    return sa.Index(
        name, *columns, unique=unique, sqlite_where=where, postgresql_where=where, postgresql_include=include
    )


ID = sa.String(36)
PROJECT = sa.String(64)
TEXT = sa.String(255)

volumes = sa.Table(
    "volumes",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", PROJECT, nullable=False),
    sa.Column("user_id", PROJECT, nullable=False),
    sa.Column("name", TEXT),
    sa.Column("description", sa.Text),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("previous_status", sa.String(32)),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("path", sa.Text),
    sa.Column("freeze_command", sa.Text),
    sa.Column("thaw_command", sa.Text),
    sa.Column("bootable", sa.Boolean, nullable=False),
    sa.Column("volume_type", TEXT),
    sa.Column("availability_zone", TEXT, nullable=False),
    sa.Column("snapshot_id", ID),
    sa.Column("source_volid", ID),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("image_metadata", sa.JSON, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.Column("deleted_at", UtcDateTime),
    sa.Index("ix_volumes_page", "project_id", "created_at", "id"),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", PROJECT, nullable=False),
    sa.Column("user_id", PROJECT, nullable=False),
    sa.Column("volume_id", ID, nullable=False),
    sa.Column("name", TEXT),
    sa.Column("description", sa.Text),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.Column("deleted_at", UtcDateTime),
    sa.Index("ix_snapshots_page", "project_id", "created_at", "id"),
    sa.Index("ix_snapshots_volume", "volume_id"),
)

# Imported records have no volume while they are creating.
_CREATING = "status = 'creating' AND deleted_at IS NULL AND volume_id <> '00000000-0000-0000-0000-000000000000'"
backups = sa.Table(
    "backups",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", PROJECT, nullable=False),
    sa.Column("repository_id", PROJECT, nullable=False),
    sa.Column("user_id", PROJECT, nullable=False),
    sa.Column("name", TEXT),
    sa.Column("description", sa.Text),
    sa.Column("volume_id", ID, nullable=False),
    sa.Column("volume_name", TEXT),
    sa.Column("volume_description", sa.Text),
    sa.Column("snapshot_id", ID),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("fail_reason", sa.Text),
    sa.Column("container", TEXT),
    sa.Column("availability_zone", TEXT),
    sa.Column("object_count", sa.Integer, nullable=False),
    sa.Column("asked_incremental", sa.Boolean, nullable=False),
    sa.Column("is_full", sa.Boolean, nullable=False),
    sa.Column("bootable", sa.Boolean, nullable=False),
    sa.Column("is_frozen", sa.Boolean, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("volume_metadata", sa.JSON, nullable=False),
    sa.Column("image_metadata", sa.JSON, nullable=False),
    sa.Column("bytes_total", sa.BigInteger, nullable=False),
    sa.Column("bytes_read", sa.BigInteger, nullable=False),
    sa.Column("bytes_stored", sa.BigInteger, nullable=False),
    sa.Column("data_timestamp", UtcDateTime, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("purged_at", UtcDateTime),
    sa.Column("policy_id", ID),
    sa.Column("data_id", ID, nullable=False),
    sa.Column("reference_id", ID),
    # Folding thousands of names takes longer than looking at them, and of columns PostgreSQL has statistics: it finds a
    # piece that all names have by walking the list, another in the index of names. In lower case a text may be longer.
    sa.Column("folded_name", sa.Text, sa.Computed("lower(name)", persisted=True)),
    # What has left the API stays in the table; lists must not pay for it.
    _where("ix_backups_page", "project_id", "created_at", "id", "deleted_at IS NULL"),
    # A piece of a name is looked for in it without a look at the table.
    _where("ix_backups_name", "project_id", "name", "id", "deleted_at IS NULL", include=["folded_name"]),
    _where("ix_backups_size", "project_id", "size_gib", "name", "id", "deleted_at IS NULL"),
    _where("ix_backups_status", "project_id", "status", "created_at", "id", "deleted_at IS NULL"),
    sa.Index("ix_backups_volume", "volume_id"),
    sa.Index("ix_backups_data", "repository_id", "data_id"),
    sa.Index(
        "ix_backups_policy",
        "policy_id",
        sqlite_where=sa.text("policy_id IS NOT NULL"),
        postgresql_where=sa.text("policy_id IS NOT NULL"),
    ),
    # One running backup per volume, whatever the callers race for.
    sa.Index(
        "uq_backups_creating",
        "volume_id",
        unique=True,
        sqlite_where=sa.text(_CREATING),
        postgresql_where=sa.text(_CREATING),
    ),
)

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("backup_id", ID, nullable=False),
    sa.Column("from_project_id", PROJECT, nullable=False),
    sa.Column("to_project_id", PROJECT, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.Column("cancelled_at", UtcDateTime),
    sa.Column("expires_at", UtcDateTime),
    # Found in the store when the records were made anew: cancelled as far as anybody can see, until it is accepted.
    sa.Column("suspended_at", UtcDateTime),
    _where("ix_shares_suspended", "backup_id", "suspended_at IS NOT NULL"),
    _where("ix_shares_expiring", "expires_at", "cancelled_at IS NULL AND expires_at IS NOT NULL"),
    # With expires_at these say of each share whether it is live, so that counting needs no look at the table.
    _where("ix_shares_from", "from_project_id", "created_at", "id", "expires_at", "cancelled_at IS NULL"),
    _where("ix_shares_to", "to_project_id", "created_at", "id", "expires_at", "cancelled_at IS NULL"),
    # At most one live share of a backup per recipient.
    sa.Index(
        "uq_shares_live",
        "backup_id",
        "to_project_id",
        unique=True,
        sqlite_where=sa.text("cancelled_at IS NULL"),
        postgresql_where=sa.text("cancelled_at IS NULL"),
    ),
)

# What the store was told of backups beside the facts in them, for a rescue.
store_records = sa.Table(
    "store_records",
    metadata,
    sa.Column("backup_id", ID, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("stored_version", sa.BigInteger, nullable=False),
    _where("ix_store_records_owed", "version", "version <> stored_version"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", PROJECT, nullable=False),
    sa.Column("user_id", PROJECT, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("backup_id", ID),
    sa.Column("volume_id", ID),
    sa.Column("snapshot_id", ID),
    sa.Column("share_id", ID),
    sa.Column("bytes_done", sa.BigInteger, nullable=False),
    sa.Column("bytes_total", sa.BigInteger, nullable=False),
    sa.Column("error_code", sa.String(64)),
    sa.Column("fail_reason", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("cancel_requested_by", sa.Text),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("begin_time", UtcDateTime),
    sa.Column("end_time", UtcDateTime),
    sa.Column("source_backup_id", ID),
    _where("ix_jobs_source", "source_backup_id", "source_backup_id IS NOT NULL"),
    sa.Index("ix_jobs_page", "project_id", "created_at", "id"),
    sa.Index("ix_jobs_backup", "backup_id"),
    # Each backup that is listed asks for its running jobs.
    _where("ix_jobs_open", "backup_id", "status IN ('INIT', 'RUNNING')"),
    # Collecting runs at most once per project at a time.
    sa.Index(
        "uq_jobs_collect",
        "project_id",
        unique=True,
        sqlite_where=sa.text("kind = 'collectRepository' AND status IN ('INIT', 'RUNNING')"),
        postgresql_where=sa.text("kind = 'collectRepository' AND status IN ('INIT', 'RUNNING')"),
    ),
)

audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("project_id", PROJECT, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("actor_project_id", PROJECT, nullable=False),
    sa.Column("actor_user_id", PROJECT, nullable=False),
    sa.Column("as_admin", sa.Boolean, nullable=False),
    sa.Column("backup_id", ID),
    sa.Column("share_id", ID),
    sa.Column("job_id", ID),
    sa.Column("to_project_id", PROJECT),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("source_address", sa.String(64)),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("policy_id", ID),
    sa.Column("once", TEXT),
    sa.Column("is_owed", sa.Boolean, nullable=False),
    sa.Index("ix_audit_events_page", "project_id", "at", "id"),
    sa.Index("ix_audit_events_backup", "backup_id"),
    sa.Index("ix_audit_events_at", "at"),
    _where("ix_audit_events_share", "share_id", "share_id IS NOT NULL"),
    _where("ix_audit_events_owed", "at", "is_owed"),
    _where("uq_audit_events_once", "once", "once IS NOT NULL", unique=True),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("host", TEXT, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("heartbeat_at", UtcDateTime, nullable=False),
)

quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("project_id", PROJECT, primary_key=True),
    sa.Column("resource", sa.String(32), primary_key=True),
    sa.Column("limit", sa.Integer, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)

repositories = sa.Table(
    "repositories",
    metadata,
    sa.Column("id", PROJECT, primary_key=True),
    sa.Column("measured_bytes", sa.BigInteger, nullable=False),
    sa.Column("added_bytes", sa.BigInteger, nullable=False),
    sa.Column("measured_at", UtcDateTime, nullable=False),
)

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", PROJECT, nullable=False),
    sa.Column("user_id", PROJECT, nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("start_time", TEXT, nullable=False),
    sa.Column("every_days", sa.Integer),
    sa.Column("weekdays", sa.JSON(none_as_null=True)),
    sa.Column("keep_number", sa.Integer),
    sa.Column("keep_days", sa.Integer),
    sa.Column("keep_first_of_month", sa.Boolean, nullable=False),
    sa.Column("is_on", sa.Boolean, nullable=False),
    sa.Column("time_zone", sa.String(64)),
    sa.Column("share_with", sa.JSON, nullable=False),
    sa.Column("next_due_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.Index("ix_policies_page", "project_id", "created_at", "id"),
    sa.Index("ix_policies_due", "next_due_at"),
)

policy_tags = sa.Table(
    "policy_tags",
    metadata,
    sa.Column("policy_id", ID, primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", TEXT, nullable=False),
)

policy_resources = sa.Table(
    "policy_resources",
    metadata,
    # A volume has at most one policy.
    sa.Column("volume_id", ID, primary_key=True),
    sa.Column("policy_id", ID, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("ix_policy_resources_policy", "policy_id"),
)

policy_tasks = sa.Table(
    "policy_tasks",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("policy_id", ID, nullable=False),
    sa.Column("project_id", PROJECT, nullable=False),
    sa.Column("volume_id", ID, nullable=False),
    sa.Column("due_at", UtcDateTime, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("backup_name", sa.String(64), nullable=False),
    sa.Column("backup_id", ID),
    sa.Column("job_id", ID),
    sa.Column("reason", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    # Each due time runs once, however many schedulers see it.
    sa.UniqueConstraint("policy_id", "volume_id", "due_at"),
    sa.Index("ix_policy_tasks_page", "policy_id", "created_at", "id"),
    sa.Index("ix_policy_tasks_finished", "finished_at"),
    sa.Index(
        "ix_policy_tasks_open",
        "status",
        sqlite_where=sa.text("status = 'WAITING'"),
        postgresql_where=sa.text("status = 'WAITING'"),
    ),
)
