"""Native backups, /v2 and /v3."""

from typing import Any

from openvbs.actions import backup_records as records
from openvbs.actions import backups as actions
from openvbs.actions.restores import restore_backup
from openvbs.api import query
from openvbs.api.ids import uuid_or_none
from openvbs.api.native import bodies, lists, views
from openvbs.api.native.records import decode, encode
from openvbs.api.vbs.bodies import TAGS_MAX
from openvbs.api.wire import BAD_REQUEST, Answer, Call, WireError, with_job
from openvbs.domain.backup import Backup, BackupQuery
from openvbs.domain.errors import BackupNotFound, RestoreBackupNotFound


def create(call: Call) -> Answer:
    backup, job = actions.create_backup(call.service, call.caller, bodies.backup(call))
    shown = views.backup_summary(call, backup)
    if call.is_v3 and call.version >= (3, 43):
        shown["metadata"] = backup.metadata
    return with_job(202, {"backup": shown}, job.id)


def list_summary(call: Call) -> Answer:
    return _list(call, detailed=False)


def list_detail(call: Call) -> Answer:
    return _list(call, detailed=True)


def show(call: Call) -> Answer:
    backup, as_recipient = actions.get_backup(call.service, call.caller, _backup_id(call))
    return Answer(200, {"backup": views.backup_detail(call, backup, as_recipient=as_recipient)})


def update(call: Call) -> Answer:
    changes = bodies.backup_change(call)
    backup = actions.update_backup(call.service, call.caller, _backup_id(call), **changes)
    shown = views.backup_summary(call, backup)
    if call.version >= (3, 43):
        shown["metadata"] = backup.metadata
    return Answer(200, {"backup": shown})


def delete(call: Call) -> Answer:
    job = actions.delete_backup(call.service, call.caller, _backup_id(call))
    return with_job(202, None, job.id)


def restore(call: Call) -> Answer:
    wanted = bodies.restore(call)
    backup_id = _backup_id(call, missing=RestoreBackupNotFound)
    backup, volume, job = restore_backup(call.service, call.caller, backup_id, wanted)
    shown = {"backup_id": backup.id, "volume_id": volume.id, "volume_name": volume.name or ""}
    return with_job(202, {"restore": shown}, job.id)


def act(call: Call) -> Answer:
    """What administrators do to a backup."""
    name, value = bodies.action(call, _ACTIONS)
    return _ACTIONS[name](call, value)


def _reset_status(call: Call, value: Any) -> Answer:
    wanted = bodies.reset_status(value)
    job = records.reset_backup(call.service, call.caller, _backup_id(call), wanted)
    return Answer(202) if job is None else with_job(202, None, job.id)


def _force_delete(call: Call, value: Any) -> Answer:
    bodies.nothing("os-force_delete", value)
    job = records.force_delete_backup(call.service, call.caller, _backup_id(call))
    return with_job(202, None, job.id)


_ACTIONS = {"os-reset_status": _reset_status, "os-force_delete": _force_delete}


def export_record(call: Call) -> Answer:
    backup = records.export_record(call.service, call.caller, _backup_id(call))
    return Answer(200, {"backup-record": encode(backup)})


def import_record(call: Call) -> Answer:
    new = decode(*bodies.backup_record(call))
    backup, job = records.import_record(call.service, call.caller, new)
    return with_job(201, {"backup": views.backup_summary(call, backup)}, job.id)


def _list(call: Call, *, detailed: bool) -> Answer:
    values = query.parse(call.request.query_string)
    wanted = lists.arguments(call, lists.BACKUPS, values)
    if not call.is_v3:
        wanted["tags"] = _tags(values.get("tags"))
    page = actions.list_backups(call.service, call.caller, BackupQuery(**wanted))

    def view(backup: Backup) -> dict[str, object]:
        return views.backup_detail(call, backup) if detailed else views.backup_summary(call, backup)

    return lists.answer(call, lists.BACKUPS, values, page, view)


def _tags(text: str | None) -> dict[str, str | None]:
    """``tags=team=core,tier``: tags that must all be there, with this value or with any. Ours."""
    wanted: dict[str, str | None] = {}
    for part in [] if text is None else text.split(","):
        key, equals, value = part.partition("=")
        if key in wanted or len(wanted) == TAGS_MAX:
            raise WireError(400, BAD_REQUEST, f"tags must hold up to {TAGS_MAX} different keys.")
        wanted[key] = value if equals else None
    return wanted


def _backup_id(call: Call, *, missing: type[BackupNotFound] = BackupNotFound) -> str:
    """A malformed id is one that nothing has: clients look names up in this way."""
    given_id = call.params["backup_id"]
    backup_id = uuid_or_none(given_id)
    if backup_id is None:
        raise missing(given_id)
    return backup_id
