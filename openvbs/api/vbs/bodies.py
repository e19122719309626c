"""Bodies of the VBS dialect: which field breaks which rule decides the code, in the contract's order of checks."""

import re
from datetime import datetime
from typing import Any

from openvbs.api import body
from openvbs.api.ids import is_project_id, uuid_or_none
from openvbs.api.times import moment_or_none
from openvbs.api.wire import BAD_REQUEST, Call, WireError
from openvbs.domain.backup import NewBackup

NAME_CHARACTERS_MAX = 64
DESCRIPTION_CHARACTERS_MAX = 64
TAGS_MAX = 10
TAG_KEY_CHARACTERS_MAX = 36
TAG_VALUE_CHARACTERS_MAX = 43
RESERVED_PREFIX = "auto"

_NAME = re.compile(r"[.A-Za-z0-9_-]+", re.ASCII)
_DESCRIPTION_FORBIDDEN = re.compile(r"[<>\x00-\x08\x0b-\x1f]")
_TAG_FORBIDDEN = re.compile(r"[\x00-\x1f=*<>\\,|/]")


def read_envelope(call: Call, name: str, *, code: str = BAD_REQUEST) -> dict[str, Any]:
    """The object under the body's one key that counts; ``code`` says that there is none."""
    try:
        raw = body.read(call.request, bytes_max=call.settings.body_bytes_max)
        decoded = body.decode(raw, dict[str, Any])
    except body.BodyTooLarge as error:
        raise WireError(400, BAD_REQUEST, error.message) from error
    except WireError as error:
        raise WireError(400, code, error.message) from error
    inner = decoded.get(name)
    if not isinstance(inner, dict):
        raise WireError(400, code, f"{name} is required and must be an object.")
    return inner


def create_backup(call: Call) -> NewBackup:
    """POST cloudbackups."""
    fields = read_envelope(call, "backup")
    for key, kind in (("name", str), ("description", str), ("extend_param", dict)):
        # "" stands for nothing, also where an object belongs.
        if fields.get(key) not in (None, "") and not isinstance(fields[key], kind):
            raise _bad(BAD_REQUEST, f"{key} must be {'a string' if kind is str else 'an object'}.")
    return NewBackup(
        volume_id=_volume_id(fields.get("volume_id")),
        name=_name(fields.get("name")),
        description=_description(fields.get("description")),
        snapshot_id=_snapshot_id(fields.get("snapshot_id")),
        full=_full(fields.get("extend_param") or {}),
        tags=_tags(fields.get("tags")),
        force=True,
    )


def copy_backup(call: Call) -> tuple[str | None, str | None]:
    """POST cloudbackups/{id}/copy: the name and the description of the copy, if it is to have its own."""
    has_body = call.request.content_length or call.request.get_header("Transfer-Encoding")
    fields = read_envelope(call, "copy") if has_body else {}
    for key in ("name", "description"):
        if fields.get(key) is not None and not isinstance(fields[key], str):
            raise _bad(BAD_REQUEST, f"{key} must be a string.")
    name = fields.get("name")
    return None if not name else _name(name), _description(fields.get("description"))


def restore_target(call: Call) -> str:
    """POST cloudbackups/{id}/restore: the volume to restore into."""
    fields = read_envelope(call, "restore", code="VolumeBackup.0210")
    volume_id = uuid_or_none(fields.get("volume_id"))
    if volume_id is None:
        raise _bad("VolumeBackup.0208", "volume_id is required and must be the UUID of a volume.")
    return volume_id


def share(call: Call, *, projects_max: int) -> tuple[str, list[str], datetime | None]:
    """POST os-vendor-backup-sharing: the backup, the projects to share it with and, ours, when the shares end."""
    fields = read_envelope(call, "shared")
    given_id = fields.get("backup_id")
    if given_id in (None, ""):
        raise _bad("VolumeBackup.0203", "backup_id is required.")
    backup_id = uuid_or_none(given_id)
    if backup_id is None:
        raise _bad("VolumeBackup.0204", "backup_id must be the UUID of a backup.")
    projects = fields.get("to_project_ids")
    if not isinstance(projects, list) or not projects:
        raise _bad(BAD_REQUEST, "to_project_ids is required and must be a list of at least one project id.")
    if len(projects) > projects_max:
        raise _bad(BAD_REQUEST, f"to_project_ids has {len(projects)} entries; {projects_max} are allowed.")
    if not all(is_project_id(project) for project in projects):
        raise _bad(BAD_REQUEST, "to_project_ids must hold project ids: 1 to 64 of letters, digits, _ and -.")
    return backup_id, projects, _expires_at(fields.get("expires_at"))


