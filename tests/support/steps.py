"""What a test does on its way to what it proves, over plain HTTP; each step waits until it is done."""

from typing import Any

from tests.support.parties import Answer, Party
from tests.support.waiting import until

SHARING = "/v2/{p}/os-vendor-backup-sharing"


def new_volume(owner: Party, **fields: Any) -> str:
    """The id of a new, available volume of 1 GiB unless the fields say otherwise."""
    answer = owner.send("POST", "/v3/{p}/volumes", json_body={"volume": {"size": 1, **fields}})
    assert answer.status == 202, answer
    volume_id = str(answer.json()["volume"]["id"])
    volume_is(owner, volume_id, "available")
    return volume_id


def volume_status(owner: Party, volume_id: str) -> str:
    return str(owner.get(f"/v3/{{p}}/volumes/{volume_id}")["volume"]["status"])


def volume_is(owner: Party, volume_id: str, status: str) -> None:
    until(lambda: volume_status(owner, volume_id) == status, what=f"volume {volume_id} {status}")


def start_backup(owner: Party, volume_id: str, name: str = "backup", **fields: Any) -> tuple[str, str]:
    """Ids of the job and of the backup that it makes."""
    body = {"backup": {"volume_id": volume_id, "name": name, **fields}}
    answer = owner.send("POST", "/v2/{p}/cloudbackups", json_body=body)
    assert answer.status == 200, answer
    job_id = str(answer.json()["job_id"])
    return job_id, str(job(owner, job_id)["entities"]["backup_id"])


def new_backup(owner: Party, volume_id: str, name: str = "backup", **fields: Any) -> str:
    """The id of a new, available backup."""
    job_id, backup_id = start_backup(owner, volume_id, name, **fields)
    succeeded(owner, job_id)
    return backup_id


def job(owner: Party, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = owner.get(f"/v1/{{p}}/jobs/{job_id}")
    return found


def ended(owner: Party, job_id: str, *, seconds_max: float = 120) -> dict[str, Any]:
    """The job once it has ended, one way or the other."""

    def finished() -> dict[str, Any] | None:
        found = job(owner, job_id)
        return found if found["status"] in {"SUCCESS", "FAIL"} else None

    return until(finished, what=f"end of job {job_id}", seconds_max=seconds_max)


def succeeded(owner: Party, job_id: str) -> dict[str, Any]:
    found = ended(owner, job_id)
    assert found["status"] == "SUCCESS", found
    return found


def share(owner: Party, backup_id: str, *recipients: Party | str) -> list[str]:
    """Ids of the shares with these projects, in their order."""
    projects = [to if isinstance(to, str) else to.project_id for to in recipients]
    body = {"shared": {"backup_id": backup_id, "to_project_ids": projects}}
    answer = owner.send("POST", SHARING, json_body=body)
    assert answer.status == 200, answer
    return [str(row["id"]) for row in answer.json()["shared"]]


def cancel(caller: Party, wanted_id: str, query: str = "", *, path_project: str | None = None) -> Answer:
    """The endpoint that all this is about."""
    target = f"{SHARING}/{wanted_id}{query}"
    return caller.send("DELETE", target.replace("{p}", path_project or caller.project_id))


def cancel_all(owner: Party, backup_id: str) -> None:
    assert cancel(owner, backup_id, "?is_backup_id=true").status == 200


def start_restore(caller: Party, backup_id: str, volume_id: str) -> str:
    """The id of the job."""
    answer = caller.send(
        "POST", f"/v2/{{p}}/cloudbackups/{backup_id}/restore", json_body={"restore": {"volume_id": volume_id}}
    )
    assert answer.status == 200, answer
    return str(answer.json()["job_id"])


def start_delete(owner: Party, backup_id: str) -> str:
    """The id of the job."""
    answer = owner.send("POST", f"/v2/{{p}}/cloudbackups/{backup_id}")
    assert answer.status == 200, answer
    return str(answer.json()["job_id"])


def delete_backup(owner: Party, backup_id: str) -> None:
    succeeded(owner, start_delete(owner, backup_id))


def backup(owner: Party, backup_id: str) -> dict[str, Any]:
    found: dict[str, Any] = owner.get(f"/v2/{{p}}/backups/{backup_id}")["backup"]
    return found


def gone(owner: Party, target: str) -> None:
    """Wait until nothing is at the target any more."""
    until(lambda: owner.send("GET", target).status == 404, what=f"{target} gone")


def events(owner: Party, **filters: str) -> list[dict[str, Any]]:
    """The owner's audit events, newest first."""
    query = "&".join(f"{key}={value}" for key, value in filters.items())
    answer = owner.get(f"/v2/{{p}}/audit-events?{query}")
    (rows,) = (value for key, value in answer.items() if isinstance(value, list) and not key.endswith("links"))
    return list(rows)
