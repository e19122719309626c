"""Read audit events, and write those that belong to no change: looks of recipients, and attempts that were refused.

Such an event is written at most once a day for the same look or refusal, in a transaction of its own. If the database
does not take it, the caller is served all the same, and the next time writes it. Looks are written after the answer
where the service can: a list of many shares must not wait for them, and what a crash loses the next day's look tells.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from openvbs.actions.service import Service, make_event
from openvbs.auth.caller import Caller
from openvbs.db import audit
from openvbs.db.session import DatabaseUnavailable
from openvbs.domain.audit import REFUSED, AuditAction, AuditEvent, AuditQuery
from openvbs.domain.errors import Forbidden, RecipientForbidden
from openvbs.domain.page import Page
from openvbs.domain.share import Share

log = logging.getLogger(__name__)

FORGET_AT_ONCE = 1000


def list_events(service: Service, caller: Caller, query: AuditQuery) -> Page[AuditEvent]:
    """The events of the project's own backups and shares, newest first, also what recipients did. MarkerNotFound."""
    service.permissions.require(caller, "audit:list")
    with service.database.read() as connection:
        return audit.list_page(connection, query, project_id=caller.project_id)


def note_looks(service: Service, caller: Caller, shares: Sequence[Share]) -> None:
    """Tell each owner that the caller, the recipient, saw the share: once a day (UTC) for each share."""
    day = service.clock().date().isoformat()
    by_key = {f"look {share.id} {day}": share for share in shares}
    new = service.noted.claim(by_key)
    if new:
        service.later(lambda: _write_once(service, {key: _look(service, caller, by_key[key], key) for key in new}))


def _look(service: Service, caller: Caller, share: Share, key: str) -> AuditEvent:
    return make_event(
        service,
        caller,
        AuditAction.SHARE_LOOK,
        owner=share.from_project_id,
        backup_id=share.backup_id,
        share_id=share.id,
        to_project_id=caller.project_id,
        outcome="seen",
        once=key,
    )


def note_refusal(service: Service, caller: Caller, permission: str, error: Forbidden) -> None:
    """Tell of what somebody who may know of the thing was refused: once a day (UTC) for each user and action.

    A recipient's attempt at the owner's rights is told to the owner, a too weak role in a project to that project.
    """
    day = service.clock().date().isoformat()
    backup = error.backup if isinstance(error, RecipientForbidden) else None
    key = f"no {permission} {backup.id if backup else '-'} {caller.project_id} {caller.user_id} {day}"
    if service.noted.claim([key]):
        event = make_event(
            service,
            caller,
            permission.replace(":", "."),
            owner=backup.project_id if backup else caller.project_id,
            backup_id=backup.id if backup else None,
            to_project_id=caller.project_id if backup else None,
            outcome=REFUSED,
            details={"why": str(error)},
            once=key,
        )
        _write_once(service, {key: event})


def _write_once(service: Service, events: Mapping[str, AuditEvent]) -> None:
    try:
        with service.database.read() as connection:
            there = audit.once_there(connection, events.keys())
        new = [event for key, event in events.items() if key not in there]
        if new:
            with service.database.write() as connection:
                audit.insert_once(connection, new)
    except DatabaseUnavailable:
        log.warning("%d audit events must wait for the next time", len(events), exc_info=True)
        service.noted.release(events)


def forget_old_events(service: Service) -> None:
    """Remove events that are older than they are kept; for the operator, no caller involved."""
    keep_days = service.audit_rules.keep_days
    if not keep_days:
        return
    before = service.clock() - timedelta(days=keep_days)
    removed = FORGET_AT_ONCE
    while removed == FORGET_AT_ONCE:  # in bits, so that nobody waits for long
        with service.database.write() as connection:
            removed = audit.forget(connection, before=before, limit=FORGET_AT_ONCE)
