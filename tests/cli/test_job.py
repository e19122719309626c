"""``openvbs job``: look at jobs, follow them to their end, cancel them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from openvbs.actions.backups import create_backup
from openvbs.actions.service import Service
from openvbs.db import jobs
from openvbs.domain.backup import NewBackup
from openvbs.domain.job import Job
from tests.cli.conftest import PROJECTS
from tests.support.actions import add_volume, caller, end_job
from tests.support.cloud import SmallCloud
from tests.support.waiting import until

Run = Callable[..., Result]
ALPHA = PROJECTS["alpha"]


@pytest.fixture
def job(service: Service) -> Job:
    """A backup's job that no worker has begun."""
    return start(service, "monday")


def start(service: Service, name: str) -> Job:
    wanted = NewBackup(volume_id=add_volume(service, ALPHA), name=name)
    return create_backup(service, caller(ALPHA), wanted)[1]


def change(service: Service, job: Job, **values: Any) -> None:
    with service.database.write() as connection:
        assert jobs.update_open(connection, job.id, attempt=None, **values)


def printed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_newest_first_with_filters(openvbs: Run, service: Service, job: Job) -> None:
    second = start(service, "tuesday")
    end_job(service, second)
    assert [row["job_id"] for row in printed(openvbs("job", "list", "--json"))] == [second.id, job.id]
    assert [row["job_id"] for row in printed(openvbs("job", "list", "--status", "INIT", "--json"))] == [job.id]
    assert [row["job_id"] for row in printed(openvbs("job", "list", "--backup", "tuesday", "--json"))] == [second.id]
    assert [row["job_id"] for row in printed(openvbs("job", "list", "--limit", "1", "--json"))] == [second.id]


def test_list_shows_how_far_a_job_is(openvbs: Run, service: Service, job: Job) -> None:
    change(service, job, bytes_done=256, bytes_total=1024)
    table = openvbs("job", "list").stdout
    assert job.id in table
    assert "25 %" in table


def test_show(openvbs: Run, job: Job) -> None:
    assert printed(openvbs("job", "show", job.id, "--json"))["entities"]["backup_id"] == job.backup_id
    assert str(job.backup_id) in openvbs("job", "show", job.id).stdout
    assert openvbs("job", "show", job.id, project="beta").exit_code == 1


def test_watch_a_job_that_succeeds(openvbs: Run, service: Service, job: Job) -> None:
    end_job(service, job)
    assert printed(openvbs("job", "watch", job.id, "--json"))["status"] == "SUCCESS"
    assert "SUCCESS" in openvbs("job", "watch", job.id).stdout


def test_watch_a_job_that_fails(openvbs: Run, service: Service, job: Job) -> None:
    change(service, job, error_code="VolumeBackup.0027", fail_reason="the disk is full")
    end_job(service, job, status="FAIL")
    result = openvbs("job", "watch", job.id)
    assert result.exit_code == 1
    assert "the disk is full (VolumeBackup.0027)" in result.stderr


def test_cancel(openvbs: Run, service: Service, job: Job) -> None:
    assert openvbs("job", "cancel", job.id).exit_code == 0
    with service.database.read() as connection:
        found = jobs.find(connection, job.id, project_id=ALPHA)
    assert found is not None
    assert found.cancel_requested_by == "user user-of-alpha"
    end_job(service, job, status="FAIL")
    again = openvbs("job", "cancel", job.id)
    assert again.exit_code == 1
    assert "has already ended with FAIL. (409 VolumeBackup.0014)" in again.stderr


def test_interrupting_the_watching_leaves_the_job_alone(cloud: SmallCloud, service: Service, job: Job) -> None:
    openvbs = str(Path(sys.executable).with_name("openvbs"))
    watching = subprocess.Popen(
        # As at a terminal: a shell that runs the tests in the background lets its children ignore the signal.
        ["env", "--default-signal=INT", openvbs, "job", "watch", job.id, "--os-cloud", "alpha"],
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_file)},
        stderr=subprocess.PIPE,
        text=True,
    )
    look = f"GET /v2/{ALPHA}/jobs/{job.id}"
    until(lambda: cloud.requests.count(look) >= 2, what="two looks at the job")
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == 130
    assert "The job goes on" in said
    assert f"openvbs job cancel {job.id}" in said
    end_job(service, job)  # it was still open
