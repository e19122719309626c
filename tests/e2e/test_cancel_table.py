"""The decision table of cancelling a share, one case per row, against a running server: who cancels what.

After every case all parties look at everything again, and exactly the shares that the row names are gone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.cancelling import NEVER_ISSUED, World, accepted, only, refused
from tests.support.steps import (
    backup,
    cancel,
    cancel_all,
    delete_backup,
    ended,
    events,
    new_backup,
    share,
    start_delete,
    start_restore,
    succeeded,
)

# ---------------------------------------------------------------- 1.3 and 1.4: who cancels what


@dataclass(frozen=True)
class Row:
    """One row: who asks for which id, and what comes of it."""

    caller: str
    wanted: Callable[[World], str]
    status: int = 200
    code: str | None = None
    ends: Callable[[World], set[str]] = lambda world: set()
    path: str | None = None
    """The project in the path, when it is not the caller's own."""
    audit: str | None = None
    """The action that the owner finds in its audit events for every share that ended."""
    given: Callable[["World"], object] = lambda world: None
    """What has happened before."""


def one(world: World) -> set[str]:
    return {world.share}


def both(world: World) -> set[str]:
    return {world.share, world.share2}


def own_share(world: World) -> str:
    return world.share


def own_backup(world: World) -> str:
    return world.backup


def never(world: World) -> str:
    return NEVER_ISSUED


def strangers_share(world: World) -> str:
    return world.strangers_share


def strangers_backup(world: World) -> str:
    return world.strangers_backup


def share_cancelled(world: World) -> None:
    accepted(cancel(world.alpha, world.share))


def all_cancelled(world: World) -> None:
    cancel_all(world.alpha, world.backup)


GONE = (404, "VolumeBackup.0110")
FORBIDDEN = (403, "VolumeBackup.0042")
CANCELLED, DECLINED = "share.cancel", "share.decline"

BY_SHARE = {
    "S1": Row("O", own_share, ends=one, audit=CANCELLED),
    "S2": Row("O", own_share, *GONE, given=share_cancelled),
    "S4-shared": Row("O", own_backup, *GONE),
    "S4-not shared": Row("O", own_backup, *GONE, given=all_cancelled),
    "S5": Row("O", never, *GONE),
    "S6": Row("O", strangers_share, *GONE),
    "S7": Row("R", own_share, ends=one, audit=DECLINED),
    "S8": Row("R", lambda world: world.share2, *GONE),
    "S9": Row("R", own_backup, *GONE),
    "S10": Row("X", own_share, *GONE, given=share_cancelled),
    "S11-share": Row("U", own_share, *GONE),
    "S11-backup": Row("U", own_backup, *GONE),
    "S11-never": Row("U", never, *GONE),
    "S12-S1": Row("Adm", own_share, ends=one, path="O", audit=CANCELLED),
    "S12-S2": Row("Adm", own_share, *GONE, path="O", given=share_cancelled),
    "S12-S4": Row("Adm", own_backup, *GONE, path="O"),
    "S12-S5": Row("Adm", never, *GONE, path="O"),
    "S12-S6": Row("Adm", strangers_share, *GONE, path="O"),
    "S13": Row("Adm", own_share, ends=one, path="R", audit=DECLINED),
    "S14-share": Row("Adm", own_share, *GONE, path="U"),
    "S14-backup": Row("Adm", own_backup, *GONE, path="U"),
    "S14-never": Row("Adm", never, *GONE, path="U"),
    "S14-own path": Row("Adm", own_share, *GONE),
    "S17": Row("O", lambda world: world.share2, ends=lambda world: {world.share2}, audit=CANCELLED),
}

