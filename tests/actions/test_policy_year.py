"""A leap year of three policies, with outages, failures, long backups and busy disks: every run is accounted for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from openvbs.actions import policies
from openvbs.actions.backups import list_backups
from openvbs.actions.service import Service
from openvbs.db import volumes
from openvbs.domain.backup import BackupQuery
from openvbs.domain.policy import Policy, PolicyFields
from openvbs.domain.volume import VolumeStatus
from tests.support.actions import add_volume, caller, made_service
from tests.support.policies import HOUR, SetClock, Workers, add_policy, tasks_of, utc

ALPHA = caller("alpha")
START, END = utc("2023-12-31T12:00"), utc("2025-01-01T00:00")

OUTAGE = (utc("2024-02-27T00:00"), utc("2024-03-02T12:00"))
"""No worker runs: a leap day, and the change of a month."""
FAILING = (utc("2024-05-10T00:00"), utc("2024-05-16T00:00"))
LONG_BACKUP = (utc("2024-06-10T21:00"), utc("2024-06-12T22:00"))
"""The nightly backup of the database takes two days."""
BUSY = (utc("2024-07-04T20:00"), utc("2024-07-04T22:30"))
"""The database's disk is restored, for less long than runs wait."""
BUSY_FOR_LONG = (utc("2024-07-20T20:00"), utc("2024-07-21T10:00"))
OFF = (utc("2024-08-01T12:00"), utc("2024-09-01T12:00"))
"""The policy of the web servers."""


def inside(moment: datetime, span: tuple[datetime, datetime]) -> bool:
    return span[0] <= moment < span[1]


@dataclass
class Year:
    """Three policies, four disks, and what is expected of them."""

    service: Service
    workers: Workers
    nightly: Policy
    web: Policy
    rare: Policy
    disks: dict[str, list[str]]
    database: str
    """The disk to which things happen."""
    expected: dict[tuple[str, str, datetime], str] = field(default_factory=dict)
    made: dict[str, list[datetime]] = field(default_factory=dict)
    """When each disk got a whole backup."""

    def calendar(self, policy: Policy) -> list[datetime]:
        """The due times by nothing but a calendar."""
        hours = [START + n * HOUR for n in range(int((END - START) / HOUR) + 1)]
        if policy is self.nightly:
            return [t for t in hours if t.hour == 21]
        if policy is self.rare:
            local = [(t, t.astimezone(ZoneInfo("Asia/Kathmandu"))) for t in hours]
            return [t for t, there in local if t.hour == 20 and (there.day - 1) % 3 == 0]
        local = [(t, t.astimezone(ZoneInfo("Europe/Berlin"))) for t in hours]
        due = [t for t, there in local if t.hour in {5, 22} and there.weekday() in {3, 6}]
        # Sunday 31 March has no 22:00 UTC, since the clocks go forward in it: the next one counts.
        return sorted({*due, utc("2024-03-31T22:00")})

    def expect(self) -> None:
        newest_missed = {p.id: max(t for t in self.calendar(p) if inside(t, OUTAGE)) for p in self.policies()}
        for policy in self.policies():
            for due in self.calendar(policy):
                for disk in self.disks[policy.id]:
                    status = self.status_of(policy, disk, due, newest_missed[policy.id])
                    if status is not None:
                        self.expected[policy.id, disk, due] = status
                        if status == "EXECUTE_SUCCESS":
                            self.made.setdefault(disk, []).append(self.ran_at(disk, due))

    def status_of(self, policy: Policy, disk: str, due: datetime, newest_missed: datetime) -> str | None:
        if policy is self.web and inside(due, OFF):
            return None
        if inside(due, OUTAGE):
            return "EXECUTE_SUCCESS" if due == newest_missed else "SKIP"
        if inside(due, FAILING):
            return "EXECUTE_FAIL"
        if disk == self.database and LONG_BACKUP[0] < due < LONG_BACKUP[1]:
            return "SKIP"
        if disk == self.database and inside(due, BUSY_FOR_LONG):
            return "EXECUTE_TIMEOUT"
        return "EXECUTE_SUCCESS"

    def ran_at(self, disk: str, due: datetime) -> datetime:
        if inside(due, OUTAGE):
            return OUTAGE[1]
        return BUSY[1] if disk == self.database and inside(due, BUSY) else due

    def policies(self) -> tuple[Policy, ...]:
        return (self.nightly, self.web, self.rare)

    def play(self) -> None:
        """The year, moment by moment. Between the moments nothing is due and nothing happens."""
        edges = [*OUTAGE, *BUSY, *BUSY_FOR_LONG, *OFF, LONG_BACKUP[1], BUSY_FOR_LONG[0] + 4 * HOUR]
        due = [t for policy in self.policies() for t in self.calendar(policy)]
        for moment in sorted({*edges, *due}):
            if inside(moment, OUTAGE):
                continue
            self.service.clock.now = moment
            self.happen(moment)
            if moment < END:
                self.run(moment)
                if moment.day == 1:
                    self.check_what_is_kept(moment)
        self.check_what_is_kept(END)

    def happen(self, moment: datetime) -> None:
        for span in (BUSY, BUSY_FOR_LONG):
            for edge, status in zip(span, (VolumeStatus.RESTORING, VolumeStatus.AVAILABLE), strict=True):
                if moment == edge:
                    with self.service.database.write() as connection:
                        volumes.update_volume(connection, self.database, now=self.service.clock(), status=status)
        if moment in OFF:
            policies.update_policy(self.service, ALPHA, self.web.id, PolicyFields(is_on=moment == OFF[1]))

    def run(self, moment: datetime) -> None:
        self.workers.at(moment)
        for job in self.workers.take_jobs():
            if inside(moment, LONG_BACKUP) and job.volume_id == self.database:
                self.long_job = job
            else:
                self.workers.end(job, failing="no space" if inside(moment, FAILING) else None)
        if moment == LONG_BACKUP[1]:
            self.workers.end(self.long_job)
        self.workers.scheduler.look()
        self.workers.end_jobs()

    def check_what_is_kept(self, now: datetime) -> None:
        for policy in self.policies():
            for disk in self.disks[policy.id]:
                page = list_backups(self.service, ALPHA, BackupQuery(volume_id=disk, status="available", limit=10_000))
                kept = [backup.created_at.replace(microsecond=0) for backup in page.items]
                assert kept == self.kept(policy, disk, now), (policy.name, now)

    def kept(self, policy: Policy, disk: str, now: datetime) -> list[datetime]:
        """What retention leaves, said in the plainest way, the newest first."""
        made = sorted((t for t in self.made[disk] if t <= now), reverse=True)
        last_run = made[0]
        if disk == self.database and inside(last_run, LONG_BACKUP):
            last_run = LONG_BACKUP[1]
        if policy.keep_number is not None:
            kept = made[: policy.keep_number]
        else:
            kept = [t for t in made if last_run - t < timedelta(days=policy.keep_days or 0)]
        zone = policy.rule.zone
        month = last_run.astimezone(zone).strftime("%Y-%m")
        of_month = [t for t in made if t.astimezone(zone).strftime("%Y-%m") == month]
        if policy.keep_first_of_month and of_month and of_month[-1] not in kept:
            kept.append(of_month[-1])
        return kept


