"""cloudbackups: create, delete, restore, quota."""

from dataclasses import asdict

from openvbs.actions import backups as actions
from openvbs.actions import quotas
from openvbs.actions.copies import copy_backup
from openvbs.actions.restores import restore_backup
from openvbs.api.ids import uuid_or_none
from openvbs.api.vbs import bodies, views
from openvbs.api.wire import Answer, Call, WireError
from openvbs.domain.backup import NewRestore
from openvbs.domain.quota import Resource


def create(call: Call) -> Answer:
    _, job = actions.create_backup(call.service, call.caller, bodies.create_backup(call))
    return Answer(200, {"job_id": job.id})


def delete(call: Call) -> Answer:
    """POST and DELETE on one cloudbackup."""
    backup_id = uuid_or_none(call.params.get("backup_id", "quota"))
    if backup_id is None:
        raise WireError(400, "VolumeBackup.0105", "The id in the path must be the UUID of a backup.")
    job = actions.delete_backup(call.service, call.caller, backup_id)
    return Answer(200, {"job_id": job.id})


def show_tags(call: Call) -> Answer:
    """The tags that a backup was made with; nothing in the contract shows them. Ours."""
    tags = actions.get_tags(call.service, call.caller, _backup_id(call))
    return Answer(200, {"tags": views.tag_list(tags)})


def restore(call: Call) -> Answer:
    wanted = NewRestore(volume_id=bodies.restore_target(call))
    _, _, job = restore_backup(call.service, call.caller, _backup_id(call), wanted)
    return Answer(200, {"job_id": job.id})


def copy(call: Call) -> Answer:
    """Keep a copy of a backup, also of a shared one, in the own project. Ours."""
    name, description = bodies.copy_backup(call)
    backup_id = uuid_or_none(call.params["backup_id"])
    if backup_id is None:
        raise WireError(400, "VolumeBackup.0204", "The id in the path must be the UUID of a backup.")
    made, job = copy_backup(call.service, call.caller, backup_id, name=name, description=description)
    return Answer(200, {"job_id": job.id, "backup_id": made.id})


def quota(call: Call) -> Answer:
    found = quotas.get_quotas(call.service, call.caller, call.caller.project_id)
    resources = [
        {
            "type": kind,
            "used": found[kind].usage.in_use,
            "reserved": found[kind].usage.reserved,
            "quota": found[kind].limit,
        }
        for kind in (Resource.BACKUPS, Resource.BACKUP_GIGABYTES)
    ]
    return Answer(200, {"quotas": {"resources": resources}})


def usage(call: Call) -> Answer:
    """What the project's backups take up, also in real bytes. Ours."""
    return Answer(200, {"usage": asdict(quotas.get_stored_usage(call.service, call.caller))})


def _backup_id(call: Call) -> str:
    given_id = call.params["backup_id"]
    backup_id = uuid_or_none(given_id)
    if backup_id is None:
        code = "VolumeBackup.0204" if given_id else "VolumeBackup.0203"
        raise WireError(400, code, "The id in the path must be the UUID of a backup.")
    return backup_id