BY_BACKUP = {
    "B1": Row("O", own_backup, ends=both, audit=CANCELLED),
    "B2-cancelled": Row("O", own_backup, given=all_cancelled),
    "B6": Row("O", own_share, *GONE),
    "B7-never": Row("O", never, *GONE),
    "B7-strangers": Row("O", strangers_backup, *GONE),
    "B8": Row("R", own_backup, *FORBIDDEN),
    "B9": Row("R", own_share, *GONE),
    "B10": Row("X", own_backup, *GONE, given=share_cancelled),
    "B11-backup": Row("U", own_backup, *GONE),
    "B11-share": Row("U", own_share, *GONE),
    "B11-never": Row("U", never, *GONE),
    "B12-B1": Row("Adm", own_backup, ends=both, path="O", audit=CANCELLED),
    "B12-B2": Row("Adm", own_backup, path="O", given=all_cancelled),
    "B12-B6": Row("Adm", own_share, *GONE, path="O"),
    "B12-B7-never": Row("Adm", never, *GONE, path="O"),
    "B12-B7-strangers": Row("Adm", strangers_backup, *GONE, path="O"),
    "B13-R": Row("Adm", own_backup, *FORBIDDEN, path="R"),
    "B13-U": Row("Adm", own_backup, *GONE, path="U"),
    "B13-own path": Row("Adm", own_backup, *GONE),
}


def play(row: Row, world: World, *, flag: bool) -> None:
    row.given(world)
    ends = frozenset(row.ends(world))
    wanted = row.wanted(world)
    caller = world.party(row.caller)
    known = {event["id"] for event in events(world.alpha)}
    with only(world, ends):
        path = None if row.path is None else world.party(row.path).project_id
        answer = cancel(caller, wanted, "?is_backup_id=true" if flag else "", path_project=path)
        if row.code is None:
            accepted(answer)
        else:
            refused(answer, row.status, row.code)
    if row.code == "VolumeBackup.0110":
        word = "backup" if flag else "backup sharing"
        assert answer.json()["error"]["message"] == f"No {word} {wanted}."
    written = [event for event in events(world.alpha) if event["id"] not in known and event["action"] != "share.look"]
    refusals = [event for event in written if event["outcome"] == "refused"]
    assert {(event["action"], event["to_project_id"]) for event in refusals} <= {
        ("share.cancel", world.beta.project_id)
    }
    written = [event for event in written if event not in refusals]
    assert {(event["action"], event["share_id"]) for event in written} == {(row.audit, share_id) for share_id in ends}
    assert len(written) == len(ends)
    acting_for = world.party(row.path or row.caller).project_id
    request_id = answer.headers["x-request-id"] if acting_for == world.alpha.project_id else None
    for event in written:
        assert event["as_admin"] is (row.caller == "Adm")
        assert event["request_id"] == request_id, "an owner learns of another project that it did something, no more"
        assert event["actor_project_id"] == acting_for


@pytest.mark.parametrize("row", BY_SHARE.values(), ids=BY_SHARE)
def test_by_share_id(row: Row, world: World) -> None:
    play(row, world, flag=False)


@pytest.mark.parametrize("row", BY_BACKUP.values(), ids=BY_BACKUP)
def test_by_backup_id(row: Row, world: World) -> None:
    play(row, world, flag=True)


def test_b2_backup_that_was_never_shared(world: World) -> None:
    fresh = new_backup(world.alpha, world.spare_volume, "never-shared")
    with only(world):
        accepted(cancel(world.alpha, fresh, "?is_backup_id=true"))
    delete_backup(world.alpha, fresh)


def test_b14_backup_with_the_id_of_somebodys_share(world: World, records: Any) -> None:
    columns = "id, backup_id, from_project_id, to_project_id, created_at"
    records.execute(
        f"INSERT INTO shares ({columns}) SELECT :id, backup_id, from_project_id, :to, created_at "
        "FROM shares WHERE id = :like",
        id=world.backup,
        to="1d0f5b3c",
        like=world.strangers_share,
    )
    world.extra["collision"] = world.backup
    try:
        with only(world, frozenset({world.share, world.share2})):
            accepted(cancel(world.alpha, world.backup, "?is_backup_id=true"))
        with only(world):
            refused(cancel(world.alpha, world.backup), 404, "VolumeBackup.0110")
        with only(world, frozenset({world.backup})):
            accepted(cancel(world.gamma, world.backup))
    finally:
        records.execute("DELETE FROM shares WHERE id = :id", id=world.backup)


# ---------------------------------------------------------------- the states of the backup


