"""Every route, how it is asked for something that is there, and what each role gets. Tests see that none is missing."""

from dataclasses import dataclass
from typing import Any

ROLES = ("no token", "reader", "member", "other", "recipient", "admin")
"""Reader and member of the project that owns the thing; a stranger; who it is shared with; an admin of another one."""
NATIVE_BASES = ("/v2/{project_id}", "/v3/{project_id}", "/v3")


@dataclass(frozen=True)
class Door:
    """One route."""

    target: str
    statuses: tuple[int, int, int, int, int, int]
    """One for each of ROLES."""
    body: Any = None


def read(target: str, *, recipient: int = 404, admin: int = 404, body: Any = None) -> Door:
    """What shows one thing."""
    return Door(target, (401, 200, 200, 404, recipient, admin), body)


def listed(target: str, body: Any = None) -> Door:
    """What anybody may ask about the own project."""
    return Door(target, (401, 200, 200, 200, 200, 200), body)


def write(
    target: str, done: int, body: Any = None, *, other: int = 404, recipient: int = 404, admin: int = 404
) -> Door:
    """What readers may not do."""
    return Door(target, (401, 403, done, other, recipient, admin), body)


def anywhere(target: str, done: int, body: Any = None) -> Door:
    """What readers may not do, and others do in their own project."""
    return write(target, done, body, other=done, recipient=done, admin=done)


def administer(target: str, done: int, body: Any = None) -> Door:
    """What only an administrator may do."""
    return Door(target, (401, 403, 403, 403, 403, done), body)


_V2 = "/v2/{p}"
_BACKUP, _POLICY = f"{_V2}/cloudbackups/{{backup}}", f"{_V2}/backuppolicy/{{policy}}"
_SHARING = f"{_V2}/os-vendor-backup-sharing"
_RESOURCES = [{"resource_id": "{volume}", "resource_type": "volume"}]
_SCHEDULE = {"start_time": "21:00", "frequency": 1, "rentention_num": 2, "status": "ON"}

