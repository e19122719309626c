"""What is refused leaves everything as it was and says, in the shape of the API that was asked, what was wrong."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.support.parties import Answer, Party, send
from tests.support.steps import SHARING, new_backup, new_volume
from tests.support.waiting import until

# The service's own care of a repository: it comes when it comes, and no request of a tenant begins it.
CARE = "collectRepository"
NEVER_ISSUED = "7e1d94b0-2c5f-4a83-b6e9-0f8d3a51c247"
BACKUP = "/v2/{p}/cloudbackups"
RESTORE = "/v2/{p}/cloudbackups/{backup}/restore"
NATIVE = "/v3/{p}/backups"


@pytest.fixture(scope="module")
def things(alpha: Party, gamma: Party) -> dict[str, str]:
    """Ids by their place holder."""
    volume, foreign = new_volume(alpha), new_volume(gamma)
    large = new_volume(alpha, size=2)
    return {
        "{volume}": volume,
        "{backup}": new_backup(alpha, volume, "kept"),
        "{of 2 GiB}": new_backup(alpha, large, "large"),
        "{foreign volume}": foreign,
        "{foreign backup}": new_backup(gamma, foreign, "foreign"),
        "{never}": NEVER_ISSUED,
    }


def backup(**fields: Any) -> str:
    return json.dumps({"backup": {"volume_id": "{volume}", "name": "bad", **fields}})


def restore(**fields: Any) -> str:
    return json.dumps({"restore": fields})


def share(**fields: Any) -> str:
    return json.dumps({"shared": {"backup_id": "{backup}", "to_project_ids": ["somebody"], **fields}})


# what is wrong: target, body, status, code (VBS shape) or name of the error (native shape), word in the message
REFUSED = {
    "no body": (BACKUP, "", 400, "0002", ""),
    "malformed JSON": (BACKUP, '{"backup": {', 400, "0002", ""),
    "not UTF-8": (BACKUP, '{"backup": "\udcff"}', 400, "0002", ""),
    "JSON of another kind": (BACKUP, "[1, 2]", 400, "0002", ""),
    "no envelope": (BACKUP, '{"volume_id": "{volume}"}', 400, "0002", "backup"),
    "deeply nested": (BACKUP, '{"backup": ' + "[" * 20000 + "]" * 20000 + "}", 400, "0002", ""),
    "oversized": (BACKUP, backup(description="x" * (2 * 1024 * 1024)), 400, "0002", ""),
    "name of a wrong type": (BACKUP, backup(name=7), 400, "0002", "name"),
    "no volume_id": (BACKUP, backup(volume_id=None), 400, "0010", "volume_id"),
    "malformed volume_id": (BACKUP, backup(volume_id="vol-1"), 400, "0011", "volume_id"),
    "volume_id of a wrong type": (BACKUP, backup(volume_id=["{volume}"]), 400, "0011", "volume_id"),
    "no name": (BACKUP, backup(name=""), 400, "0007", "name"),
    "too long name": (BACKUP, backup(name="n" * 65), 400, "0003", "64"),
    "forbidden characters": (BACKUP, backup(name="a b"), 400, "0004", "name"),
    "letters of other scripts": (BACKUP, backup(name="имя"), 400, "0004", "name"),
    "reserved prefix": (BACKUP, backup(name="autobk_1"), 400, "0005", "auto"),
    "too long description": (BACKUP, backup(description="d" * 65), 400, "0006", "description"),
    "forbidden description": (BACKUP, backup(description="a<b"), 400, "0006", "description"),
    "tag twice": (BACKUP, backup(tags=[{"key": "k", "value": "1"}] * 2), 400, "0049", "tag"),
    "unknown volume": (BACKUP, backup(volume_id="{never}"), 404, "0021", "{never}"),
    "volume of others": (BACKUP, backup(volume_id="{foreign volume}"), 404, "0021", "{foreign volume}"),
    "unknown snapshot": (BACKUP, backup(snapshot_id="{never}"), 404, "0020", "{never}"),
    "restore nothing": (RESTORE, "", 400, "0210", ""),
    "restore nowhere": (RESTORE, restore(), 400, "0208", "volume_id"),
    "restore into a word": (RESTORE, restore(volume_id="there"), 400, "0208", "volume_id"),
    "restore into an unknown volume": (RESTORE, restore(volume_id="{never}"), 404, "0207", "{never}"),
    "restore into a volume of others": (RESTORE, restore(volume_id="{foreign volume}"), 404, "0207", ""),
    "restore what is unknown": (RESTORE.replace("{backup}", "{never}"), restore(volume_id="{volume}"), 404, "0111", ""),
    "restore what is others'": (
        RESTORE.replace("{backup}", "{foreign backup}"),
        restore(volume_id="{volume}"),
        404,
        "0111",
        "",
    ),
    "restore a word": (RESTORE.replace("{backup}", "monday"), restore(volume_id="{volume}"), 400, "0204", ""),
    "target too small": (RESTORE.replace("{backup}", "{of 2 GiB}"), restore(volume_id="{volume}"), 400, "0209", "2"),
    "share without a backup": (SHARING, share(backup_id=None), 400, "0203", "backup_id"),
    "share a word": (SHARING, share(backup_id="monday"), 400, "0204", "backup_id"),
    "share with nobody": (SHARING, share(to_project_ids=[]), 400, "0002", "to_project_ids"),
    "share with too many": (SHARING, share(to_project_ids=["p"] * 101), 400, "0002", "100"),
    "share with no project id": (SHARING, share(to_project_ids=["somebody", "a b"]), 400, "0002", "to_project_ids"),
    "share with oneself": (SHARING, share(to_project_ids=["somebody", "{p}"]), 400, "0002", "owns"),
    "share what is unknown": (SHARING, share(backup_id="{never}"), 404, "0110", ""),
    "share what is others'": (SHARING, share(backup_id="{foreign backup}"), 404, "0110", ""),
    "native: malformed JSON": (NATIVE, "{", 400, "badRequest", ""),
    "native: unknown key": (NATIVE, backup(colour="red"), 400, "badRequest", "colour"),
    "native: too long name": (NATIVE, backup(name="n" * 256), 400, "badRequest", "name"),
    "native: no boolean": (NATIVE, backup(incremental="maybe"), 400, "badRequest", "incremental"),
    "native: oversized": (NATIVE, backup(description="x" * (2 * 1024 * 1024)), 413, "overLimit", "exceed"),
    "native: unknown volume": (NATIVE, backup(volume_id="{never}"), 404, "itemNotFound", "{never}"),
    "native: volume of others": (NATIVE, backup(volume_id="{foreign volume}"), 404, "itemNotFound", ""),
    "native: target too small": (
        f"{NATIVE}/{{of 2 GiB}}/restore",
        restore(volume_id="{volume}"),
        400,
        "badRequest",
        "GiB",
    ),
    "native: no size": ("/v3/{p}/volumes", '{"volume": {}}', 400, "badRequest", "size"),
    "native: size of no volume": ("/v3/{p}/volumes", '{"volume": {"size": 0}}', 400, "badRequest", "size"),
}


def jobs(owner: Party) -> list[Any]:
    """What the owner's requests began."""
    return [job for job in owner.get("/v2/{p}/jobs")["jobs"] if job["job_type"] != CARE]


