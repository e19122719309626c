"""Jobs on the wire."""

import re

import pytest

from openvbs.actions.service import Service
from openvbs.db import jobs
from tests.api.conftest import ALPHA, PUBLIC_URL
from tests.support.actions import add_backup
from tests.support.wsgi import Client

FIELDS = {
    "status", "entities", "job_id", "job_type", "begin_time", "end_time", "error_code", "fail_reason", "sub_jobs",
    "progress",
}  # fmt: skip
T3Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def job_id(alpha: Client, service: Service) -> str:
    """The running job of a backup."""
    add_backup(service, ALPHA, status="creating")
    (row,) = alpha.get("/v2/{p}/jobs")["jobs"]
    return str(row["job_id"])


def test_a_job_is_the_same_at_v1_and_v2_and_with_every_spelling_of_its_id(alpha: Client, job_id: str) -> None:
    job = alpha.get(f"/v1/{{p}}/jobs/{job_id}")
    assert set(job) == FIELDS
    assert job["progress"] == {"bytes_done": 0, "bytes_total": 2**30}
    assert (job["begin_time"], job["error_code"], job["sub_jobs"]) == (None, None, [])
    assert all(value is None or isinstance(value, str) for value in job["entities"].values())
    for target in (
        f"/v2/{{p}}/jobs/{job_id}",
        f"/v1/{{p}}/jobs/{job_id.replace('-', '')}",
        f"/v2/{{p}}/jobs/{job_id.upper()}",
    ):
        assert alpha.get(target) == job


def test_why_a_job_failed_is_told_only_once_it_has(alpha: Client, service: Service, job_id: str) -> None:
    def set_job(**values: object) -> dict[str, object]:
        with service.database.write() as connection:
            assert jobs.update_open(connection, job_id, attempt=None, **values)
        shown = alpha.get(f"/v1/{{p}}/jobs/{job_id}")
        assert isinstance(shown, dict)
        return shown

    now = service.clock()
    running = set_job(status="RUNNING", begin_time=now, error_code="VolumeBackup.0027", fail_reason="so far so bad")
    assert (running["error_code"], running["fail_reason"], running["end_time"]) == (None, None, None)
    failed = set_job(status="FAIL", end_time=now)
    assert (failed["error_code"], failed["fail_reason"]) == ("VolumeBackup.0027", "so far so bad")
    assert T3Z.fullmatch(str(failed["end_time"]))


@pytest.mark.parametrize("bad", ["x", "0" * 32, "3b8e1f64-72ac-4d05-9c17-e40a6f2d58b3", "%00"])
@pytest.mark.parametrize(("method", "version"), [("GET", "v1"), ("GET", "v2"), ("DELETE", "v2")])
def test_no_such_job(alpha: Client, bad: str, method: str, version: str) -> None:
    answer = alpha.send(method, f"/{version}/{{p}}/jobs/{bad}")
    assert (answer.status, answer.code) == (404, "common.0011")


def test_a_job_of_another_project_is_none(gamma: Client, job_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert gamma.send(method, f"/v2/{{p}}/jobs/{job_id}").code == "common.0011"
    assert gamma.get("/v2/{p}/jobs") == {"jobs": []}


def test_cancel(alpha: Client, reader: Client, service: Service, job_id: str) -> None:
    assert reader.send("DELETE", f"/v2/{{p}}/jobs/{job_id}").status == 403
    for _ in range(2):
        answer = alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
        assert (answer.status, answer.json()["job_id"]) == (202, job_id)
    with service.database.write() as connection:
        jobs.update_open(connection, job_id, attempt=None, status="FAIL", end_time=service.clock())
    answer = alpha.send("DELETE", f"/v2/{{p}}/jobs/{job_id}")
    assert (answer.status, answer.code) == (409, "VolumeBackup.0014")


def test_lists_are_filtered_and_paged(alpha: Client, service: Service) -> None:
    first, second = add_backup(service, ALPHA, status="creating"), add_backup(service, ALPHA)
    page = alpha.get("/v2/{p}/jobs?limit=1")
    assert page["jobs"][0]["entities"]["backup_id"] == second
    (link,) = page["jobs_links"]
    (row,) = alpha.get(link["href"].removeprefix(PUBLIC_URL))["jobs"]
    assert row["entities"]["backup_id"] == first
    assert [j["status"] for j in alpha.get(f"/v2/{{p}}/jobs?backup_id={second.upper()}")["jobs"]] == ["SUCCESS"]
    assert len(alpha.get("/v2/{p}/jobs?status=INIT")["jobs"]) == 1
    assert alpha.send("GET", "/v2/{p}/jobs?limit=x").code == "VolumeBackup.0002"
