"""Shares that end by themselves: from their moment on as if cancelled, whether anybody has written that down or not."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from openvbs.actions.service import Service
from openvbs.actions.shares import end_all_expired
from openvbs.db import backups
from openvbs.jobs.scheduler import Scheduler
from tests.api.conftest import ALPHA, BETA, GAMMA
from tests.api.test_audit import events
from tests.api.test_sharing import SHARING, listed, share
from tests.support.actions import add_backup, add_volume
from tests.support.waiting import until
from tests.support.wsgi import Answer, Client

HOUR = timedelta(hours=1)


def share_until(owner: Client, backup: str, expires_at: object, *projects: str) -> Answer:
    body = {"shared": {"backup_id": backup, "to_project_ids": list(projects or [BETA]), "expires_at": expires_at}}
    return owner.send("POST", SHARING, body=body)


def in_(service: Service, span: timedelta) -> datetime:
    return service.clock.now.replace(microsecond=0) + span


def text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


USES: dict[str, Callable[[Client, str, str, str], Answer]] = {
    "list": lambda beta, backup, row, volume: beta.send("GET", f"{SHARING}/detail?share_to_me=true"),
    "count": lambda beta, backup, row, volume: beta.send("GET", f"{SHARING}/count?share_to_me=true"),
    "show": lambda beta, backup, row, volume: beta.send("GET", f"{SHARING}/{row}"),
    "decline": lambda beta, backup, row, volume: beta.send("DELETE", f"{SHARING}/{row}"),
    "native show": lambda beta, backup, row, volume: beta.send("GET", f"/v3/{{p}}/backups/{backup}"),
    "native delete": lambda beta, backup, row, volume: beta.send("DELETE", f"/v3/{{p}}/backups/{backup}"),
    "restore": lambda beta, backup, row, volume: beta.send(
        "POST", f"/v2/{{p}}/cloudbackups/{backup}/restore", body={"restore": {"volume_id": volume}}
    ),
    "native restore": lambda beta, backup, row, volume: beta.send(
        "POST", f"/v3/{{p}}/backups/{backup}/restore", body={"restore": {}}
    ),
    "share on": lambda beta, backup, row, volume: beta.send(
        "POST", SHARING, body={"shared": {"backup_id": backup, "to_project_ids": ["f" * 32]}}
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("swept", [False, True])
def test_an_expired_share_is_as_a_cancelled_one(
    alpha: Client, beta: Client, gamma: Client, service: Service, use: str, *, swept: bool
) -> None:
    backup, volume = add_backup(service, ALPHA), add_volume(service, BETA)
    (row,) = share_until(alpha, backup, text(in_(service, HOUR))).json()["shared"]
    before = USES[use](beta, backup, row["id"], volume)
    assert before.status in {200, 202, 403}
    service.clock.now += HOUR
    if swept:
        end_all_expired(service)
    after = USES[use](beta, backup, row["id"], volume)
    strangers = USES[use](gamma, backup, row["id"], add_volume(service, GAMMA))
    assert (after.status, after.body) == (strangers.status, strangers.body)
    assert after.status == 404 or after.json() in ({"shared": []}, {"count": 0})
    assert listed(alpha) == []
    assert alpha.send("DELETE", f"{SHARING}/{row['id']}").status == 404
    assert alpha.send("DELETE", f"{SHARING}/{backup}?is_backup_id=true").status == 200


def test_it_lives_until_its_moment(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    share_until(alpha, backup, text(in_(service, HOUR)))
    service.clock.now += HOUR - timedelta(seconds=30)
    assert len(listed(beta, "?share_to_me=true")) == 1
    service.clock.now += timedelta(seconds=30)
    assert listed(beta, "?share_to_me=true") == []


def test_only_shares_that_expire_say_so(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    expires_at = text(in_(service, HOUR))
    plain = share(alpha, backup, GAMMA)[0]
    (row,) = share_until(alpha, backup, expires_at).json()["shared"]
    assert row["expires_at"] == expires_at
    assert row.keys() - plain.keys() == {"expires_at"}
    shown = {s["to_project_id"]: s for s in alpha.get(f"{SHARING}/detail")["shared"]}
    assert shown[BETA]["expires_at"] == beta.get(f"{SHARING}/{row['id']}")["shared"]["expires_at"] == expires_at
    assert "expires_at" not in shown[GAMMA]


def test_sharing_again_moves_the_end_only_if_it_names_one(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    (first,) = share(alpha, backup, BETA)
    sooner, later = text(in_(service, HOUR)), text(in_(service, 2 * HOUR))
    for expires_at in (later, sooner):
        (again,) = share_until(alpha, backup, expires_at).json()["shared"]
        assert (again["id"], again["expires_at"]) == (first["id"], expires_at)
    assert share(alpha, backup, BETA)[0]["expires_at"] == sooner
    assert share_until(alpha, backup, sooner).json()["shared"][0]["id"] == first["id"]
    assert [event["action"] for event in events(alpha, share_id=first["id"])] == ["share.update"] * 2 + ["share.create"]
    service.clock.now += HOUR
    (new,) = share(alpha, backup, BETA)
    assert new["id"] != first["id"]
    assert "expires_at" not in new


@pytest.mark.parametrize(
    "value",
    ["", "tomorrow", 5, True, [], {}, "2099-01-01", "2099-13-01T00:00:00", "2099-01-01T00:00:00+99:00",
     "2099-W01-1T00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00", "2020-01-01T00:00:00",
     "2026-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_to_end(alpha: Client, service: Service, value: object) -> None:
    backup = add_backup(service, ALPHA)
    answer = share_until(alpha, backup, value)
    assert (answer.status, answer.code) == (400, "VolumeBackup.0002")
    assert listed(alpha) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        ("2099-01-01T00:00", "2099-01-01T00:00:00.000000"),
        ("2099-01-01T00:00:00.5Z", "2099-01-01T00:00:00.500000"),
        ("2099-01-01T00:00:00.000001+14:00", "2098-12-31T10:00:00.000001"),
        ("9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"),
    ],
)
def test_times_to_end(alpha: Client, service: Service, value: str | None, shown: str | None) -> None:
    (row,) = share_until(alpha, add_backup(service, ALPHA), value).json()["shared"]
    assert row.get("expires_at") == shown


def test_the_end_is_written_down_once_with_its_time(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    moment = in_(service, HOUR)
    (row,) = share_until(alpha, backup, text(moment)).json()["shared"]
    (stays,) = share(alpha, backup, GAMMA)
    scheduler = Scheduler(service)
    scheduler.look()
    service.clock.now += 2 * HOUR
    for _ in range(2):
        scheduler.look()
    (event,) = events(alpha, "share.expire")
    assert (event["share_id"], event["to_project_id"], event["outcome"]) == (row["id"], BETA, "expired")
    assert datetime.fromisoformat(event["details"]["expired_at"]) == moment.astimezone(UTC)
    assert event["actor_project_id"] == ALPHA
    assert events(beta) == []
    assert listed(alpha) == [stays["id"]]


def test_what_had_expired_is_not_cancelled_by_a_delete(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    share_until(alpha, backup, text(in_(service, HOUR)))
    share(alpha, backup, GAMMA)
    service.clock.now += HOUR
    assert alpha.send("DELETE", f"/v2/{{p}}/cloudbackups/{backup}").status == 200
    ends = [(e["action"], e["to_project_id"]) for e in events(alpha) if e["action"].startswith("share.")]
    assert ends[:2] == [("share.cancel", GAMMA), ("share.expire", BETA)]


@pytest.mark.parametrize("looks", range(1, 9))
def test_a_backup_is_shared_again_at_whatever_look_at_the_clock_the_old_share_expires(
    alpha: Client, beta: Client, service: Service, looks: int
) -> None:
    backup = add_backup(service, ALPHA)
    (old,) = share_until(alpha, backup, text(in_(service, HOUR))).json()["shared"]
    service.clock.now = datetime.fromisoformat(old["expires_at"]).replace(tzinfo=UTC) - timedelta(seconds=looks)
    (row,) = share(alpha, backup, BETA)
    assert row["id"] == old["id"] or listed(beta, "?share_to_me=true") == [row["id"]]


def test_a_share_that_would_end_while_its_request_waits_is_refused(alpha: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    begun, moment = service.clock.now, in_(service, HOUR)
    with ThreadPoolExecutor(1) as pool:
        with service.database.write() as connection:
            backups.lock_row(connection, backup)
            waiting = pool.submit(share_until, alpha, backup, text(moment))
            until(lambda: service.clock.now > begun, what="a look at the clock before the lock")
            service.clock.now = moment
        assert (waiting.result().status, waiting.result().code) == (400, "VolumeBackup.0002")
    assert listed(alpha) == []