@pytest.fixture
def year(new_database_url: Callable[[], str]) -> Iterator[Year]:
    with made_service(new_database_url(), clock=SetClock(START)) as service:
        disks = [add_volume(service, "alpha") for _ in range(4)]
        nightly = add_policy(service, ALPHA, *disks[:2], keep_number=7, keep_first_of_month=True, time_zone="UTC+02:00")
        web = add_policy(
            service,
            ALPHA,
            disks[2],
            name="web",
            start_time="05:00, 22:00",
            every_days=None,
            weekdays=["SUN", "THU"],
            keep_number=None,
            keep_days=30,
            time_zone="Europe/Berlin",
        )
        rare = add_policy(
            service,
            ALPHA,
            disks[3],
            name="rare",
            start_time="20:00",
            every_days=3,
            keep_number=4,
            time_zone="Asia/Kathmandu",
        )
        by_policy = {nightly.id: disks[:2], web.id: disks[2:3], rare.id: disks[3:]}
        yield Year(service, Workers(service), nightly, web, rare, by_policy, disks[0])


def test_every_run_of_a_year_is_accounted_for(year: Year) -> None:
    year.expect()
    # Tasks are kept for 30 days, so the year is read from what the scheduler wrote, which nobody forgets here.
    year.play()
    found = {
        (task.policy_id, task.volume_id, task.due_at): str(task.status)
        for policy in year.policies()
        for task in tasks_of(year.service, ALPHA, policy.id)
    }
    expected = {key: status for key, status in year.expected.items() if key[2] < END}
    assert {key: s for key, s in found.items() if s != expected.get(key)} == {}
    assert found.keys() == expected.keys()
    assert len(found) > 900
    assert set(found.values()) == {"EXECUTE_SUCCESS", "EXECUTE_FAIL", "EXECUTE_TIMEOUT", "SKIP"}
