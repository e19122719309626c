"""Keeping a copy of a backup: who may, what the copy says, what it costs, and who is told."""

from dataclasses import replace
from typing import Any

import pytest

from openvbs.actions.copies import copy_backup
from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import read_identity
from openvbs.db import backups, jobs
from openvbs.domain.errors import BackupNotFound
from tests.api.conftest import ALPHA, BETA, BODY_BYTES_MAX, GAMMA, HOME, PUBLIC_URL
from tests.api.test_audit import events
from tests.api.test_sharing import SHARING, UNKNOWN, share
from tests.support.actions import add_backup, caller
from tests.support.wsgi import Client

CLOUD = "/v2/{p}/cloudbackups"


@pytest.fixture
def shared(alpha: Client, service: Service) -> str:
    """A backup of alpha's with all that an owner may say of one, shared with beta."""
    backup = add_backup(service, ALPHA, description="month end", metadata={"secret": "words"}, tags={"team": "core"})
    share(alpha, backup, BETA)
    return backup


def copy(client: Client, backup: str, **said: str) -> dict[str, Any]:
    answer = client.send("POST", f"{CLOUD}/{backup}/copy", body={"copy": said} if said else None)
    assert answer.status == 200, answer
    return answer.json()


def test_a_recipient_gets_a_backup_of_its_own_without_what_is_the_owners(
    alpha: Client, beta: Client, service: Service, shared: str
) -> None:
    made = copy(beta, shared)
    assert made.keys() == {"job_id", "backup_id"}
    record = beta.get(f"/v3/{{p}}/backups/{made['backup_id']}", OpenStack_API_Version="volume 3.64")["backup"]
    assert (record["name"], record["description"], record["status"]) == ("b", "month end", "creating")
    assert (record["metadata"], record["is_incremental"], record["snapshot_id"]) == ({}, False, None)
    with service.database.read() as connection:
        row = backups.find(connection, made["backup_id"], viewer_project_id=BETA, owner_project_id=BETA)
        source = backups.find(connection, shared, viewer_project_id=ALPHA, owner_project_id=ALPHA)
    assert row is not None
    assert source is not None
    assert (row.repository_id, row.data_id, row.policy_id) == (BETA, row.id, None)
    assert (row.volume_name, row.volume_description, row.volume_metadata, row.tags) == (None, None, {}, {})
    assert (row.bootable, row.image_metadata) == (True, {"os": "debian"})
    assert row.data_timestamp == source.data_timestamp
    assert [b["id"] for b in beta.get("/v2/{p}/backups")["backups"]] == [made["backup_id"]]
    assert alpha.send("GET", f"/v2/{{p}}/backups/{made['backup_id']}").status == 404


def test_name_and_description_may_be_its_own(beta: Client, shared: str) -> None:
    made = copy(beta, shared, name="mine", description="kept")
    record = beta.get(f"/v2/{{p}}/backups/{made['backup_id']}")["backup"]
    assert (record["name"], record["description"]) == ("mine", "kept")


def test_an_owner_keeps_everything(alpha: Client, service: Service, shared: str) -> None:
    made = copy(alpha, shared)
    with service.database.read() as connection:
        row = backups.find(connection, made["backup_id"], viewer_project_id=ALPHA, owner_project_id=ALPHA)
        job = jobs.find(connection, made["job_id"], project_id=ALPHA)
    assert row is not None
    assert job is not None
    assert (row.volume_name, row.volume_metadata) == ("disk", {"owner": "keeps this"})
    assert job.share_id is None


def test_the_job_is_the_recipients_and_names_the_copy_alone(alpha: Client, beta: Client, shared: str) -> None:
    made = copy(beta, shared)
    job = beta.get(f"/v2/{{p}}/jobs/{made['job_id']}")
    assert (job["job_type"], job["status"]) == ("bksCopyBackup", "INIT")
    assert job["entities"] == {"backup_id": made["backup_id"]}
    assert alpha.send("GET", f"/v2/{{p}}/jobs/{made['job_id']}").status == 404
    assert alpha.get("/v2/{p}/backups/" + shared)["backup"]["status"] == "available", "nothing shows"
    assert beta.send("DELETE", f"/v2/{{p}}/jobs/{made['job_id']}").status == 202


