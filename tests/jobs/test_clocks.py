"""What was noted while a clock was ahead keeps no worker from its care once the clock is right."""

from dataclasses import replace
from datetime import timedelta

import pytest

from openvbs.actions.jobs import worker_is_alive
from openvbs.actions.volumes import create_volume
from openvbs.clock import utc_now
from openvbs.db import backups, jobs, workers
from openvbs.domain.job import JobKind
from openvbs.domain.volume import NewVolume
from openvbs.jobs.care import Care
from openvbs.jobs.collecting import care_job
from openvbs.jobs.workflows import Workflows
from tests.support.actions import add_backup, caller, end_job
from tests.support.queued import give_to
from tests.support.site import Site

YEARS = timedelta(days=4000)


def test_a_dead_worker_is_not_alive_because_its_clock_was_ahead(site: Site) -> None:
    _, job = create_volume(site.service, caller("alpha"), NewVolume(size_gib=1))
    give_to(site.database, job.id, "dead")
    with site.database.write() as connection:
        for worker_id, ahead in (("dead", timedelta(hours=2)), ("forgotten", YEARS)):
            workers.beat(connection, worker_id, host="h", pid=1, started_at=utc_now(), now=utc_now() + ahead)
    assert not worker_is_alive(site.service)
    with site.worker():
        site.succeeded(job)
        with site.database.read() as connection:
            assert "forgotten" not in dict(workers.list_all(connection))


@pytest.mark.parametrize("kind", [JobKind.COLLECT, JobKind.CHECK])
def test_care_that_was_asked_for_with_a_clock_ahead_does_not_stand_for_years(site: Site, kind: JobKind) -> None:
    parts = site.parts()
    backup_id = add_backup(site.service, "alpha")
    with site.database.write() as connection:
        backups.update(connection, backup_id, now=utc_now(), created_at=utc_now() - timedelta(days=2))
        ahead = care_job(parts, "alpha", kind)
        jobs.insert(connection, replace(ahead, status="SUCCESS", created_at=utc_now() + YEARS))
    care = Care(parts, Workflows(site.database, "me"), "me")
    look = {JobKind.COLLECT: care.collect_daily, JobKind.CHECK: care.check_daily}[kind]
    look()
    with site.database.read() as connection:
        (asked,) = jobs.list_open(connection)
    assert asked.kind == kind
    end_job(site.service, asked)
    look()
    with site.database.read() as connection:
        assert jobs.list_open(connection) == []