@pytest.fixture
def doomed(world: World) -> str:
    """A backup of O's, shared with R, that the test will delete."""
    doomed = new_backup(world.alpha, world.spare_volume, "doomed")
    (world.extra["doomed"],) = share(world.alpha, doomed, world.beta)
    return doomed


def test_s3_b3_backup_being_deleted(world: World, doomed: str, worker_stopped: Any) -> None:
    """The shares ended when the deletion was accepted, so nothing is left to cancel, and saying so twice is fine."""
    with worker_stopped():
        job_id = start_delete(world.alpha, doomed)
        assert backup(world.alpha, doomed)["status"] == "deleting"
        with only(world):
            refused(cancel(world.alpha, world.extra["doomed"]), 404, "VolumeBackup.0110")
            refused(cancel(world.beta, world.extra["doomed"]), 404, "VolumeBackup.0110")
            accepted(cancel(world.alpha, doomed, "?is_backup_id=true"))
            accepted(cancel(world.admin, doomed, "?is_backup_id=true", path_project=world.alpha.project_id))
            refused(cancel(world.beta, doomed, "?is_backup_id=true"), 404, "VolumeBackup.0110")
    succeeded(world.alpha, job_id)


def test_s3_b5_backup_gone(world: World, doomed: str) -> None:
    delete_backup(world.alpha, doomed)
    with only(world):
        refused(cancel(world.alpha, world.extra["doomed"]), 404, "VolumeBackup.0110")
        refused(cancel(world.alpha, doomed, "?is_backup_id=true"), 404, "VolumeBackup.0110")
        refused(cancel(world.beta, doomed, "?is_backup_id=true"), 404, "VolumeBackup.0110")
        as_owner = {"path_project": world.alpha.project_id}
        refused(cancel(world.admin, world.extra["doomed"], **as_owner), 404, "VolumeBackup.0110")
        refused(cancel(world.admin, doomed, "?is_backup_id=true", **as_owner), 404, "VolumeBackup.0110")


@pytest.fixture(params=["available", "creating", "error", "restoring"])
def in_status(request: pytest.FixtureRequest, world: World, records: Any, worker_stopped: Any) -> Iterator[None]:
    """The shared backup is in this status. No request can bring a shared one into creating or error."""
    if request.param == "restoring":
        with worker_stopped():
            job_id = start_restore(world.alpha, world.backup, world.spare_volume)
            assert backup(world.alpha, world.backup)["status"] == "restoring"
            yield
        succeeded(world.alpha, job_id)
        return
    change = "UPDATE backups SET status = :status WHERE id = :id"
    records.execute(change, status=request.param, id=world.backup)
    assert backup(world.alpha, world.backup)["status"] == request.param
    yield
    records.execute(change, status="available", id=world.backup)


def test_s15_state_of_the_backup_does_not_matter(world: World, in_status: None) -> None:
    with only(world, frozenset({world.share})):
        accepted(cancel(world.alpha, world.share))


def test_b4_state_of_the_backup_does_not_matter(world: World, in_status: None) -> None:
    with only(world, frozenset({world.share, world.share2})):
        accepted(cancel(world.alpha, world.backup, "?is_backup_id=true"))


@pytest.mark.parametrize("flag", [False, True], ids=["S16", "S16-all"])
def test_running_restore_outlives_the_cancel(world: World, flag: bool, worker_stopped: Any) -> None:
    with worker_stopped():
        job_id = start_restore(world.beta, world.backup, world.betas_volume)
        with only(world, frozenset({world.share, world.share2} if flag else {world.share})):
            accepted(cancel(world.alpha, *((world.backup, "?is_backup_id=true") if flag else (world.share,))))
        late = world.beta.send(
            "POST",
            f"/v2/{{p}}/cloudbackups/{world.backup}/restore",
            json_body={"restore": {"volume_id": world.betas_volume}},
        )
        refused(late, 404, "VolumeBackup.0111")
    assert ended(world.beta, job_id)["status"] == "SUCCESS"
    assert world.beta.get(f"/v3/{{p}}/volumes/{world.betas_volume}")["volume"]["status"] == "available"
