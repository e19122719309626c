"""Runs of policies: each due time exactly once, whatever is late, busy or failing."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from openvbs.actions import backups as backup_actions
from openvbs.actions import policies, policy_runs, policy_tasks
from openvbs.actions import volumes as volume_actions
from openvbs.actions.service import Service
from openvbs.db import tables, volumes
from openvbs.domain import errors
from openvbs.domain.backup import NewBackup
from openvbs.domain.policy import Missed, PolicyFields, RunRules
from openvbs.domain.volume import VolumeStatus
from openvbs.jobs.scheduler import Scheduler
from tests.support.actions import add_volume, caller
from tests.support.policies import (
    DAY,
    DUE,
    HOUR,
    START,
    Workers,
    add_policy,
    backups_of,
    statuses,
    tasks_of,
    utc,
)

ALPHA, BETA = caller("alpha"), caller("beta")


def with_rules(service: Service, **rules: object) -> Workers:
    return Workers(replace(service, run_rules=RunRules(**rules)))


def set_volume(service: Service, volume_id: str, status: str) -> None:
    with service.database.write() as connection:
        volumes.update_volume(connection, volume_id, now=service.clock(), status=status)


def test_a_due_time_makes_one_backup_of_each_disk(service: Service, workers: Workers) -> None:
    one, two = sorted(add_volume(service, "alpha") for _ in range(2))
    policy = add_policy(service, ALPHA, one, two, tags={"team": "core"})
    workers.at(DUE - timedelta(seconds=1))
    assert tasks_of(service, ALPHA, policy.id) == []
    workers.at(DUE)
    workers.at(DUE)
    tasks = tasks_of(service, ALPHA, policy.id)
    assert {(task.volume_id, task.due_at, str(task.status)) for task in tasks} == {
        (one, DUE, "WAITING"), (two, DUE, "WAITING")
    }  # fmt: skip
    jobs = workers.take_jobs()
    assert {(job.id, job.volume_id) for job in jobs} == {(task.job_id, task.volume_id) for task in tasks}
    for task in tasks:
        (backup,) = backups_of(service, ALPHA, task.volume_id)
        assert (backup.id, backup.name, backup.policy_id) == (task.backup_id, task.backup_name, policy.id)
        assert backup.tags == {"team": "core"}
        assert backup.user_id == "user-of-alpha", "it acts as the user who made the policy"
        assert backup.name.startswith("autobk_")
    with service.database.write() as connection:
        connection.execute(tables.jobs.update().values(status="RUNNING"))
    assert statuses(service, ALPHA, policy.id) == ["RUNNING", "RUNNING"]
    workers.end(jobs[0])
    workers.end(jobs[1], failing="the store is full")
    seen = {task.job_id: task for task in tasks_of(service, ALPHA, policy.id)}
    workers.at(DUE + timedelta(minutes=1))
    settled = {task.job_id: task for task in tasks_of(service, ALPHA, policy.id)}
    assert seen == settled, "what is shown before the scheduler looked is what it then writes down"
    assert [str(settled[job.id].status) for job in jobs] == ["EXECUTE_SUCCESS", "EXECUTE_FAIL"]
    assert [settled[job.id].reason for job in jobs] == [None, "the store is full"]
    assert all(task.finished_at for task in settled.values())


def test_automatic_backups_do_not_count_for_the_ceiling_of_a_volume(service: Service, workers: Workers) -> None:
    workers = Workers(replace(service, limits=replace(service.limits, backups_per_volume_max=1)))
    volume = add_volume(service, "alpha")
    add_policy(service, ALPHA, volume, keep_number=9)
    for day in range(3):
        workers.run_at(DUE + day * DAY)
    backup_actions.create_backup(workers.service, ALPHA, NewBackup(volume_id=volume))
    workers.end_jobs()
    with pytest.raises(errors.BackupsPerVolumeExceeded):
        backup_actions.create_backup(workers.service, ALPHA, NewBackup(volume_id=volume))
    assert len(backups_of(service, ALPHA, volume)) == 4


@pytest.mark.parametrize(
    ("missed", "down_until", "expected"),
    [
        (Missed.RUN, DUE + 4 * DAY + 9 * HOUR, ["SKIP"] * 4 + ["EXECUTE_SUCCESS"]),
        (Missed.SKIP, DUE + 4 * DAY + 9 * HOUR, ["SKIP"] * 5),
        (Missed.SKIP, DUE + 4 * DAY + timedelta(minutes=4), ["SKIP"] * 4 + ["EXECUTE_SUCCESS"]),
        (Missed.SKIP, DUE + timedelta(minutes=4), ["EXECUTE_SUCCESS"]),
        (Missed.RUN, DUE + 9 * HOUR, ["EXECUTE_SUCCESS"]),
        (Missed.SKIP, DUE + 9 * HOUR, ["SKIP"]),
    ],
)
def test_times_that_passed_while_nobody_looked(
    service: Service, missed: Missed, down_until: object, expected: list[str]
) -> None:
    workers = with_rules(service, missed=missed)
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"))
    workers.run_at(down_until)
    tasks = tasks_of(service, ALPHA, policy.id)
    by_due = sorted(tasks, key=lambda task: task.due_at)
    assert [str(task.status) for task in by_due] == expected
    assert [task.due_at for task in by_due] == [DUE + day * DAY for day in range(len(expected))]
    for task in tasks:
        assert (task.reason is None) == (task.status != "SKIP")
        assert task.finished_at is not None
    assert len(backups_of(service, ALPHA, tasks[0].volume_id)) == expected.count("EXECUTE_SUCCESS")
    workers.run_at(DUE + 5 * DAY)
    assert len(tasks_of(service, ALPHA, policy.id)) == 6 if len(expected) == 5 else 2


def test_after_a_year_off_only_what_would_still_be_kept_is_recorded(service: Service, workers: Workers) -> None:
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"))
    workers.run_at(DUE + 400 * DAY + HOUR)
    assert len(tasks_of(service, ALPHA, policy.id)) == 30


def test_a_disk_is_not_due_for_times_before_it_came(service: Service, workers: Workers) -> None:
    policy = add_policy(service, ALPHA)
    service.clock.now = DUE + DAY + HOUR
    policies.associate(service, ALPHA, policy.id, [volume := add_volume(service, "alpha")])
    workers.at(DUE + 2 * DAY)
    assert [(t.volume_id, t.due_at) for t in tasks_of(service, ALPHA, policy.id)] == [(volume, DUE + 2 * DAY)]


def test_a_disk_whose_previous_backup_still_runs_is_skipped(service: Service, workers: Workers) -> None:
    volume, by_hand = add_volume(service, "alpha"), add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume, by_hand)
    backup_actions.create_backup(service, ALPHA, NewBackup(volume_id=by_hand))
    workers.at(DUE)
    workers.at(DUE + DAY)
    by_volume = {
        v: [str(t.status) for t in tasks_of(service, ALPHA, policy.id) if t.volume_id == v] for v in (volume, by_hand)
    }
    assert by_volume == {volume: ["WAITING", "SKIP"], by_hand: ["SKIP", "SKIP"]}
    assert all(t.reason for t in tasks_of(service, ALPHA, policy.id, status="SKIP"))
    assert len(backups_of(service, ALPHA, volume)) == 1


@pytest.mark.parametrize(
    "status", ["restoring-backup", "extending", "downloading", "uploading", "creating", "backing-up"]
)
def test_a_disk_that_is_busy_with_something_else_is_waited_for(service: Service, workers: Workers, status: str) -> None:
    volume = add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume)
    set_volume(service, volume, status)
    workers.at(DUE)
    workers.at(DUE + HOUR)
    (task,) = tasks_of(service, ALPHA, policy.id)
    assert (task.status, task.job_id, task.finished_at) == ("WAITING", None, None)
    set_volume(service, volume, "available")
    workers.run_at(DUE + HOUR + timedelta(seconds=1))
    assert statuses(service, ALPHA, policy.id) == ["EXECUTE_SUCCESS"]


def test_it_is_not_waited_for_without_end(service: Service) -> None:
    workers = with_rules(service, wait_seconds_max=3600)
    volume = add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume)
    set_volume(service, volume, VolumeStatus.RESTORING)
    workers.at(DUE)
    workers.at(DUE + HOUR)
    assert statuses(service, ALPHA, policy.id) == ["WAITING"]
    workers.at(DUE + HOUR + timedelta(seconds=2))
    (task,) = tasks_of(service, ALPHA, policy.id)
    assert task.status == "EXECUTE_TIMEOUT"
    assert "restoring-backup" in str(task.reason)
    set_volume(service, volume, "available")
    workers.run_at(DUE + DAY)
    assert statuses(service, ALPHA, policy.id) == ["EXECUTE_TIMEOUT", "EXECUTE_SUCCESS"]


def test_a_run_that_still_waits_makes_the_next_one_skip(service: Service) -> None:
    workers = with_rules(service, wait_seconds_max=2 * 24 * 3600)
    volume = add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume)
    set_volume(service, volume, VolumeStatus.RESTORING)
    workers.at(DUE)
    workers.at(DUE + DAY)
    set_volume(service, volume, VolumeStatus.AVAILABLE)
    workers.run_at(DUE + DAY + HOUR)
    assert statuses(service, ALPHA, policy.id) == ["EXECUTE_SUCCESS", "SKIP"]


@pytest.mark.parametrize("status", ["error", "error_restoring", "error_extending", "error_deleting"])
def test_a_disk_in_error_fails_at_once(service: Service, workers: Workers, status: str) -> None:
    volume = add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume)
    set_volume(service, volume, status)
    workers.at(DUE)
    (task,) = tasks_of(service, ALPHA, policy.id)
    assert (task.status, task.job_id) == ("EXECUTE_FAIL", None)
    assert status in str(task.reason)


def test_a_full_quota_fails_the_tasks_that_find_no_room(service: Service) -> None:
    limited = replace(service, limits=replace(service.limits, backups_max=1))
    workers = Workers(limited)
    policy = add_policy(limited, ALPHA, *(add_volume(service, "alpha") for _ in range(2)))
    workers.run_at(DUE)
    assert sorted(statuses(service, ALPHA, policy.id)) == ["EXECUTE_FAIL", "EXECUTE_SUCCESS"]
    (failed,) = tasks_of(service, ALPHA, policy.id, status="EXECUTE_FAIL")
    assert "Maximum number of backups" in str(failed.reason)


def test_a_disk_that_has_left_or_is_gone_is_skipped(service: Service, workers: Workers) -> None:
    left, gone = add_volume(service, "alpha"), add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, left, gone)
    for volume in (left, gone):
        set_volume(service, volume, VolumeStatus.EXTENDING)
    workers.at(DUE)
    policies.disassociate(service, ALPHA, policy.id, [left])
    for volume in (left, gone):
        set_volume(service, volume, VolumeStatus.AVAILABLE)
    volume_actions.delete_volume(service, ALPHA, gone)
    assert policies.list_policies(service, ALPHA)[0].volumes_count == 0, "deleting a volume takes it off its policy"
    workers.at(DUE + HOUR)
    assert statuses(service, ALPHA, policy.id) == ["SKIP", "SKIP"]


def test_off_means_no_runs_and_on_catches_nothing_up(service: Service, workers: Workers) -> None:
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"), is_on=False)
    workers.at(DUE + DAY)
    policies.update_policy(service, ALPHA, policy.id, PolicyFields(is_on=True))
    workers.at(DUE + DAY + HOUR)
    assert tasks_of(service, ALPHA, policy.id) == []
    workers.at(DUE + 2 * DAY)
    assert [task.due_at for task in tasks_of(service, ALPHA, policy.id)] == [DUE + 2 * DAY]


@pytest.mark.parametrize(
    "change", [PolicyFields(is_on=False), PolicyFields(start_time="05:00"), PolicyFields(every_days=30)]
)
def test_a_change_does_not_swallow_a_time_that_has_come(
    service: Service, workers: Workers, change: PolicyFields
) -> None:
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"))
    service.clock.now = DUE + timedelta(seconds=1)
    policies.update_policy(service, ALPHA, policy.id, change)
    workers.run_at(DUE + timedelta(seconds=2))
    (task,) = tasks_of(service, ALPHA, policy.id)
    assert (task.due_at, task.status) == (DUE, "EXECUTE_SUCCESS")


def test_a_change_of_the_times_counts_from_then_on(service: Service, workers: Workers) -> None:
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"))
    policies.update_policy(service, ALPHA, policy.id, PolicyFields(start_time="11:00", weekdays=["FRI"]))
    workers.at(utc("2026-02-16T00:00"))
    assert [task.due_at for task in tasks_of(service, ALPHA, policy.id)] == [utc("2026-02-13T11:00")]
    policies.update_policy(service, ALPHA, policy.id, PolicyFields(name="other"))
    workers.at(utc("2026-02-20T11:00"))
    assert len(tasks_of(service, ALPHA, policy.id)) == 2


def test_two_schedulers_at_once_run_each_time_once(service: Service) -> None:
    volume_ids = [add_volume(service, "alpha") for _ in range(6)]
    policies_made = [
        add_policy(service, ALPHA, *volume_ids[:3], name="one", keep_number=2),
        add_policy(service, ALPHA, *volume_ids[3:], name="two", start_time="20:00,21:00", keep_number=2),
    ]
    workers = Workers(service)
    for day in range(4):
        service.clock.now = DUE + day * DAY
        for _ in range(3):
            _look_at_once(service, 4)
            workers.end_jobs()
    for policy in policies_made:
        tasks = tasks_of(service, ALPHA, policy.id)
        keys = [(task.volume_id, task.due_at) for task in tasks]
        assert len(keys) == len(set(keys))
        assert {task.due_at for task in tasks if task.status == "EXECUTE_SUCCESS"} == {DUE + d * DAY for d in range(4)}
    for volume_id in volume_ids:
        kept = backups_of(service, ALPHA, volume_id)
        assert [backup.created_at.date() for backup in kept] == [(DUE + d * DAY).date() for d in (3, 2)]
    with service.database.read() as connection:
        counted = sa.select(tables.jobs.c.kind, sa.func.count()).group_by(tables.jobs.c.kind)
        kinds = dict(connection.execute(counted).all())
    assert kinds == {"bksCreateBackup": 6 * 4, "bksDeleteBackup": 6 * 2}


def _look_at_once(service: Service, number: int) -> None:
    barrier = threading.Barrier(number)

    def look() -> None:
        barrier.wait()
        Scheduler(service).look()

    with ThreadPoolExecutor(number) as pool:
        for looked in [pool.submit(look) for _ in range(number)]:
            looked.result()


@pytest.mark.parametrize("crashing", ["as it begins tasks", "as it ends them"])
def test_a_crash_anywhere_loses_and_doubles_nothing(service: Service, workers: Workers, crashing: str) -> None:
    """Each statement of a look in turn is the last before a crash; the looks after it bring all that was due."""
    volume_ids = [add_volume(service, "alpha") for _ in range(2)]
    policy = add_policy(service, ALPHA, *volume_ids, keep_number=2)
    for day in range(60):
        service.clock.now = DUE + day * DAY
        if crashing == "as it ends them":
            workers.scheduler.look()
            workers.end_jobs()
        crashed = crash_at_statement(service, day + 1, workers.scheduler.look)
        for _ in range(2):
            workers.scheduler.look()
            workers.end_jobs()
        tasks = [task for task in tasks_of(service, ALPHA, policy.id) if task.due_at == DUE + day * DAY]
        assert [str(task.status) for task in tasks] == ["EXECUTE_SUCCESS"] * 2
        workers.scheduler.look()
        workers.end_jobs()
        for volume_id in volume_ids:
            assert len(backups_of(service, ALPHA, volume_id)) == min(day + 1, 2)
        if not crashed:
            break
    else:
        pytest.fail("a look has more statements than days")
    assert day > 20


def crash_at_statement(service: Service, number: int, work: Callable[[], None]) -> bool:
    """End the work before its statement of that number; False if it has fewer."""
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise KeyboardInterrupt

    sa.event.listen(service.database.engine, "before_cursor_execute", count)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sa.event.remove(service.database.engine, "before_cursor_execute", count)
    return False


def test_a_policy_that_cannot_go_on_does_not_keep_others_from_running(
    service: Service, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    broken = add_policy(service, ALPHA, add_volume(service, "alpha"), name="broken")
    whole = add_policy(service, ALPHA, add_volume(service, "alpha"), name="whole")
    with service.database.write() as connection:
        connection.execute(
            tables.policies.update().where(tables.policies.c.id == broken.id).values(time_zone="No/Where")
        )
    workers.run_at(DUE)
    assert statuses(service, ALPHA, whole.id) == ["EXECUTE_SUCCESS"]
    assert statuses(service, ALPHA, broken.id) == []
    assert broken.id in caplog.text


def test_old_tasks_are_forgotten(service: Service, workers: Workers) -> None:
    policy = add_policy(service, ALPHA, add_volume(service, "alpha"))
    workers.run_at(DUE)
    workers.at(DUE + DAY)
    service.clock.now = DUE + 40 * DAY
    workers.scheduler.forget()
    assert [task.due_at for task in tasks_of(service, ALPHA, policy.id)] == [DUE + DAY], "it has not ended"


def test_run_now_makes_its_tasks_before_it_answers(service: Service, workers: Workers) -> None:
    volume = add_volume(service, "alpha")
    policy = add_policy(service, ALPHA, volume, is_on=False)
    policy_tasks.run_policy(service, ALPHA, policy.id)
    assert statuses(service, ALPHA, policy.id) == ["WAITING"]
    with pytest.raises(errors.PolicyRunning):
        policy_tasks.run_policy(service, ALPHA, policy.id)
    with pytest.raises(errors.PolicyRunning):
        policies.delete_policy(service, ALPHA, policy.id)
    workers.run_at(START + HOUR)
    assert statuses(service, ALPHA, policy.id) == ["EXECUTE_SUCCESS"]
    policy_tasks.run_policy(service, ALPHA, policy.id)
    workers.run_at(START + 2 * HOUR)
    policies.delete_policy(service, ALPHA, policy.id)
    assert len(backups_of(service, ALPHA, volume)) == 2, "the backups stay"
    assert policy_runs.LATE_MAX < HOUR
