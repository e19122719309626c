"""Audit events in the form of DMTF's CADF (DSP0262), as OpenStack's services tell them: initiators like Keystone's."""

from typing import Any

from pycadf import attachment, cadftaxonomy, event, host, reason, resource

from openvbs.domain.audit import REFUSED, AuditEvent

_OBSERVER_TYPE = "service/storage/backup"
_BACKUP_TYPE = "storage/volume/backup"
_ACTIONS = {
    "backup.create": "backup",
    "backup.copy": "backup",
    "job.cancel": "stop",
    "share.create": "allow",
    "share.abort": "stop",
    "share.cancel": "revoke",
    "share.decline": "revoke",
    "share.expire": "revoke",
    "share.look": "read",
    "share.copy": "read",
    "policy.run": "start",
    "policy.associate": "enable",
    "policy.disassociate": "disable",
}
_VERBS = {"create", "update", "delete", "restore"}
_OTHER_VERB = "update"
_FAILURES = {REFUSED, "failed"}


def cadf_of(record: AuditEvent) -> dict[str, Any]:
    """The CADF event, ready for JSON. What CADF has no word for is in the attachment, in the words of our API."""
    told = event.Event(
        id=record.id,
        eventTime=f"{record.at:%Y-%m-%dT%H:%M:%S.%f}+0000",
        action=_action(record),
        outcome=_outcome(record),
        initiator=_initiator(record),
        target=_target(record),
        observer=resource.Resource(id="observer", typeURI=_OBSERVER_TYPE, name="openvbs"),
        name=record.action,
        reason=reason.Reason(reasonType="HTTP", reasonCode="403") if record.outcome == REFUSED else None,
    )
    content = {
        "outcome": record.outcome,
        "project_id": record.project_id,
        "to_project_id": record.to_project_id,
        "backup_id": record.backup_id,
        "share_id": record.share_id,
        "policy_id": record.policy_id,
        "job_id": record.job_id,
        "as_admin": record.as_admin,
        "details": record.details,
    }
    told.add_attachment(attachment.Attachment(typeURI="application/json", content=content, name="audit_event"))
    found: dict[str, Any] = told.as_dict()
    return found


def _action(record: AuditEvent) -> str:
    name = record.action.removesuffix("_end")
    verb = name.partition(".")[2]
    return _ACTIONS.get(name, verb if verb in _VERBS else _OTHER_VERB)


def _outcome(record: AuditEvent) -> str:
    was_stopped = record.action.endswith("_end") and record.outcome == "cancelled"
    if was_stopped or record.outcome in _FAILURES:
        return str(cadftaxonomy.OUTCOME_FAILURE)
    return str(cadftaxonomy.OUTCOME_PENDING if record.outcome == "accepted" else cadftaxonomy.OUTCOME_SUCCESS)


def _initiator(record: AuditEvent) -> resource.Resource:
    who = resource.Resource(
        id=record.actor_user_id,
        typeURI=cadftaxonomy.ACCOUNT_USER,
        host=host.Host(address=record.source_address) if record.source_address else None,
    )
    who.project_id = record.actor_project_id
    who.request_id = record.request_id
    return who


def _target(record: AuditEvent) -> resource.Resource:
    area = record.action.partition(".")[0]
    kinds = {"share": (record.share_id, "/share"), "policy": (record.policy_id, "/policy")}
    target_id, kind = kinds.get(area, (None, ""))
    if target_id is None:
        target_id, kind = record.backup_id, ""
    # Of what has no id of its own, such as a refused attempt to make something, the project is the target.
    type_uri = cadftaxonomy.SECURITY_PROJECT if target_id is None else f"{_BACKUP_TYPE}{kind}"
    target = resource.Resource(id=target_id or record.project_id, typeURI=type_uri)
    target.project_id = record.project_id
    return target
