"""What retention takes after a run, what it spares, and what its preview said before."""

import pytest

from openvbs.actions import audit, policies, policy_tasks, restores, shares
from openvbs.actions import backups as backup_actions
from openvbs.actions.service import Service
from openvbs.domain import errors
from openvbs.domain.audit import AuditQuery
from openvbs.domain.backup import NewBackup, NewRestore
from tests.support.actions import add_volume, caller
from tests.support.policies import DAY, DUE, Workers, add_policy, backups_of

ALPHA, BETA = caller("alpha"), caller("beta")


def test_retention_deletes_as_any_delete_and_says_why(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume, keep_number=2)
    workers.run_at(DUE)
    (first,) = backups_of(service, ALPHA, volume)
    shares.share_backup(service, ALPHA, first.id, ["beta"])
    workers.run_at(DUE + DAY)
    workers.at(DUE + 2 * DAY)
    workers.end_jobs()
    workers.scheduler.look()
    (job,) = workers.take_jobs()
    assert (job.kind, job.backup_id) == ("bksDeleteBackup", first.id)
    assert backup_actions.get_backup(service, ALPHA, first.id)[0].status == "deleting"
    with pytest.raises(errors.BackupNotFound):
        backup_actions.get_backup(service, BETA, first.id)
    events = audit.list_events(service, ALPHA, AuditQuery(backup_id=first.id)).items
    assert {event.action for event in events} == {"share.cancel", "backup.delete", "share.create", "backup.create"}
    (deleted,) = [event for event in events if event.action == "backup.delete"]
    assert (deleted.policy_id, deleted.actor_user_id) == (policy.id, "user-of-alpha")
    assert deleted.details == {"because": "retention", "why": "beyond_number"}


def test_retention_spares_what_the_project_restores(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    add_policy(service, ALPHA, volume, keep_number=2)
    workers.run_at(DUE)
    (first,) = backups_of(service, ALPHA, volume)
    _, _, restore = restores.restore_backup(service, ALPHA, first.id, NewRestore())
    workers.take_jobs()
    workers.run_at(DUE + DAY)
    workers.run_at(DUE + 2 * DAY)
    workers.run_at(DUE + 3 * DAY)
    assert [backup.id for backup in backups_of(service, ALPHA, volume)][2:] == [first.id]
    workers.end(restore)
    workers.run_at(DUE + 4 * DAY)
    assert len(backups_of(service, ALPHA, volume)) == 2


@pytest.mark.parametrize("rule", [{"keep_number": 2}, {"keep_number": None, "keep_days": 2}])
def test_retention_and_its_preview_are_blind_to_restores_of_recipients(
    service: Service, workers: Workers, rule: dict[str, int | None]
) -> None:
    restored, other = add_volume(service, "alpha"), add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, restored, other, **rule)
    workers.run_at(DUE)
    (first,) = backups_of(service, ALPHA, restored)
    shares.share_backup(service, ALPHA, first.id, ["beta"])
    restores.restore_backup(service, BETA, first.id, NewRestore())
    workers.take_jobs()
    workers.run_at(DUE + DAY)
    preview = policy_tasks.preview_retention(service, ALPHA, policy.id)
    seen = [[(f.why, f.goes_at, f.backup.is_restoring) for f in preview.disks[disk]] for disk in (restored, other)]
    assert seen[0] == seen[1]
    workers.run_at(DUE + 2 * DAY)
    assert len(backups_of(service, ALPHA, restored)) == len(backups_of(service, ALPHA, other)) == 2
    with pytest.raises(errors.BackupNotFound):
        backup_actions.get_backup(service, BETA, first.id)


def test_retention_leaves_alone_what_is_not_its_own(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    by_hand, _ = backup_actions.create_backup(service, ALPHA, NewBackup(volume_id=volume))
    workers.end_jobs()
    other = add_policy(service, ALPHA, volume, name="other", keep_number=2)
    workers.run_at(DUE)
    (of_other,) = [backup for backup in backups_of(service, ALPHA, volume) if backup.policy_id == other.id]
    policy = add_policy(service, ALPHA, volume, keep_number=2)
    for day in range(1, 6):
        workers.run_at(DUE + day * DAY)
    left = backups_of(service, ALPHA, volume)
    assert [backup.policy_id for backup in left] == [policy.id, policy.id, other.id, None]
    assert {by_hand.id, of_other.id} <= {backup.id for backup in left}


def test_a_disk_whose_backups_fail_loses_nothing(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    add_policy(service, ALPHA, volume, keep_number=None, keep_days=3)
    workers.run_at(DUE)
    workers.run_at(DUE + DAY)
    for day in range(2, 10):
        workers.run_at(DUE + day * DAY, failing="no")
    assert [backup.status for backup in backups_of(service, ALPHA, volume)] == ["error"] * 8 + ["available"] * 2
    workers.run_at(DUE + 10 * DAY)
    assert [backup.status for backup in backups_of(service, ALPHA, volume)] == ["available"]


def test_the_preview_names_what_the_next_run_then_takes(service: Service, workers: Workers) -> None:
    volume, left = add_volume(service, "alpha"), add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume, left, keep_number=3)
    for day in range(3):
        workers.run_at(DUE + day * DAY)
    policies.disassociate(service, ALPHA, policy.id, [left])
    preview = policy_tasks.preview_retention(service, ALPHA, policy.id)
    assert preview.next_run_at == DUE + 3 * DAY
    assert preview.associated == {volume}
    assert [f.goes_at for f in preview.disks[volume]] == [DUE + day * DAY for day in (5, 4, 3)]
    assert [f.goes_at for f in preview.disks[left]] == [None] * 3
    oldest = preview.disks[volume][-1].backup.id
    jobs = workers.run_at(DUE + 3 * DAY)
    assert [job.backup_id for job in jobs if job.kind == "bksDeleteBackup"] == [oldest]