def test_the_owner_may_go_on_with_its_volume_and_its_backup(alpha: Client, beta: Client, shared: str) -> None:
    volume = alpha.get(f"/v2/{{p}}/backups/{shared}")["backup"]["volume_id"]
    for _ in range(2):
        copy(beta, shared)
    assert alpha.send("POST", CLOUD, body={"backup": {"volume_id": volume, "name": "next"}}).status == 200
    assert alpha.send("POST", f"{CLOUD}/{shared}").status == 200


def test_both_sides_are_told(alpha: Client, beta: Client, shared: str) -> None:
    made = copy(beta, shared)
    (told,) = events(alpha, "share.copy")
    assert (told["backup_id"], told["actor_project_id"], told["to_project_id"]) == (shared, BETA, BETA)
    assert made["backup_id"] not in str(told)
    (own,) = events(beta)
    assert (own["action"], own["backup_id"]) == ("backup.copy", made["backup_id"])
    assert own["details"] == {"source_backup_id": shared}


def test_who_may_not(
    alpha: Client, beta: Client, gamma: Client, admin: Client, *, service: Service, shared: str
) -> None:
    path = f"{CLOUD}/{shared}/copy"
    assert (gamma.send("POST", path).status, gamma.send("POST", path).code) == (404, "VolumeBackup.0110")
    assert gamma.send("POST", path).json() == gamma.send("POST", path.replace(shared, shared.upper())).json()
    assert gamma.send("POST", f"{CLOUD}/{UNKNOWN}/copy").status == 404
    assert admin.send("POST", path).status == 404
    with pytest.raises(BackupNotFound):
        copy_backup(service, caller(HOME, role="admin", sees_all=True), shared)
    assert Client(beta.app, BETA, roles="reader").send("POST", path).status == 403
    assert beta.send("GET", path).status == 405
    assert alpha.send("DELETE", f"{SHARING}/{shared}?is_backup_id=true").status == 200
    assert beta.send("POST", path).status == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no", "VolumeBackup.0002"),
        ({}, "VolumeBackup.0002"),
        ({"copy": []}, "VolumeBackup.0002"),
        ({"copy": {"name": 1}}, "VolumeBackup.0002"),
        ({"copy": {"description": []}}, "VolumeBackup.0002"),
        ({"copy": {"name": "x" * 65}}, "VolumeBackup.0003"),
        ({"copy": {"name": "a b"}}, "VolumeBackup.0004"),
        ({"copy": {"name": "auto"}}, "VolumeBackup.0005"),
        ({"copy": {"description": "<"}}, "VolumeBackup.0006"),
    ],
)
def test_what_is_wrong_with_a_request(beta: Client, shared: str, body: object, code: str) -> None:
    answer = beta.send("POST", f"{CLOUD}/{shared}/copy", body=body)
    assert (answer.status, answer.code) == (400, code)
    assert beta.get("/v2/{p}/backups")["backups"] == []


def test_only_a_whole_backup_is_copied(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA, status="error")
    answer = alpha.send("POST", f"{CLOUD}/{backup}/copy")
    assert (answer.status, answer.code) == (409, "VolumeBackup.0089")
    assert alpha.send("POST", f"{CLOUD}/nonsense/copy").code == "VolumeBackup.0204"


def test_it_counts_for_the_project_that_keeps_it(service: Service, shared: str) -> None:
    settings = Settings(public_url=PUBLIC_URL, body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    tight = replace(service, limits=replace(service.limits, backups_max=1))
    beta, gamma = (Client(create_app(tight, settings, read_identity), p) for p in (BETA, GAMMA))
    copy(beta, shared)
    answer = beta.send("POST", f"{CLOUD}/{shared}/copy")
    assert (answer.status, answer.code) == (403, "VolumeBackup.0080")
    assert len(beta.get("/v2/{p}/backups")["backups"]) == 1
    assert gamma.send("POST", f"{CLOUD}/{shared}/copy").status == 404, "not told of quotas before it is told of nothing"


def test_aborting_the_share_stops_a_copy_too(alpha: Client, beta: Client, service: Service, shared: str) -> None:
    made = copy(beta, shared)
    assert alpha.send("DELETE", f"{SHARING}/{shared}?is_backup_id=true&abort_running=true").status == 200
    with service.database.read() as connection:
        job = jobs.find(connection, made["job_id"], project_id=BETA)
    assert job is not None
    assert job.cancel_requested_by is not None
    (event,) = events(alpha, "share.abort")
    assert (event["backup_id"], event["job_id"]) == (shared, made["job_id"])
