"""Audit events of the project's own backups and shares, an extension of ours."""

from openvbs.actions.audit import list_events
from openvbs.api import query
from openvbs.api.paging import next_links
from openvbs.api.vbs import views
from openvbs.api.wire import Answer, Call
from openvbs.domain.audit import AuditQuery


def list_page(call: Call) -> Answer:
    values = query.parse(call.request.query_string)
    wanted = AuditQuery(
        backup_id=query.lowered(values, "backup_id"),
        share_id=query.lowered(values, "share_id"),
        policy_id=query.lowered(values, "policy_id"),
        limit=query.limit(values, call.settings.page_items_max),
        marker=query.lowered(values, "marker"),
    )
    page = list_events(call.service, call.caller, wanted)
    body: dict[str, object] = {"audit_events": [views.audit_event(event, call.caller) for event in page.items]}
    if links := next_links(call, values, page.items[-1].id if page.items else None, has_more=page.has_more):
        body["audit_events_links"] = links
    return Answer(200, body)
