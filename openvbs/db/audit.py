"""Audit events. Written in the transaction of what they tell, so that neither is there without the other."""

import sqlalchemy as sa

from openvbs.db.rows import from_value, page, to_value
from openvbs.db.tables import audit_events
from openvbs.domain.audit import AuditEvent, AuditQuery
from openvbs.domain.page import Page


def insert(connection: sa.Connection, event: AuditEvent) -> None:
    connection.execute(audit_events.insert().values(from_value(event)))


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
