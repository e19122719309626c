"""Cancelling a share with abort_running: who may say it, what it stops, and what it leaves alone."""

import pytest

from openvbs.actions.service import Service
from openvbs.actions.share_ends import ABORTED_BY
from openvbs.db import jobs
from tests.api.conftest import ALPHA, BETA, GAMMA
from tests.api.test_audit import events
from tests.api.test_sharing import SHARING, listed, share
from tests.support.actions import add_backup
from tests.support.wsgi import Client


def restore(client: Client, backup: str) -> str:
    """A restore into a new volume; its job's id."""
    answer = client.send("POST", f"/v3/{{p}}/backups/{backup}/restore", body={"restore": {}})
    assert answer.status == 202, answer
    return answer.headers["x-openvbs-job-id"]


def is_stopped(service: Service, job_id: str) -> bool:
    with service.database.read() as connection:
        found = jobs.find(connection, job_id, project_id=None)
    assert found is not None
    assert found.cancel_requested_by in {None, ABORTED_BY}
    return found.cancel_requested_by is not None


def test_by_share_id_it_stops_what_runs_under_that_share(
    alpha: Client, beta: Client, gamma: Client, service: Service
) -> None:
    backup, other = add_backup(service, ALPHA), add_backup(service, ALPHA)
    to_beta, _ = share(alpha, backup, BETA, GAMMA)
    share(alpha, other, BETA)
    mine, theirs = [restore(beta, backup) for _ in range(2)], restore(gamma, backup)
    of_other, own = restore(beta, other), restore(alpha, backup)
    assert alpha.send("DELETE", f"{SHARING}/{to_beta['id']}?abort_running=TRUE").status == 200
    assert [is_stopped(service, job) for job in [*mine, theirs, of_other, own]] == [True, True, False, False, False]
    aborts = events(alpha, "share.abort")
    assert {event["job_id"] for event in aborts} == set(mine)
    assert {(e["share_id"], e["to_project_id"], e["actor_project_id"]) for e in aborts} == {
        (to_beta["id"], BETA, ALPHA)
    }
    assert len(events(alpha, "share.cancel")) == 1


def test_by_backup_id_it_also_stops_what_runs_under_ended_shares(
    alpha: Client, beta: Client, gamma: Client, service: Service
) -> None:
    backup = add_backup(service, ALPHA)
    first, _ = share(alpha, backup, BETA, GAMMA)
    running = [restore(beta, backup), restore(gamma, backup)]
    own = restore(alpha, backup)
    assert alpha.send("DELETE", f"{SHARING}/{first['id']}").status == 200
    assert alpha.send("DELETE", f"{SHARING}/{backup}?is_backup_id=true").status == 200
    assert not any(is_stopped(service, job) for job in running)
    for _ in range(2):
        assert alpha.send("DELETE", f"{SHARING}/{backup}?is_backup_id=true&abort_running=true").status == 200
    assert [is_stopped(service, job) for job in [*running, own]] == [True, True, False]
    assert len(events(alpha, "share.abort")) == 2


def test_a_recipient_who_gives_up_its_share_stops_nothing(alpha: Client, beta: Client, service: Service) -> None:
    backup = add_backup(service, ALPHA)
    (row,) = share(alpha, backup, BETA)
    job = restore(beta, backup)
    assert beta.send("DELETE", f"{SHARING}/{row['id']}?abort_running=true").status == 200
    assert not is_stopped(service, job)
    assert events(alpha, "share.abort") == []
    assert events(alpha, "share.decline")[0]["actor_project_id"] == BETA


@pytest.mark.parametrize("path", [ALPHA, BETA])
def test_an_administrator_may_for_either_side(
    alpha: Client, beta: Client, admin: Client, service: Service, path: str
) -> None:
    backup = add_backup(service, ALPHA)
    (row,) = share(alpha, backup, BETA)
    job = restore(beta, backup)
    target = f"/v2/{path}/os-vendor-backup-sharing/{row['id']}?abort_running=true"
    assert admin.send("DELETE", target).status == 200
    assert is_stopped(service, job)
    (event,) = events(alpha, "share.abort")
    assert (event["as_admin"], event["actor_project_id"]) == (True, path)


def test_strangers_and_recipients_by_backup_id_stop_nothing(
    alpha: Client, beta: Client, gamma: Client, service: Service
) -> None:
    backup = add_backup(service, ALPHA)
    (row,) = share(alpha, backup, BETA)
    job = restore(beta, backup)
    assert gamma.send("DELETE", f"{SHARING}/{row['id']}?abort_running=true").status == 404
    assert gamma.send("DELETE", f"{SHARING}/{backup}?is_backup_id=true&abort_running=true").status == 404
    assert beta.send("DELETE", f"{SHARING}/{backup}?is_backup_id=true&abort_running=true").status == 403
    assert not is_stopped(service, job)


@pytest.mark.parametrize("value", ["", "1", "yes", "true&abort_running=true"])
def test_a_value_that_is_no_boolean_ends_nothing(alpha: Client, service: Service, value: str) -> None:
    (row,) = share(alpha, add_backup(service, ALPHA), BETA)
    answer = alpha.send("DELETE", f"{SHARING}/{row['id']}?abort_running={value}")
    assert (answer.status, answer.code) == (400, "VolumeBackup.0002")
    assert listed(alpha) == [row["id"]]
