"""Policies' disks, runs, tasks and retention on the wire."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from openvbs.actions.service import Service
from openvbs.api.app import create_app
from openvbs.api.wire import Settings
from openvbs.auth.identity import read_identity
from openvbs.db import tables
from openvbs.jobs.scheduler import Scheduler
from tests.api.conftest import ALPHA, BETA, BODY_BYTES_MAX, PUBLIC_URL
from tests.support.actions import add_volume, end_job
from tests.support.policy_wire import POLICIES, RESOURCES, UNKNOWN, associate, change, create, listed, short
from tests.support.wsgi import Client


def test_associating_disks(alpha: Client, service: Service) -> None:
    one, other = create(alpha), create(alpha)
    good, foreign = add_volume(service, ALPHA), add_volume(service, BETA)
    broken = add_volume(service, ALPHA, status="error_restoring")
    found = associate(alpha, one, good.upper(), foreign, UNKNOWN, "no-id", broken, good)
    success = {
        "resource_id": good, "resource_type": "volume", "availability_zone": "nova", "os_vol_host_attr": "pod01.nova"
    }  # fmt: skip
    assert found["success_resources"] == [success]
    unknown = {
        "resource_type": "volume",
        "availability_zone": None,
        "os_vol_host_attr": None,
        "code": "AutoBackup.1400",
    }
    messages = [item.pop("message") for item in found["fail_resources"]]
    assert all(messages)
    assert found["fail_resources"] == [
        *[{"resource_id": i, **unknown} for i in (foreign, UNKNOWN, "no-id")],
        {**success, "resource_id": broken, "code": "AutoBackup.0206"},
    ]
    assert associate(alpha, one, good) == {"success_resources": [success], "fail_resources": []}
    assert associate(alpha, other, good)["success_resources"] == [success], "a disk moves to the policy that asks last"
    assert {row["backup_policy_id"]: row["policy_resource_count"] for row in listed(alpha)} == {one: 0, other: 1}


@pytest.mark.parametrize("status", ["error", "error_extending", "error_restoring", "error_deleting", "deleting"])
def test_disks_in_a_bad_state_get_no_policy(alpha: Client, service: Service, status: str) -> None:
    found = associate(alpha, create(alpha), add_volume(service, ALPHA, status=status))
    assert [item["code"] for item in found["fail_resources"]] == ["AutoBackup.0206"]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (None, "0000"),
        (b"nope", "0008"),
        ([], "0008"),
        ({}, "0001"),
        ({"resources": "<"}, "0221"),
        ({"resources": [{}]}, "0006"),
        ({"backup_policy_id": "", "resources": 5}, "0006"),
        ({"backup_policy_id": 5}, "0006"),
        ({"backup_policy_id": "x"}, "0207"),
        ({"backup_policy_id": "x", "resources": []}, "0207"),
        ({"backup_policy_id": "x", "resources": {"a": 1}}, "0207"),
        ({"backup_policy_id": "x", "resources": [{"resource_type": "volume"}]}, "0209"),
        ({"backup_policy_id": "x", "resources": [{"resource_id": ""}]}, "0209"),
        ({"backup_policy_id": "x", "resources": [{"resource_id": 5}]}, "0209"),
        ({"backup_policy_id": "x", "resources": ["x"]}, "0209"),
        ({"backup_policy_id": "x", "resources": [{"resource_id": "x"}]}, "0211"),
        ({"backup_policy_id": "x", "resources": [{"resource_id": "x", "resource_type": "server"}]}, "0211"),
        ({"backup_policy_id": "x", "resources": [{"resource_id": "x", "resource_type": ["volume"]}]}, "0211"),
        ({"backup_policy_id": "x", "resources": [{}] * 1001}, "0008"),
    ],
    ids=short,
)
def test_what_is_wrong_with_an_association(alpha: Client, wanted: Any, code: str) -> None:
    answer = alpha.send("POST", RESOURCES, body=wanted)
    assert (answer.status, answer.code) == (400, f"AutoBackup.{code}")


def test_a_policy_has_so_many_disks(app: Any, service: Service) -> None:
    limited = replace(service, limits=replace(service.limits, volumes_per_policy_max=2))
    settings = Settings(public_url=PUBLIC_URL, body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    alpha = Client(create_app(limited, settings, read_identity), ALPHA)
    policy_id, volumes = create(alpha), [add_volume(service, ALPHA) for _ in range(3)]
    associate(alpha, policy_id, volumes[0], UNKNOWN, "x")
    wanted = {
        "backup_policy_id": policy_id,
        "resources": [{"resource_id": volume, "resource_type": "volume"} for volume in volumes],
    }
    answer = alpha.send("POST", RESOURCES, body=wanted)
    assert (answer.status, answer.code) == (403, "AutoBackup.0204")
    assert listed(alpha)[0]["policy_resource_count"] == 1, "none was associated"
    associate(alpha, policy_id, volumes[0], volumes[1])


def test_disassociating_disks(alpha: Client, service: Service) -> None:
    policy_id, other = create(alpha), create(alpha)
    mine, elsewhere, foreign = add_volume(service, ALPHA), add_volume(service, ALPHA), add_volume(service, BETA)
    associate(alpha, policy_id, mine)
    associate(alpha, other, elsewhere)
    target = f"{RESOURCES}/{policy_id}/deleted_resources"
    wanted = [
        {"resource_id": i, "resource_type": "volume"} for i in (mine.upper(), elsewhere, foreign, UNKNOWN, "x", mine)
    ]
    answer = alpha.send("POST", target, body={"resources": wanted})
    assert answer.status == 200
    found = answer.json()
    assert found["success_resources"] == [{"resource_id": mine}]
    assert [(item["resource_id"], item["code"]) for item in found["fail_resources"]] == [
        (i, "AutoBackup.1400") for i in (elsewhere, foreign, UNKNOWN, "x")
    ]
    assert all(set(item) == {"resource_id", "code", "message"} for item in found["fail_resources"])
    for wrong, code in (
        (None, "0000"), (b"x", "0008"), ([], "0008"), ({}, "0001"), ({"x": ">"}, "0221"), ({"x": 1}, "0207"),
        ({"resources": []}, "0207"), ({"resources": [{}]}, "0209"), ({"resources": [{"resource_id": ""}]}, "0209"),
        ({"resources": [{}] * 1001}, "0008"),
    ):  # fmt: skip
        answer = alpha.send("POST", target, body=wrong)
        assert (answer.status, answer.code) == (400, f"AutoBackup.{code}")


def test_running_a_policy_now(alpha: Client, service: Service) -> None:
    policy_id = create(alpha, {"status": "OFF"})
    target = f"{POLICIES}/{policy_id}/action"
    answer = alpha.send("POST", target)
    assert (answer.status, answer.code) == (400, "AutoBackup.0207")
    volume = add_volume(service, ALPHA)
    associate(alpha, policy_id, volume)
    answer = alpha.send("POST", target, body=b"anything <", Content_Type="")
    assert (answer.status, answer.body) == (204, b"")
    found = alpha.get(f"{POLICIES}/{policy_id}/backuptasks")
    (task,) = found["tasks"]
    assert found["count"] == 1
    assert task.pop("created_at").startswith("2026-01-01T00:00:")
    assert len(task.pop("job_id")) == 36
    assert task.pop("backup_name").startswith("autobk_")
    assert task == {
        "status": "WAITING", "finished_at": None, "resource_id": volume, "resource_type": "volume", "vbs_job_id": None,
        "fail_reason": None,
    }  # fmt: skip
    assert alpha.send("POST", target).code == "AutoBackup.0225"
    assert alpha.send("DELETE", f"{POLICIES}/{policy_id}").code == "AutoBackup.0225"
    assert alpha.send("DELETE", f"{POLICIES}/{policy_id}").status == 409
    Scheduler(service).look()
    (task,) = alpha.get(f"{POLICIES}/{policy_id}/backuptasks")["tasks"]
    assert alpha.get(f"/v1/{{p}}/jobs/{task['vbs_job_id']}")["job_type"] == "bksCreateBackup"
    (backup,) = alpha.get("/v2/{p}/backups/detail")["backups"]
    assert (backup["name"], backup["volume_id"]) == (task["backup_name"], volume)


@pytest.mark.parametrize("limits", [{"backups_max": 0}, {"backup_gigabytes_max": 1}])
def test_a_run_needs_room_for_one_backup(app: Any, service: Service, limits: dict[str, int]) -> None:
    limited = replace(service, limits=replace(service.limits, **limits))
    settings = Settings(public_url=PUBLIC_URL, body_bytes_max=BODY_BYTES_MAX, page_items_max=1000)
    alpha = Client(create_app(limited, settings, read_identity), ALPHA)
    policy_id = create(alpha)
    associate(alpha, policy_id, add_volume(service, ALPHA, size_gib=2), add_volume(service, ALPHA, size_gib=3))
    answer = alpha.send("POST", f"{POLICIES}/{policy_id}/action")
    assert (answer.status, answer.code) == (403, "AutoBackup.0218")
    assert alpha.get(f"{POLICIES}/{policy_id}/backuptasks") == {"count": 0, "tasks": []}


@pytest.fixture
def with_tasks(alpha: Client, service: Service) -> tuple[str, list[str]]:
    """A policy that ran on five disks, and its tasks, the newest first: one ran, one failed, the rest wait."""
    policy_id = create(alpha)
    associate(alpha, policy_id, *(add_volume(service, ALPHA) for _ in range(5)))
    alpha.send("POST", f"{POLICIES}/{policy_id}/action")
    Scheduler(service).look()
    good, bad = service.queue.jobs[-5:-3]
    end_job(service, good)
    end_job(service, bad, status="FAIL", fail_reason="the store is full")
    with service.database.write() as connection:
        connection.execute(
            tables.jobs.update().where(tables.jobs.c.id == service.queue.jobs[-1].id).values(status="RUNNING")
        )
        newest = sa.select(tables.policy_tasks.c.id).order_by(
            tables.policy_tasks.c.created_at.desc(), tables.policy_tasks.c.id.desc()
        )
        ids = list(connection.scalars(newest))
    return policy_id, ids


def test_listing_tasks(alpha: Client, with_tasks: tuple[str, list[str]]) -> None:
    policy_id, ids = with_tasks

    def page(query: str) -> tuple[int, list[str]]:
        found = alpha.get(f"{POLICIES}/{policy_id}/backuptasks?{query}")
        assert list(found) == ["count", "tasks"]
        return found["count"], [task["job_id"] for task in found["tasks"]]

    assert page("") == (5, ids)
    assert page("limit=2") == (5, ids[:2])
    assert page("limit=2&offset=3") == (5, ids[3:])
    assert page("limit=0") == (5, [])
    assert page("limit=9999999") == (5, ids)
    assert page(f"marker={ids[1]}&offset=1&limit=1") == (5, [ids[3]])
    assert page("sort_dir=asc&sort_key=created_at&limit=1")[0] == 5
    assert page(f"job_id={ids[2].upper()}") == (1, [ids[2]])
    assert page(f"job_id={UNKNOWN}") == (0, [])
    counts = {status: page(f"status={status}")[0] for status in (
        "WAITING", "RUNNING", "EXECUTE_SUCCESS", "EXECUTE_FAIL", "EXECUTE_TIMEOUT", "SKIP"
    )}  # fmt: skip
    assert counts == {
        "WAITING": 2, "RUNNING": 1, "EXECUTE_SUCCESS": 1, "EXECUTE_FAIL": 1, "EXECUTE_TIMEOUT": 0, "SKIP": 0
    }  # fmt: skip
    (failed,) = alpha.get(f"{POLICIES}/{policy_id}/backuptasks?status=EXECUTE_FAIL")["tasks"]
    assert failed["fail_reason"] == "the store is full"
    assert failed["finished_at"].count(".") == 1
    assert len(failed["finished_at"]) == len("2016-12-02T09:06:46.706")


@pytest.mark.parametrize(
    "query",
    [
        "sort_key=id", "sort_key=", "sort_dir=up", "sort_dir=", "limit=-1", "limit=x", "limit=", "offset=1.5",
        "status=DONE", "status=", "status=waiting", f"marker={UNKNOWN}", "marker=", "limit=1&limit=1",
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_query_for_tasks(alpha: Client, query: str) -> None:
    policy_id = create(alpha)
    answer = alpha.send("GET", f"{POLICIES}/{policy_id}/backuptasks?{query}")
    assert (answer.status, answer.code) == (400, "AutoBackup.0008")


def test_a_task_of_another_policy_is_no_marker(alpha: Client, with_tasks: tuple[str, list[str]]) -> None:
    answer = alpha.send("GET", f"{POLICIES}/{create(alpha)}/backuptasks?marker={with_tasks[1][0]}")
    assert (answer.status, answer.code) == (400, "AutoBackup.0008")


def test_the_preview_on_the_wire(alpha: Client, reader: Client, service: Service) -> None:
    policy_id = create(alpha, {"rentention_num": 2})
    volume = add_volume(service, ALPHA)
    associate(alpha, policy_id, volume)
    made = {"backup": {"volume_id": volume, "name": "by-hand"}}
    assert alpha.send("POST", "/v2/{p}/cloudbackups", body=made).status == 200
    preview = reader.get(f"{POLICIES}/{policy_id}/retention-preview")
    assert preview["backup_policy_id"] == policy_id
    assert preview["next_run_at"] == "2026-01-01T21:00:00.000000", "a Thursday"
    (disk,) = preview["resources"]
    (backup,) = disk.pop("backups")
    assert disk == {"resource_id": volume, "resource_type": "volume", "associated": True}
    assert {key: backup[key] for key in ("name", "status", "action", "delete_at", "why")} == {
        "name": "by-hand", "status": "creating", "action": "keep", "delete_at": None, "why": "manual"
    }  # fmt: skip
    assert "by hand" in backup["explanation"]
    change(alpha, policy_id, {"scheduled_policy": {"status": "OFF"}})
    assert alpha.get(f"{POLICIES}/{policy_id}/retention-preview")["next_run_at"] is None


def test_what_was_done_to_a_policy_is_written_down(alpha: Client, service: Service) -> None:
    policy_id = create(alpha)
    volume = add_volume(service, ALPHA)
    associate(alpha, policy_id, volume)
    change(alpha, policy_id, {"backup_policy_name": "other"})
    alpha.send("POST", f"{POLICIES}/{policy_id}/tags", body={"tag": {"key": "k", "value": "v"}})
    alpha.send("POST", f"{RESOURCES}/{policy_id}/deleted_resources", body={"resources": [{"resource_id": volume}]})
    alpha.send("DELETE", f"{POLICIES}/{policy_id}")
    events = alpha.get(f"/v2/{{p}}/audit-events?policy_id={policy_id}")["audit_events"]
    assert [event["action"] for event in events] == [
        "policy.delete", "policy.disassociate", "policy.tag", "policy.update", "policy.associate", "policy.create"
    ]  # fmt: skip
    assert {event["policy_id"] for event in events} == {policy_id}
