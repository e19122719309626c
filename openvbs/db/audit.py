"""Audit events. What changes something writes them in its own transaction: neither is there without the other."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openvbs.db.rows import from_value, page, to_value
from openvbs.db.tables import audit_events
from openvbs.domain.audit import AuditEvent, AuditQuery
from openvbs.domain.page import Page


def insert(connection: sa.Connection, event: AuditEvent) -> None:
    connection.execute(audit_events.insert().values(from_value(event)))


def insert_once(connection: sa.Connection, events: Sequence[AuditEvent]) -> None:
    """Add those whose ``once`` is not there yet, whoever else adds the same at this moment."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(audit_events).on_conflict_do_nothing(), [from_value(event) for event in events])


def once_there(connection: sa.Connection, keys: Collection[str]) -> set[str]:
    """Which of these ``once`` are there already."""
    return set(connection.scalars(sa.select(audit_events.c.once).where(audit_events.c.once.in_(keys))))


def list_page(connection: sa.Connection, query: AuditQuery, *, project_id: str) -> Page[AuditEvent]:
    """The events that a project may read, newest first."""
    conditions = [audit_events.c.project_id == project_id]
    if query.backup_id is not None:
        conditions.append(audit_events.c.backup_id == query.backup_id)
    if query.share_id is not None:
        conditions.append(audit_events.c.share_id == query.share_id)
    if query.policy_id is not None:
        conditions.append(audit_events.c.policy_id == query.policy_id)
    return page(
        connection,
        sa.select(audit_events).where(*conditions),
        order=[(audit_events.c.at, "desc")],
        id_column=audit_events.c.id,
        make=lambda row: to_value(AuditEvent, row),
        limit=query.limit,
        marker=query.marker,
    )


def forget(connection: sa.Connection, *, before: datetime, limit: int) -> int:
    """Remove some of the events from before then; gives how many."""
    old = sa.select(audit_events.c.id).where(audit_events.c.at < before).order_by(audit_events.c.at).limit(limit)
    return connection.execute(audit_events.delete().where(audit_events.c.id.in_(old))).rowcount


def is_any_owed(connection: sa.Connection) -> bool:
    return bool(connection.scalar(sa.select(sa.literal(1)).where(audit_events.c.is_owed).limit(1)))


def owed(connection: sa.Connection, *, limit: int) -> list[AuditEvent]:
    """Events that the notifications do not have, oldest first, locked until our commit; not those that others lock."""
    query = sa.select(audit_events).where(audit_events.c.is_owed).order_by(audit_events.c.at, audit_events.c.id)
    if connection.dialect.name != "sqlite":
        query = query.with_for_update(skip_locked=True)
    return [to_value(AuditEvent, row) for row in connection.execute(query.limit(limit))]


def mark_sent(connection: sa.Connection, event_ids: Collection[str]) -> None:
    connection.execute(audit_events.update().where(audit_events.c.id.in_(event_ids)).values(is_owed=False))