def _expires_at(value: Any) -> datetime | None:
    if value is None:
        return None
    moment = moment_or_none(value)
    if moment is None:
        raise _bad(
            BAD_REQUEST, "expires_at must be a time like 2026-03-04T05:06:07 (UTC) or 2026-03-04T05:06:07+01:00."
        )
    return moment


def _volume_id(value: Any) -> str:
    if value in (None, ""):
        raise _bad("VolumeBackup.0010", "volume_id is required.")
    volume_id = uuid_or_none(value)
    if volume_id is None:
        raise _bad("VolumeBackup.0011", "volume_id must be the UUID of a volume.")
    return volume_id


def _name(value: str | None) -> str:
    if not value:
        raise _bad("VolumeBackup.0007", f"name is required: 1 to {NAME_CHARACTERS_MAX} characters.")
    if len(value) > NAME_CHARACTERS_MAX:
        raise _bad("VolumeBackup.0003", f"name has {len(value)} characters; {NAME_CHARACTERS_MAX} are allowed.")
    if not _NAME.fullmatch(value):
        raise _bad("VolumeBackup.0004", "name may hold letters, digits, dot, _ and - only.")
    if value.startswith(RESERVED_PREFIX):
        raise _bad("VolumeBackup.0005", f"name must not begin with {RESERVED_PREFIX}.")
    return value


def _description(value: str | None) -> str | None:
    if not value:
        return None
    if len(value) > DESCRIPTION_CHARACTERS_MAX:
        rule = f"description has {len(value)} characters; {DESCRIPTION_CHARACTERS_MAX} are allowed."
        raise _bad("VolumeBackup.0006", rule)
    if _DESCRIPTION_FORBIDDEN.search(value):
        raise _bad("VolumeBackup.0006", "description must not hold <, > or control characters.")
    return value


def _snapshot_id(value: Any) -> str | None:
    if value in (None, ""):
        return None
    snapshot_id = uuid_or_none(value)
    if snapshot_id is None:
        raise _bad(BAD_REQUEST, "snapshot_id must be the UUID of a snapshot, or null.")
    return snapshot_id


def _full(extend_param: dict[str, Any]) -> bool:
    value = extend_param.get("FullBackup")
    if value is None or value == "":
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _bad(BAD_REQUEST, 'extend_param.FullBackup must be "true" or "false".')


def _tags(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, list):
        raise _bad("VolumeBackup.0049", "tags must be a list of objects with key and value.")
    if len(value) > TAGS_MAX:
        raise _bad("VolumeBackup.0050", f"tags has {len(value)} entries; {TAGS_MAX} are allowed.")
    tags: dict[str, str] = {}
    for entry in value:
        key: Any
        text: Any
        key, text = (entry.get("key"), entry.get("value")) if isinstance(entry, dict) else (None, None)
        if not is_tag_text(key, 1, TAG_KEY_CHARACTERS_MAX) or not is_tag_text(text, 0, TAG_VALUE_CHARACTERS_MAX):
            rule = (
                f"each tag needs a key of 1 to {TAG_KEY_CHARACTERS_MAX} and a value of up to"
                f" {TAG_VALUE_CHARACTERS_MAX} characters, without control characters and any of = * < > \\ , | /."
            )
            raise _bad("VolumeBackup.0049", rule)
        if key in tags:
            raise _bad("VolumeBackup.0049", f"the tag key {key!r} is given more than once.")
        tags[key] = text
    return tags


def is_tag_text(value: Any, least: int, most: int) -> bool:
    """Text of that many characters that a tag may hold."""
    return isinstance(value, str) and least <= len(value) <= most and not _TAG_FORBIDDEN.search(value)


def _bad(code: str, message: str) -> WireError:
    return WireError(400, code, message)
