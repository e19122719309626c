"""Every party at every door: owner, its reader, recipient, stranger and admin at each endpoint."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.parties import Answer, Parties, Party
from tests.support.steps import (
    SHARING,
    backup,
    cancel,
    delete_backup,
    ended,
    new_backup,
    new_volume,
    share,
    start_backup,
)

NEVER_ISSUED = "4f7d20b6-6c1e-4b8a-9a35-e08d1c93f562"
WHO = ("owner", "reader", "recipient", "stranger", "admin", "admin as owner", "trespasser")
"""The admin comes with its own project in the path and then with the owner's; so does, uninvited, the trespasser."""

RESTORE = {"restore": {"volume_id": "{volume}"}}
CREATE = {"backup": {"volume_id": "{source}", "name": "seen"}}
SHARE = {"shared": {"backup_id": "{backup}", "to_project_ids": ["{nobody}"]}}

# name: method, target, body, then the status for each of WHO
DOORS: dict[str, tuple[str, str, object, tuple[int, ...]]] = {
    "backup": ("POST", "/v2/{p}/cloudbackups", CREATE, (200, 403, 404, 404, 404, 200, 403)),
    "delete": ("POST", "/v2/{p}/cloudbackups/{backup}", None, (200, 403, 403, 404, 404, 200, 403)),
    "delete by DELETE": ("DELETE", "/v2/{p}/cloudbackups/{backup}", None, (200, 403, 403, 404, 404, 200, 403)),
    "restore": ("POST", "/v2/{p}/cloudbackups/{backup}/restore", RESTORE, (200, 403, 200, 404, 404, 200, 403)),
    "copy": ("POST", "/v2/{p}/cloudbackups/{backup}/copy", None, (200, 403, 200, 404, 404, 200, 403)),
    "tags": ("GET", "/v2/{p}/cloudbackups/{backup}/tags", None, (200, 200, 403, 404, 404, 200, 403)),
    "quota": ("GET", "/v2/{p}/cloudbackups/quota", None, (200, 200, 200, 200, 200, 200, 403)),
    "share": ("POST", SHARING, SHARE, (200, 403, 403, 404, 404, 200, 403)),
    "shares": ("GET", f"{SHARING}/detail", None, (200, 200, 200, 200, 200, 200, 403)),
    "shares counted": ("GET", f"{SHARING}/count", None, (200, 200, 200, 200, 200, 200, 403)),
    "show share": ("GET", f"{SHARING}/{{share}}", None, (200, 200, 200, 404, 404, 200, 403)),
    "cancel": ("DELETE", f"{SHARING}/{{share}}", None, (200, 403, 200, 404, 404, 200, 403)),
    "cancel, abort": ("DELETE", f"{SHARING}/{{share}}?abort_running=true", None, (200, 403, 200, 404, 404, 200, 403)),
    "cancel all": ("DELETE", f"{SHARING}/{{backup}}?is_backup_id=true", None, (200, 403, 403, 404, 404, 200, 403)),
    "job": ("GET", "/v1/{p}/jobs/{job}", None, (200, 200, 404, 404, 404, 200, 403)),
    "job at v2": ("GET", "/v2/{p}/jobs/{job}", None, (200, 200, 404, 404, 404, 200, 403)),
    "jobs": ("GET", "/v2/{p}/jobs", None, (200, 200, 200, 200, 200, 200, 403)),
    "cancel ended job": ("DELETE", "/v2/{p}/jobs/{job}", None, (409, 403, 404, 404, 404, 409, 403)),
    "audit": ("GET", "/v2/{p}/audit-events", None, (200, 200, 200, 200, 200, 200, 403)),
    "v2 backup": ("POST", "/v2/{p}/backups", CREATE, (202, 403, 404, 404, 404, 202, 403)),
    "v2 list": ("GET", "/v2/{p}/backups", None, (200, 200, 200, 200, 200, 200, 403)),
    "v2 detail": ("GET", "/v2/{p}/backups/detail", None, (200, 200, 200, 200, 200, 200, 403)),
    "v2 show": ("GET", "/v2/{p}/backups/{backup}", None, (200, 200, 200, 404, 404, 200, 403)),
    "v2 delete": ("DELETE", "/v2/{p}/backups/{backup}", None, (202, 403, 403, 404, 404, 202, 403)),
    "v2 restore": ("POST", "/v2/{p}/backups/{backup}/restore", RESTORE, (202, 403, 202, 404, 404, 202, 403)),
    "v3 backup": ("POST", "/v3/{p}/backups", CREATE, (202, 403, 404, 404, 404, 400, 400)),
    "v3 list": ("GET", "/v3/{p}/backups", None, (200, 200, 200, 200, 200, 400, 400)),
    "v3 detail": ("GET", "/v3/{p}/backups/detail", None, (200, 200, 200, 200, 200, 400, 400)),
    "v3 show": ("GET", "/v3/{p}/backups/{backup}", None, (200, 200, 200, 404, 200, 400, 400)),
    "v3 update": ("PUT", "/v3/{p}/backups/{backup}", {"backup": {"name": "x"}}, (200, 403, 403, 404, 403, 400, 400)),
    "v3 delete": ("DELETE", "/v3/{p}/backups/{backup}", None, (202, 403, 403, 404, 202, 400, 400)),
    "v3 restore": ("POST", "/v3/{p}/backups/{backup}/restore", RESTORE, (202, 403, 202, 404, 404, 400, 400)),
    "v3 restore, new": (
        "POST",
        "/v3/{p}/backups/{backup}/restore",
        {"restore": {}},
        (202, 403, 202, 404, 404, 400, 400),
    ),
    "v3 volume of backup": (
        "POST",
        "/v3/{p}/volumes",
        {"volume": {"size": 1, "backup_id": "{backup}"}},
        (202, 403, 202, 404, 404, 400, 400),
    ),
    # Without a project in the path there is no wrong one.
    "v3 show, no project": ("GET", "/v3/backups/{backup}", None, (200, 200, 200, 404, 200, 200, 404)),
}