VBS: dict[tuple[str, str], Door] = {
    ("GET", "/v1/{project_id}/jobs/{job_id}"): read("/v1/{p}/jobs/{job}"),
    ("GET", "/v2/{project_id}/jobs/{job_id}"): read(f"{_V2}/jobs/{{job}}"),
    ("DELETE", "/v2/{project_id}/jobs/{job_id}"): write(f"{_V2}/jobs/{{job}}", 202),
    ("GET", "/v2/{project_id}/jobs"): listed(f"{_V2}/jobs?backup_id={{backup}}"),
    ("GET", "/v2/{project_id}/audit-events"): listed(f"{_V2}/audit-events?backup_id={{backup}}"),
    ("GET", "/v2/{project_id}/usage"): listed(f"{_V2}/usage"),
    ("POST", "/v2/{project_id}/cloudbackups"): write(
        f"{_V2}/cloudbackups", 200, {"backup": {"volume_id": "{volume}", "name": "x"}}
    ),
    ("GET", "/v2/{project_id}/cloudbackups/quota"): listed(f"{_V2}/cloudbackups/quota"),
    ("POST", "/v2/{project_id}/cloudbackups/quota"): anywhere(f"{_V2}/cloudbackups/quota", 400),
    ("DELETE", "/v2/{project_id}/cloudbackups/quota"): anywhere(f"{_V2}/cloudbackups/quota", 400),
    ("POST", "/v2/{project_id}/cloudbackups/{backup_id}"): write(_BACKUP, 200, recipient=403),
    ("DELETE", "/v2/{project_id}/cloudbackups/{backup_id}"): write(_BACKUP, 200, recipient=403),
    ("GET", "/v2/{project_id}/cloudbackups/{backup_id}/tags"): read(f"{_BACKUP}/tags", recipient=403),
    ("POST", "/v2/{project_id}/cloudbackups/{backup_id}/restore"): write(
        f"{_BACKUP}/restore", 200, {"restore": {"volume_id": "{mine}"}}, recipient=200
    ),
    ("POST", "/v2/{project_id}/cloudbackups/{backup_id}/copy"): write(f"{_BACKUP}/copy", 200, recipient=200),
    ("POST", "/v2/{project_id}/os-vendor-backup-sharing"): write(
        _SHARING, 200, {"shared": {"backup_id": "{backup}", "to_project_ids": ["nobody"]}}, recipient=403
    ),
    ("DELETE", "/v2/{project_id}/os-vendor-backup-sharing"): anywhere(_SHARING, 400),
    ("GET", "/v2/{project_id}/os-vendor-backup-sharing/detail"): listed(f"{_SHARING}/detail?backup_id={{backup}}"),
    ("GET", "/v2/{project_id}/os-vendor-backup-sharing/count"): listed(f"{_SHARING}/count?backup_id={{backup}}"),
    ("GET", "/v2/{project_id}/os-vendor-backup-sharing/{share_id}"): read(f"{_SHARING}/{{share}}", recipient=200),
    ("DELETE", "/v2/{project_id}/os-vendor-backup-sharing/{share_id}"): write(
        f"{_SHARING}/{{share}}", 200, recipient=200
    ),
    ("POST", "/v2/{project_id}/backuppolicy"): anywhere(
        f"{_V2}/backuppolicy", 200, {"backup_policy_name": "x", "scheduled_policy": _SCHEDULE}
    ),
    ("GET", "/v2/{project_id}/backuppolicy"): listed(f"{_V2}/backuppolicy"),
    ("GET", "/v2/{project_id}/backuppolicy/tags"): listed(f"{_V2}/backuppolicy/tags"),
    ("POST", "/v2/{project_id}/backuppolicy/resource_instances/action"): listed(
        f"{_V2}/backuppolicy/resource_instances/action", {"action": "filter"}
    ),
    ("PUT", "/v2/{project_id}/backuppolicy/{policy_id}"): write(_POLICY, 200, {"backup_policy_name": "y"}),
    ("DELETE", "/v2/{project_id}/backuppolicy/{policy_id}"): write(_POLICY, 204),
    ("POST", "/v2/{project_id}/backuppolicy/{policy_id}/action"): write(f"{_POLICY}/action", 204),
    ("GET", "/v2/{project_id}/backuppolicy/{policy_id}/backuptasks"): read(f"{_POLICY}/backuptasks"),
    ("GET", "/v2/{project_id}/backuppolicy/{policy_id}/retention-preview"): read(f"{_POLICY}/retention-preview"),
    ("GET", "/v2/{project_id}/backuppolicy/{policy_id}/tags"): read(f"{_POLICY}/tags"),
    ("POST", "/v2/{project_id}/backuppolicy/{policy_id}/tags"): write(
        f"{_POLICY}/tags", 204, {"tag": {"key": "k", "value": "v"}}
    ),
    ("POST", "/v2/{project_id}/backuppolicy/{policy_id}/tags/action"): write(
        f"{_POLICY}/tags/action", 204, {"action": "create", "tags": [{"key": "k", "value": "v"}]}
    ),
    # The policy has no tag of this name, which only its own project learns.
    ("DELETE", "/v2/{project_id}/backuppolicy/{policy_id}/tags/action"): write(f"{_POLICY}/tags/action", 404),
    ("DELETE", "/v2/{project_id}/backuppolicy/{policy_id}/tags/{key}"): write(f"{_POLICY}/tags/a", 204),
    ("POST", "/v2/{project_id}/backuppolicyresources"): write(
        f"{_V2}/backuppolicyresources", 200, {"backup_policy_id": "{policy}", "resources": _RESOURCES}
    ),
    ("POST", "/v2/{project_id}/backuppolicyresources/{policy_id}/deleted_resources"): write(
        f"{_V2}/backuppolicyresources/{{policy}}/deleted_resources", 200, {"resources": _RESOURCES}
    ),
}


