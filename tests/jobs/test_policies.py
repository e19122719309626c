"""Policies with real workers: their backups, their retention, and killed workers that run no time twice."""

import random
import time
from datetime import timedelta

import pytest

from openvbs.actions import policy_tasks
from openvbs.actions.backups import list_backups
from openvbs.actions.restores import restore_backup
from openvbs.db import backups as backup_rows
from openvbs.db import policies as policy_rows
from openvbs.domain.backup import BackupQuery, NewRestore
from openvbs.units import MIB
from tests.support.actions import caller
from tests.support.policies import add_policy, statuses, tasks_of
from tests.support.site import Site, WorkerProcess
from tests.support.waiting import until

ALPHA = caller("alpha")
EVERY_HOUR = ",".join(f"{hour:02}:00" for hour in range(24))
KILLS = 4
SECONDS_MAX = 1.5


def whole(site: Site, volume_id: str) -> list[str]:
    page = list_backups(site.service, ALPHA, BackupQuery(volume_id=volume_id, status="available"))
    return [backup.id for backup in page.items]


def test_a_worker_runs_a_policy_and_its_retention(working: Site) -> None:
    volume = working.new_volume()
    policy = add_policy(working.service, ALPHA, volume.id, keep_number=2, is_on=False)
    for run in range(1, 4):
        policy_tasks.run_policy(working.service, ALPHA, policy.id)
        until(lambda: _none_is_open(working, policy.id), what="the run has ended")
        assert statuses(working.service, ALPHA, policy.id) == ["EXECUTE_SUCCESS"] * run
    until(lambda: len(whole(working, volume.id)) == 2, what="the oldest backup is deleted")
    tasks = tasks_of(working.service, ALPHA, policy.id)
    assert whole(working, volume.id) == [tasks[2].backup_id, tasks[1].backup_id]
    until(lambda: working.backup(str(tasks[0].backup_id)) is None, what="it is gone")
    _, target, job = restore_backup(working.service, ALPHA, str(tasks[2].backup_id), NewRestore())
    working.succeeded(job)
    assert working.content(target.id) == working.content(volume.id)


def test_a_run_takes_what_failed_and_leaves_what_a_check_found_damaged(working: Site) -> None:
    """Damage may be mended, and then an administrator resets the backup."""
    volume = working.new_volume()
    policy = add_policy(working.service, ALPHA, volume.id, keep_number=2, is_on=False)

    def run(number: int) -> str:
        policy_tasks.run_policy(working.service, ALPHA, policy.id)
        until(lambda: _none_is_open(working, policy.id), what="the run has ended")
        tasks = tasks_of(working.service, ALPHA, policy.id)
        assert len(tasks) == number
        return str(max(tasks, key=lambda task: task.created_at).backup_id)

    damaged = run(1)
    reason = "A check found damage."
    with working.database.write() as connection:
        backup_rows.mark_damaged(connection, "alpha", damaged, reason, now=working.service.clock())
    file = working.parts().files.volume(volume.id)
    file.rename(f"{file}.away")
    failed = run(2)
    file.with_name(f"{file.name}.away").rename(file)
    assert working.backup(failed).status == "error"
    run(3)
    until(lambda: working.backup(failed) is None, what="what failed is deleted")
    assert working.backup(damaged).fail_reason == reason


@pytest.mark.parametrize("seed", [1, *[pytest.param(seed, marks=pytest.mark.heavy) for seed in range(2, 6)]])
def test_killed_workers_run_each_due_time_once(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    print(f"seed {seed}")
    worker = WorkerProcess(site)
    try:
        volume_ids = [site.new_volume(data_bytes=40 * MIB).id for _ in range(3)]
        policy = add_policy(site.service, ALPHA, start_time=EVERY_HOUR, keep_number=5)
        now = site.service.clock()
        with site.database.write() as connection:  # as if nobody had looked for some hours
            policy_rows.associate(connection, policy.id, volume_ids, now=now - timedelta(days=1))
            this_hour = now.replace(minute=0, second=0, microsecond=0)
            policy_rows.update(connection, policy.id, next_due_at=this_hour - timedelta(hours=3))
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, SECONDS_MAX))
            worker.kill()
            worker.close()
            worker = WorkerProcess(site)
        until(lambda: _none_is_open(site, policy.id), what="every task has ended")
        tasks = tasks_of(site.service, ALPHA, policy.id)
        for volume_id in volume_ids:
            of_disk = [task for task in tasks if task.volume_id == volume_id]
            succeeded = [task for task in of_disk if task.status == "EXECUTE_SUCCESS"]
            skipped = [task for task in of_disk if task.status == "SKIP"]
            assert len({task.due_at for task in of_disk}) == len(of_disk) == len(succeeded) + len(skipped)
            assert len(skipped) >= 3
            assert sorted(whole(site, volume_id)) == sorted(str(task.backup_id) for task in succeeded)
            assert succeeded
        worker.stop()
    finally:
        worker.close()


def _none_is_open(site: Site, policy_id: str) -> bool:
    found = statuses(site.service, ALPHA, policy_id)
    return bool(found) and not {"WAITING", "RUNNING"} & set(found)