class Scene:
    """An available backup of the owner's, shared with the recipient; made anew whenever a case has used it up."""

    def __init__(self, parties: Parties) -> None:
        self.parties = parties
        self.volumes = {
            p.project_id: new_volume(p) for p in (parties.alpha, parties.beta, parties.gamma, parties.admin)
        }
        self.source = new_volume(parties.alpha)
        self.job = self.backup = self.share = ""

    def ready(self) -> None:
        owner = self.parties.alpha
        there = owner.send("GET", f"/v2/{{p}}/backups/{self.backup}") if self.backup else None
        if there is None or there.status == 404 or there.json()["backup"]["status"] != "available":
            self.job, self.backup = start_backup(owner, self.source, "shown")
            assert ended(owner, self.job)["status"] == "SUCCESS"
        (self.share,) = share(owner, self.backup, self.parties.beta)

    def caller(self, who: str) -> tuple[Party, str]:
        """Who calls, and the project that it puts into the path."""
        p = self.parties
        callers = {
            "owner": (p.alpha, p.alpha),
            "reader": (p.reader, p.reader),
            "recipient": (p.beta, p.beta),
            "stranger": (p.gamma, p.gamma),
            "admin": (p.admin, p.admin),
            "admin as owner": (p.admin, p.alpha),
            "trespasser": (p.gamma, p.alpha),
        }
        caller, path = callers[who]
        return caller, path.project_id

    def knock(self, door: str, who: str, **ids: str) -> tuple[Answer, str]:
        """The answer, and the project in the path."""
        method, target, body, _ = DOORS[door]
        caller, project = self.caller(who)
        words = {
            "{p}": project,
            "{backup}": self.backup,
            "{share}": self.share,
            "{job}": self.job,
            "{source}": self.source,
            "{volume}": self.volumes[project],
            "{nobody}": "0c2d4f",
            **{f"{{{name}}}": wanted for name, wanted in ids.items()},
        }
        text = json.dumps(body)
        for word, value in words.items():
            target, text = target.replace(word, value), text.replace(word, value)
        headers = {"OpenStack-API-Version": "volume 3.47"}
        return caller.send(method, target, json_body=json.loads(text), headers=headers), project


@pytest.fixture(scope="module")
def made(parties: Parties) -> Scene:
    return Scene(parties)


@pytest.fixture
def scene(made: Scene) -> Scene:
    made.ready()
    return made


def settle(answer: Answer, caller: Party, project: str) -> None:
    """Wait for the job that was accepted, and take away the backup or volume that it made."""
    if answer.status not in {200, 202}:
        return
    document = answer.json() if answer.body else {}
    job_id = document.get("job_id") or answer.headers.get("x-openvbs-job-id")
    if job_id is None or "status" in document:
        return
    acting = replace(caller, project_id=project)
    job = ended(acting, job_id)
    assert job["status"] == "SUCCESS", job
    if job["job_type"] in {"bksCreateBackup", "bksCopyBackup"}:
        delete_backup(acting, job["entities"]["backup_id"])


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("door", DOORS)
def test_status(scene: Scene, door: str, who: str) -> None:
    answer, project = scene.knock(door, who)
    assert answer.status == DOORS[door][3][WHO.index(who)], answer
    settle(answer, scene.caller(who)[0], project)


def rows(party: Party, target: str) -> int:
    (found,) = (value for key, value in party.get(target).items() if isinstance(value, list) and "links" not in key)
    return len(found)