def _native(base: str) -> dict[tuple[str, str], Door]:
    """The native routes. On /v3 an admin sees and deletes what is another project's, by its id."""
    n = base.replace("{project_id}", "{p}")
    v3 = base.startswith("/v3")
    sees, removes = (200, 202) if v3 else (404, 404)
    backup, quota = f"{n}/backups/{{backup}}", f"{n}/os-quota-sets/{{p}}"
    doors = {
        ("GET", "backups"): listed(f"{n}/backups?volume_id={{volume}}"),
        ("GET", "backups/detail"): listed(f"{n}/backups/detail?volume_id={{volume}}"),
        ("POST", "backups"): write(f"{n}/backups", 202, {"backup": {"volume_id": "{volume}"}}),
        ("GET", "backups/{backup_id}"): read(backup, recipient=200, admin=sees),
        ("DELETE", "backups/{backup_id}"): write(backup, 202, recipient=403, admin=removes),
        ("POST", "backups/{backup_id}/restore"): write(
            f"{backup}/restore", 202, {"restore": {"volume_id": "{mine}"}}, recipient=202
        ),
        ("POST", "backups/{backup_id}/action"): administer(
            f"{backup}/action", removes, {"os-reset_status": {"status": "error"}}
        ),
        ("GET", "backups/{backup_id}/export_record"): administer(f"{backup}/export_record", sees),
        # A record that is none, which only who may import one learns.
        ("POST", "backups/import_record"): administer(
            f"{n}/backups/import_record", 400, {"backup-record": {"backup_service": "x", "backup_url": "x"}}
        ),
        ("GET", "limits"): listed(f"{n}/limits"),
        ("GET", "os-quota-sets/{target_id}"): listed(quota),
        ("GET", "os-quota-sets/{target_id}/defaults"): listed(f"{quota}/defaults"),
        ("PUT", "os-quota-sets/{target_id}"): administer(quota, 200, {"quota_set": {"backups": 7}}),
        ("DELETE", "os-quota-sets/{target_id}"): administer(quota, 200),
        **_kept(n, "volume", {"size": 1}, sees, removes),
        **_kept(n, "snapshot", {"volume_id": "{volume}"}, sees, removes),
        ("POST", "volumes/{volume_id}/action"): write(
            f"{n}/volumes/{{volume}}/action", 202, {"os-extend": {"new_size": 2}}, admin=removes
        ),
    }
    if v3:
        doors["PUT", "backups/{backup_id}"] = write(backup, 200, {"backup": {"name": "x"}}, recipient=403, admin=403)
    return {(method, f"{base}/{path}"): door for (method, path), door in doors.items()}


def _kept(n: str, kind: str, new: dict[str, Any], sees: int, removes: int) -> dict[tuple[str, str], Door]:
    """Volumes and snapshots, which have the same routes."""
    one, template = f"{n}/{kind}s/{{{kind}}}", f"{kind}s/{{{kind}_id}}"
    make = anywhere if kind == "volume" else write
    whole, item = {"metadata": {"k": "v"}}, {"meta": {"owner": "v"}}
    key = "owner" if kind == "volume" else "a"
    return {
        ("GET", f"{kind}s"): listed(f"{n}/{kind}s"),
        ("GET", f"{kind}s/detail"): listed(f"{n}/{kind}s/detail"),
        ("POST", f"{kind}s"): make(f"{n}/{kind}s", 202, {kind: new}),
        ("GET", template): read(one, admin=sees),
        ("PUT", template): write(one, 200, {kind: {"name": "x"}}, admin=sees),
        ("DELETE", template): write(one, 202, admin=removes),
        ("GET", f"{template}/metadata"): read(f"{one}/metadata", admin=sees),
        ("POST", f"{template}/metadata"): write(f"{one}/metadata", 200, whole, admin=sees),
        ("PUT", f"{template}/metadata"): write(f"{one}/metadata", 200, whole, admin=sees),
        ("GET", f"{template}/metadata/{{key}}"): read(f"{one}/metadata/{key}", admin=sees),
        ("PUT", f"{template}/metadata/{{key}}"): write(f"{one}/metadata/owner", 200, item, admin=sees),
        ("DELETE", f"{template}/metadata/{{key}}"): write(f"{one}/metadata/{key}", 200, admin=sees),
    }


DOORS: dict[tuple[str, str], Door] = {
    **VBS,
    ("GET", "/v2/{project_id}/os-vendor-tags/volumes/{volume_id}"): read(f"{_V2}/os-vendor-tags/volumes/{{volume}}"),
    ("PUT", "/v2/{project_id}/os-vendor-tags/volumes/{volume_id}"): write(
        f"{_V2}/os-vendor-tags/volumes/{{volume}}", 200, {"tags": {"k": "v"}}
    ),
    **{key: door for base in NATIVE_BASES for key, door in _native(base).items()},
}