def state(owner: Party) -> dict[str, Any]:
    """All that a refused request could have changed."""
    shown = (
        "/v3/{p}/volumes/detail",
        "/v3/{p}/snapshots/detail",
        "/v2/{p}/backups/detail",
        "/v2/{p}/audit-events",
        f"{SHARING}/detail",
    )
    return {"jobs": jobs(owner), **{target: owner.get(target) for target in shown}}


def still_running(owner: Party) -> list[Any]:
    """The owner's jobs that have not ended."""
    return [job for job in jobs(owner) if job["status"] in {"INIT", "RUNNING"}]


def post(caller: Party, target: str, body: str) -> Answer:
    assert caller.token is not None
    headers = {"X-Auth-Token": caller.token, "Content-Type": "application/json"}
    raw = body.encode(errors="surrogateescape")
    return send("POST", caller.base, target, headers=headers, body=raw)


@pytest.mark.parametrize("what", REFUSED)
def test_refused(alpha: Party, things: dict[str, str], what: str) -> None:
    target, body, status, word, told = REFUSED[what]
    for place_holder, value in {**things, "{p}": alpha.project_id}.items():
        target, body = target.replace(place_holder, value), body.replace(place_holder, value)
        told = told.replace(place_holder, value)
    # What earlier tests began ends by itself, and is not what is looked for here.
    until(lambda: not still_running(alpha), what="earlier jobs have ended")
    before = state(alpha)
    answer = post(alpha, target, body)
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    (name,) = answer.json()
    inner = answer.json()[name]
    if word.isdigit():
        assert (name, inner["code"]) == ("error", f"VolumeBackup.{word}")
    else:
        assert (name, inner["code"]) == (word, status)
    assert told in inner["message"], inner
    assert state(alpha) == before


def test_busy_volume(
    alpha: Party, things: dict[str, str], worker_stopped: Callable[[], AbstractContextManager[None]]
) -> None:
    volume = new_volume(alpha)
    with worker_stopped():
        extend = {"os-extend": {"new_size": 2}}
        answer = alpha.send("POST", f"/v3/{{p}}/volumes/{volume}/action", json_body=extend)
        assert answer.status == 202
        busy = alpha.send("POST", BACKUP, json_body={"backup": {"volume_id": volume, "name": "busy"}})
        assert (busy.status, busy.code) == (409, "VolumeBackup.0012")
        target = RESTORE.replace("{backup}", things["{backup}"])
        busy = alpha.send("POST", target, json_body={"restore": {"volume_id": volume}})
        assert (busy.status, busy.code) == (409, "VolumeBackup.0205")
        native = alpha.send("POST", NATIVE, json_body={"backup": {"volume_id": volume}})
        assert (native.status, list(native.json())) == (400, ["badRequest"])