# target, then how many rows each of the first five of WHO sees
LISTS = {
    "given": (f"{SHARING}/detail?backup_id={{backup}}", (1, 1, 0, 0, 0)),
    "received": (f"{SHARING}/detail?share_to_me=true&backup_id={{backup}}", (0, 0, 1, 0, 0)),
    "jobs": ("/v2/{p}/jobs?backup_id={backup}", (1, 1, 0, 0, 0)),
    "audit": ("/v2/{p}/audit-events?share_id={share}&limit=1", (1, 1, 0, 0, 0)),
    "v2": ("/v2/{p}/backups?volume_id={source}", (1, 1, 0, 0, 0)),
    "v2 detail": ("/v2/{p}/backups/detail?volume_id={source}", (1, 1, 0, 0, 0)),
    "v3": ("/v3/{p}/backups?volume_id={source}", (1, 1, 0, 0, 0)),
    "v3 detail": ("/v3/{p}/backups/detail?volume_id={source}", (1, 1, 0, 0, 0)),
    "v3 all tenants": ("/v3/{p}/backups?all_tenants=1&volume_id={source}", (1, 1, 0, 0, 1)),
}


@pytest.fixture(scope="module")
def quiet(parties: Parties) -> Scene:
    """A scene of its own, on which nobody ever did anything but share it."""
    scene = Scene(parties)
    scene.ready()
    return scene


@pytest.mark.parametrize("who", WHO[:5])
@pytest.mark.parametrize("name", LISTS)
def test_rows(quiet: Scene, name: str, who: str) -> None:
    target, counts = LISTS[name]
    for word, value in (("backup", quiet.backup), ("share", quiet.share), ("source", quiet.source)):
        target = target.replace(f"{{{word}}}", value)
    caller, _ = quiet.caller(who)
    assert rows(caller, target) == counts[WHO.index(who)]
    if SHARING in target:
        assert caller.get(target.replace("/detail", "/count")) == {"count": counts[WHO.index(who)]}


IDS = {"backup": "backup", "share": "share", "job": "job", "source": "volume"}


def with_an_id() -> list[tuple[str, str]]:
    """Every door that names something, with what it names."""
    return [
        (door, word)
        for door, (_, target, body, _) in DOORS.items()
        for word in IDS
        if f"{{{word}}}" in target + json.dumps(body)
    ]


def comparable(answer: Answer, wanted: str) -> tuple[int, dict[str, str], bytes]:
    """All of an answer but the echoed id and what differs from request to request."""
    # connection: the server closes it when the refusal overtakes the request's body on the wire, whatever it names.
    own = {"date", "connection", "x-request-id", "x-openstack-request-id", "x-compute-request-id"}
    headers = {name: value.replace(wanted, "ID") for name, value in answer.headers.items() if name not in own}
    return answer.status, headers, answer.body.replace(wanted.encode(), b"ID")


@pytest.mark.parametrize("who", ["stranger", "trespasser", "former recipient"])
@pytest.mark.parametrize(("door", "word"), with_an_id(), ids=str)
def test_what_is_there_looks_like_what_never_was(scene: Scene, door: str, word: str, who: str) -> None:
    wanted = getattr(scene, word)
    if who == "former recipient":
        assert cancel(scene.parties.beta, scene.share).status == 200
        who = "recipient"
    there, _ = scene.knock(door, who, **{word: wanted})
    never, _ = scene.knock(door, who, **{word: NEVER_ISSUED})
    assert there.status in {400, 403, 404}
    assert comparable(there, wanted) == comparable(never, NEVER_ISSUED)


def test_recipients_record_says_nothing_of_the_owners_business(quiet: Scene) -> None:
    shown: dict[str, Any] = quiet.parties.beta.get(f"{SHARING}/{quiet.share}")["shared"]["backup"]
    assert set(json.loads(shown["service_metadata"])) <= {"bootable", "Type", "ST", "VT", "progress"}
    record = backup(quiet.parties.beta, quiet.backup)
    assert {key: record[key] for key in shown} == shown
    assert set(record) - set(shown) <= {"links", "os-bak-tenant-attr:tenant_id"}


def test_jobs_of_a_recipient_are_its_own(quiet: Scene) -> None:
    p = quiet.parties
    target = f"/v2/{{p}}/cloudbackups/{quiet.backup}/restore"
    answer = p.beta.send("POST", target, json_body={"restore": {"volume_id": quiet.volumes[p.beta.project_id]}})
    job_id = answer.json()["job_id"]
    assert ended(p.beta, job_id)["status"] == "SUCCESS"
    for stranger in (p.alpha, p.reader, p.gamma, p.admin):
        refused = stranger.send("GET", f"/v1/{{p}}/jobs/{job_id}")
        assert (refused.status, refused.code) == (404, "common.0011")


def test_no_party_after_the_backup_is_gone(parties: Parties) -> None:
    source = new_volume(parties.alpha)
    doomed = new_backup(parties.alpha, source, "doomed")
    share(parties.alpha, doomed, parties.beta)
    delete_backup(parties.alpha, doomed)
    for party in (parties.alpha, parties.reader, parties.beta, parties.gamma, parties.admin):
        for version in ("v2", "v3"):
            assert party.send("GET", f"/{version}/{{p}}/backups/{doomed}").status == 404
