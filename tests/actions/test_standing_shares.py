"""Standing shares: each backup that a policy makes is shared once it is whole, and its shares end with it."""

from dataclasses import replace

import pytest

from openvbs.actions import audit, backups, policies, policy_runs, shares
from openvbs.actions.service import Service
from openvbs.auth.caller import Caller
from openvbs.db import backups as backup_rows
from openvbs.domain import errors
from openvbs.domain.audit import AuditQuery
from openvbs.domain.backup import NewBackup
from openvbs.domain.policy import PolicyFields
from openvbs.domain.share import ShareQuery
from tests.support.actions import add_volume, caller
from tests.support.policies import DAY, DUE, Workers, add_policy

ALPHA, BETA, GAMMA = caller("alpha"), caller("beta"), caller("gamma")


def received(service: Service, who: Caller) -> list[str]:
    """The backups that are shared with the caller, the newest share first."""
    found = shares.list_shares(service, who, ShareQuery(share_to_me=True)).items
    return [shared.backup.id for shared in found]


def made_by(service: Service, policy_id: str) -> list[str]:
    found = backups.list_backups(service, ALPHA, backups.BackupQuery()).items
    return [backup.id for backup in found if backup.policy_id == policy_id]


def test_each_new_backup_is_shared_and_retention_ends_the_oldest_share(service: Service, workers: Workers) -> None:
    one, two = add_volume(service, "alpha"), add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, one, two, keep_number=2, share_with=["beta", "gamma"])
    for day in range(4):
        workers.run_at(DUE + day * DAY)
        assert sorted(received(service, BETA)) == sorted(made_by(service, policy.id))
    assert len(received(service, GAMMA)) == 4
    (newest,) = {
        share.share.id for share in shares.list_shares(service, GAMMA, ShareQuery(share_to_me=True, limit=1)).items
    }
    events = audit.list_events(service, ALPHA, AuditQuery(policy_id=policy.id)).items
    made = [event for event in events if event.action == "share.create"]
    assert len(made) == 16
    assert newest in {event.share_id for event in made}
    assert {(event.actor_project_id, event.actor_user_id) for event in made} == {("alpha", "user-of-alpha")}


def test_a_backup_is_shared_when_it_is_whole_and_only_then(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    add_policy(service, ALPHA, volume, share_with=["beta"])
    workers.at(DUE)
    (job,) = workers.take_jobs()
    workers.scheduler.look()
    assert received(service, BETA) == []
    workers.end(job)
    workers.scheduler.look()
    workers.scheduler.look()
    assert received(service, BETA) == [job.backup_id]
    workers.run_at(DUE + DAY, failing="no")
    assert received(service, BETA) == [job.backup_id]


def test_backups_of_others_are_not_shared(service: Service, workers: Workers) -> None:
    volume, other = add_volume(service, "alpha"), add_volume(service, "alpha")
    add_policy(service, ALPHA, volume, share_with=["beta"])
    add_policy(service, ALPHA, other, name="quiet")
    backups.create_backup(service, ALPHA, NewBackup(volume_id=volume, name="by-hand"))
    workers.end_jobs()
    workers.run_at(DUE)
    assert len(received(service, BETA)) == 1


def test_what_was_shared_by_hand_meanwhile_keeps_its_share(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    add_policy(service, ALPHA, volume, share_with=["beta", "gamma"])
    workers.at(DUE)
    (job,) = workers.end_jobs()
    (share,) = shares.share_backup(service, ALPHA, str(job.backup_id), ["beta"])
    workers.scheduler.look()
    (mine,) = shares.list_shares(service, BETA, ShareQuery(share_to_me=True)).items
    assert mine.share.id == share.id
    assert len(received(service, GAMMA)) == 1


def test_a_share_by_hand_that_has_expired_is_not_in_the_way(service: Service, workers: Workers) -> None:
    add_policy(service, ALPHA, add_volume(service, "alpha"), share_with=["beta"])
    workers.at(DUE)
    (job,) = workers.end_jobs()
    (old,) = shares.share_backup(service, ALPHA, str(job.backup_id), ["beta"], expires_at=DUE + DAY)
    service.clock.now = DUE + DAY
    policy_runs.end_finished_tasks(service)  # a look that began before the share expired
    (new,) = shares.list_shares(service, BETA, ShareQuery(share_to_me=True)).items
    assert new.share.id != old.id


@pytest.mark.parametrize("status", ["deleting", "error"])
def test_what_is_no_longer_whole_is_not_shared(service: Service, workers: Workers, status: str) -> None:
    add_policy(service, ALPHA, add_volume(service, "alpha"), share_with=["beta"])
    workers.at(DUE)
    (job,) = workers.end_jobs()
    with service.database.write() as connection:
        backup_rows.update(connection, str(job.backup_id), now=service.clock(), status=status)
    workers.scheduler.look()
    assert received(service, BETA) == []


def test_changing_the_list_changes_what_comes(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume, keep_number=9, share_with=["beta"])
    workers.run_at(DUE)
    policies.update_policy(service, ALPHA, policy.id, PolicyFields(share_with=["gamma"]))
    policies.update_policy(service, ALPHA, policy.id, PolicyFields(name="other"))
    workers.run_at(DUE + DAY)
    policies.update_policy(service, ALPHA, policy.id, PolicyFields(share_with=[]))
    workers.run_at(DUE + 2 * DAY)
    assert (len(received(service, BETA)), len(received(service, GAMMA))) == (1, 1)
    assert received(service, BETA) != received(service, GAMMA)
    changed = [e.details for e in audit.list_events(service, ALPHA, AuditQuery()).items if e.action == "policy.update"]
    assert {"changed": ["share_with", "updated_at"]} in changed or {"changed": ["share_with"]} in changed


def test_it_is_no_way_around_the_right_to_share(service: Service) -> None:
    class NoSharing:
        """What an operator's policy.yaml may say."""

        def require(self, who: Caller, action: str) -> None:
            if action == "share:create":
                raise errors.Forbidden("not to share")

    strict = replace(service, permissions=NoSharing())
    policy = add_policy(strict, ALPHA)
    with pytest.raises(errors.Forbidden):
        add_policy(strict, ALPHA, share_with=["beta"])
    with pytest.raises(errors.Forbidden):
        policies.update_policy(strict, ALPHA, policy.id, PolicyFields(share_with=["beta"]))
    policies.update_policy(strict, ALPHA, policy.id, PolicyFields(share_with=[]))
    assert policies.list_policies(service, ALPHA)[0].policy.share_with == []


def test_a_policy_shares_no_backup_more_often_than_may_be(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    limited = replace(service, limits=replace(service.limits, shares_per_backup_max=2))
    volume = add_volume(service, "alpha")
    with pytest.raises(errors.SharesPerBackupExceeded):
        add_policy(limited, ALPHA, volume, share_with=["beta", "delta", "gamma"])
    policy = add_policy(limited, ALPHA, volume, share_with=["beta", "gamma"])
    workers = Workers(limited)
    workers.at(DUE)
    (job,) = workers.end_jobs()
    shares.share_backup(limited, ALPHA, str(job.backup_id), ["delta"])
    workers.scheduler.look()
    assert received(service, BETA) == received(service, caller("delta")) == made_by(service, policy.id)
    assert received(service, GAMMA) == []
    assert f"backup {job.backup_id} of policy {policy.id} has all its 2 shares: none to gamma" in caplog.text
