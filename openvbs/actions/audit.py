"""Read audit events."""

from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import audit
from openvbs.domain.audit import AuditEvent, AuditQuery
from openvbs.domain.page import Page


def list_events(service: Service, caller: Caller, query: AuditQuery) -> Page[AuditEvent]:
    """The events of the project's own backups and shares, newest first, also what recipients did. MarkerNotFound."""
    service.permissions.require(caller, "audit:list")
    with service.database.read() as connection:
        return audit.list_page(connection, query, project_id=caller.project_id)
