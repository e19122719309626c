"""What sharing has beyond the contract, on a running service: kept copies, shares that expire, and who is told."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from openvbs.units import MIB
from tests.support.images import digest, write_image
from tests.support.parties import Parties, Party
from tests.support.steps import (
    SHARING,
    cancel_all,
    delete_backup,
    events,
    gone,
    new_backup,
    new_volume,
    share,
    start_restore,
    succeeded,
)
from tests.support.waiting import until


def test_a_kept_copy_outlives_the_share_and_the_backup(alpha: Party, beta: Party, gamma: Party, data_dir: Path) -> None:
    source = new_volume(alpha, name="owner's name")
    wanted = digest(write_image(data_dir / "volumes" / source, data_bytes=64 * MIB, seed=11))
    backup_id = new_backup(alpha, source, "monday")
    (share_id,) = share(alpha, backup_id, beta)
    answer = beta.send("POST", f"/v2/{{p}}/cloudbackups/{backup_id}/copy", json_body={"copy": {"name": "kept"}})
    assert answer.status == 200, answer
    made = answer.json()
    succeeded(beta, made["job_id"])
    cancel_all(alpha, backup_id)
    delete_backup(alpha, backup_id)
    gone(alpha, f"/v2/{{p}}/backups/{backup_id}")
    kept = beta.get(f"/v2/{{p}}/backups/{made['backup_id']}")["backup"]
    assert (kept["name"], kept["status"], kept["volume_id"]) == ("kept", "available", source)
    target = new_volume(beta)
    succeeded(beta, start_restore(beta, made["backup_id"], target))
    assert digest(data_dir / "volumes" / target) == wanted
    for stranger in (alpha, gamma):
        assert stranger.send("GET", f"/v2/{{p}}/backups/{made['backup_id']}").status == 404
    told = [(event["action"], event["outcome"]) for event in events(alpha, share_id=share_id)]
    assert told == [
        ("share.cancel", "cancelled"),
        ("share.copy_end", "copied"),
        ("share.copy", "accepted"),
        ("share.create", "shared"),
    ]
    delete_backup(beta, made["backup_id"])


def share_for_a_moment(owner: Party, backup_id: str, recipient: Party) -> dict[str, Any] | None:
    """The share; None if the moment has passed before the request came."""
    expires_at = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    body = {"shared": {"backup_id": backup_id, "to_project_ids": [recipient.project_id], "expires_at": expires_at}}
    answer = owner.send("POST", SHARING, json_body=body)
    assert answer.status in {200, 400}, answer
    return answer.json()["shared"][0] if answer.status == 200 else None


def test_a_share_expires_by_itself_and_the_owner_is_told(alpha: Party, beta: Party) -> None:
    backup_id = new_backup(alpha, new_volume(alpha), "for-a-moment")
    row = until(lambda: share_for_a_moment(alpha, backup_id, beta), what="the share is made before it would expire")
    expires_at = datetime.fromisoformat(row["expires_at"]).replace(tzinfo=UTC)
    until(lambda: beta.send("GET", f"{SHARING}/{row['id']}").status == 404, what="the share has expired")
    assert datetime.now(UTC) >= expires_at
    assert beta.send("GET", f"/v2/{{p}}/backups/{backup_id}").status == 404
    (event,) = until(lambda: _of(events(alpha, share_id=row["id"]), "share.expire"), what="its end is written down")
    assert datetime.fromisoformat(event["details"]["expired_at"]) == expires_at
    delete_backup(alpha, backup_id)


def _of(found: list[dict[str, Any]], action: str) -> list[dict[str, Any]]:
    return [event for event in found if event["action"] == action]


def test_every_event_reaches_the_operators_file_once(parties: Parties, data_dir: Path) -> None:
    alpha, beta = parties.alpha, parties.beta
    backup_id = new_backup(alpha, new_volume(alpha), "told")
    share(alpha, backup_id, beta)
    assert beta.send("DELETE", f"/v2/{{p}}/backups/{backup_id}").status == 403
    delete_backup(alpha, backup_id)
    wanted = {event["id"] for event in events(alpha, backup_id=backup_id)}
    assert len(wanted) == 7  # create, create_end, share, refused, delete, cancel, delete_end

    def told() -> list[dict[str, Any]] | None:
        lines = [json.loads(line) for line in data_dir.with_name("cadf.log").read_text().splitlines()]
        return lines if wanted <= {line["id"] for line in lines} else None

    lines = until(told, what="the events are in the file")
    assert len({line["id"] for line in lines}) == len(lines)
    (refused,) = [line for line in lines if line["id"] in wanted and line["outcome"] == "failure"]
    assert (refused["name"], refused["initiator"]["project_id"]) == ("backup.delete", beta.project_id)
    assert refused["initiator"]["host"]["address"] == "127.0.0.1"
