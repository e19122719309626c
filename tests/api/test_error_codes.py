"""Every code of the contract is met by a request or a job here, or docs/errors.md says why it cannot be."""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openvbs.actions.backups import create_backup, delete_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.service import Service
from openvbs.actions.snapshots import create_snapshot
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.domain.job import Job
from openvbs.engine.keys import create_root_key
from openvbs.engine.repository import create_repository
from openvbs.stores.prefixed import prefixed
from openvbs.units import MIB
from tests.api.conftest import ALPHA, BETA, GAMMA
from tests.support.actions import add_backup, add_volume, caller
from tests.support.backup_codes import BACKUP_REQUESTS, NATIVE_REQUESTS
from tests.support.broken import client_of
from tests.support.policy_codes import OF_DISKS, POLICY_REQUESTS
from tests.support.site import Site
from tests.support.wsgi import Client

with (Path(__file__).parent / "error-codes.csv").open(newline="") as table:
    CONTRACT = {row["code"]: int(row["http_status"]) for row in csv.DictReader(table)}
DOCUMENT = (Path(__file__).parents[2] / "docs/errors.md").read_text()
REQUESTS = BACKUP_REQUESTS | POLICY_REQUESTS


@pytest.mark.parametrize("code", REQUESTS)
def test_a_request_meets_the_code(alpha: Client, service: Service, code: str) -> None:
    answer = REQUESTS[code](alpha, service)
    assert (answer.status, answer.code) == (CONTRACT[code], code)
    assert list(answer.json()) == ["error"]
    assert list(answer.json()["error"]) == ["code", "message"]
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("code", NATIVE_REQUESTS)
def test_a_native_request_meets_the_code(alpha: Client, service: Service, code: str) -> None:
    answer = NATIVE_REQUESTS[code](alpha, service)
    assert (answer.status, answer.code, list(answer.json())) == (413, code, ["overLimit"])


@pytest.mark.parametrize("code", OF_DISKS)
def test_a_disk_in_a_success_meets_the_code(alpha: Client, service: Service, code: str) -> None:
    assert [item["code"] for item in OF_DISKS[code](alpha, service)["fail_resources"]] == [code]


def _backup(site: Site, project_id: str, volume_id: str, **wanted: str) -> Job:
    return create_backup(site.service, caller(project_id), NewBackup(volume_id=volume_id, name="b", **wanted))[1]


def _restore_of_lost_data(site: Site) -> Job:
    return restore_backup(site.service, caller(ALPHA), add_backup(site.service, ALPHA), NewRestore())[2]


def _of_a_device(
    site: Site, *, project_id: str = ALPHA, freeze_command: str | None = None, is_there: bool = True
) -> Job:
    device = site.directory / f"device-{site.service.make_id()}"
    device.write_bytes(b"x" * MIB)
    volume = site.register(device, freeze_command=freeze_command, thaw_command=None, project_id=project_id)
    if not is_there:
        device.unlink()
    return _backup(site, project_id, volume.id)


def _of_a_lost_snapshot(site: Site) -> Job:
    volume = site.new_volume(caller(ALPHA), data_bytes=MIB)
    snapshot, job = create_snapshot(site.service, caller(ALPHA), volume_id=volume.id)
    site.succeeded(job)
    site.files.delete_snapshot(snapshot.id)
    return _backup(site, ALPHA, volume.id, snapshot_id=snapshot.id)


def _lose_key(site: Site, project_id: str) -> None:
    """Make the project's repository one that another root key opens."""
    another = create_root_key(site.directory / f"{project_id}.key")
    create_repository(prefixed(site.store, project_id), another, cache=None).close()


def _backup_without_the_key(site: Site) -> Job:
    _lose_key(site, BETA)
    return _of_a_device(site, project_id=BETA)


def _deletion_without_the_key(site: Site) -> Job:
    _lose_key(site, GAMMA)
    return delete_backup(site.service, caller(GAMMA), add_backup(site.service, GAMMA))


JOBS: dict[str, Callable[[Site], Job]] = {
    "VolumeBackup.0009": _backup_without_the_key,
    "VolumeBackup.0017": lambda site: _of_a_device(site, freeze_command="/bin/false"),
    "VolumeBackup.0019": _of_a_lost_snapshot,
    "VolumeBackup.0024": lambda site: _of_a_device(site, is_there=False),
    "VolumeBackup.0027": lambda site: _backup(site, ALPHA, add_volume(site.service, ALPHA)),
    "VolumeBackup.0102": _deletion_without_the_key,
    "VolumeBackup.0200": _restore_of_lost_data,
}


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory, new_database_url: Callable[[], str]) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), new_database_url())
    try:
        with site.worker():
            yield site
    finally:
        site.close()


@pytest.mark.parametrize("code", JOBS)
def test_a_job_meets_the_code(working: Site, code: str) -> None:
    job = working.failed(JOBS[code](working))
    client = client_of(working.service)
    client.project_id = job.project_id
    shown = client.get(f"/v1/{{p}}/jobs/{job.id}")
    assert (shown["status"], shown["error_code"]) == ("FAIL", code)
    assert shown["fail_reason"]


def documented(heading: str) -> dict[str, str]:
    """code -> second column, of the table under the heading."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `((?:VolumeBackup|AutoBackup|common)\.\d{4})` \| (.+?) \|", section, re.MULTILINE)
    assert len({code for code, _ in rows}) == len(rows), "a code stands there twice"
    return dict(rows)


def test_no_code_of_the_contract_is_in_neither_list_and_none_in_both() -> None:
    met = [*REQUESTS, *NATIVE_REQUESTS, *OF_DISKS, *JOBS]
    assert len(met) == len(set(met))
    cannot = documented("Codes that cannot occur here")
    assert set(met) | set(cannot) == set(CONTRACT)
    assert not set(met) & set(cannot)


def test_the_document_lists_what_is_met_and_with_which_status() -> None:
    found = documented("Codes that are met")
    statuses = {code: str(CONTRACT[code]) for code in [*REQUESTS, *NATIVE_REQUESTS]}
    assert found == statuses | dict.fromkeys(OF_DISKS, "item") | dict.fromkeys(JOBS, "job")
