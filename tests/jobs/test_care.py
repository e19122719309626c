"""What a worker does beside its jobs, while another worker begins one: what began just now is left alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa

from openvbs.actions.volumes import create_volume
from openvbs.clock import utc_now
from openvbs.db import workers
from openvbs.db.session import Database
from openvbs.domain.job import Job
from openvbs.domain.volume import NewVolume
from openvbs.jobs.care import Care
from openvbs.jobs.workflows import Workflows
from tests.support.actions import caller
from tests.support.queued import give_to
from tests.support.site import Site


class InterruptedDatabase(Database):
    """After the first look into it something happens at once."""

    def __init__(self, url: str, then: Callable[[], None]) -> None:
        super().__init__(url)
        self._then: Callable[[], None] | None = then

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with super().read() as connection:
            yield connection
        then, self._then = self._then, None
        if then is not None:
            then()


@contextmanager
def care_interrupted(site: Site, then: Callable[[], None], workflows: Workflows) -> Iterator[Care]:
    database = InterruptedDatabase(site.database_url, then)
    try:
        yield Care(replace(site.parts(), database=database), workflows, "me")
    finally:
        database.close()


def new_job(site: Site) -> Job:
    return create_volume(site.service, caller("alpha"), NewVolume(size_gib=1))[1]


def test_a_sweep_leaves_the_clone_of_a_job_that_began_meanwhile(site: Site) -> None:
    begun: list[str] = []

    def begin() -> None:
        begun.append(new_job(site).id)
        site.files.frozen(begun[0]).write_bytes(b"clone")

    site.files.frozen("a-job-that-ended").write_bytes(b"clone")
    with care_interrupted(site, begin, Workflows(site.database, "me")) as care:
        care.sweep()
    assert site.files.frozen_jobs() == begun


def test_a_worker_that_started_meanwhile_is_not_taken_for_a_dead_one(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def start() -> None:
        with site.database.write() as connection:
            workers.beat(connection, "newcomer", host="h", pid=1, started_at=utc_now(), now=utc_now())
        give_to(site.database, job.id, "newcomer")

    with site.worker():
        job = new_job(site)
        site.succeeded(job)
        with care_interrupted(site, start, Workflows(site.database, "me")) as care:
            care.take_over()
            assert "taking over" not in caplog.text
            with site.database.write() as connection:
                workers.remove(connection, "newcomer")
            care.take_over()
            assert "taking over the jobs of ['newcomer']" in caplog.text
