"""Retention against its promises, and the preview against what the coming runs then do, over simulated months."""

import zoneinfo
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from openvbs.domain.retention import GOES, Rule, StoredBackup, Why, explain, judge
from openvbs.domain.schedule import Schedule, due_times

DAY = timedelta(days=1)
POLICY = "the policy"
RUNS_MAX = 250
ZONES = st.sampled_from(
    [UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=12)), zoneinfo.ZoneInfo("Europe/Berlin")]
)
NOW = st.timedeltas(timedelta(0), 5 * 365 * DAY).map(lambda since: datetime(2019, 12, 1, tzinfo=UTC) + since)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    by_number = draw(st.booleans())
    return Rule(
        number=draw(st.integers(2, 12)) if by_number else None,
        days=None if by_number else draw(st.integers(2, 60)),
        keep_first_of_month=draw(st.booleans()),
        zone=draw(ZONES),
    )


@st.composite
def disks(draw: st.DrawFn, now: datetime) -> list[StoredBackup]:
    ages = draw(st.lists(st.timedeltas(timedelta(0), 80 * DAY), max_size=14))
    return [
        StoredBackup(
            id=f"{number:02}",
            name=None,
            volume_id="disk",
            status=draw(st.sampled_from(["available"] * 6 + ["error", "creating", "deleting"])),
            policy_id=draw(st.sampled_from([POLICY] * 5 + [None, "another"])),
            created_at=now - age,
            is_restoring=draw(st.sampled_from([False] * 5 + [True])),
            was_whole=draw(st.booleans()),
        )
        for number, age in enumerate(ages)
    ]


@st.composite
def schedules(draw: st.DrawFn, zone: object) -> Schedule:
    return Schedule(
        hours=tuple(sorted(draw(st.sets(st.integers(0, 23), min_size=1, max_size=2)))),
        every_days=draw(st.none() | st.sampled_from([1, 2, 7, 30])),
        weekdays=draw(st.frozensets(st.integers(0, 6), min_size=1)),
        zone=zone,
    )


def month(moment: datetime, rule: Rule) -> tuple[int, int]:
    local = moment.astimezone(rule.zone)
    return local.year, local.month


def own_whole(backups: list[StoredBackup]) -> list[StoredBackup]:
    found = [b for b in backups if b.policy_id == POLICY and b.status == "available"]
    return sorted(found, key=lambda b: (b.created_at, b.id), reverse=True)


@settings(deadline=None)
@given(st.data(), rules(), NOW)
def test_what_retention_promises(data: st.DataObject, rule: Rule, now: datetime) -> None:
    backups = data.draw(disks(now))
    verdicts = judge(rule, POLICY, backups, now)
    assert [backup for backup, _ in verdicts] == backups
    gone = {backup.id for backup, why in verdicts if why in GOES}
    whole = own_whole(backups)
    for backup, why in verdicts:
        if backup.id not in gone:
            continue
        assert backup.policy_id == POLICY, "made by hand or by another policy"
        assert backup.status in {"available", "error"}, "still being made or deleted"
        if backup.status == "error" and not backup.was_whole:
            assert whole[0].created_at >= backup.created_at
            continue
        assert not backup.is_restoring
        if backup.status == "error":
            newer = [b for b in whole if (b.created_at, b.id) > (backup.created_at, backup.id)]
            assert len(newer) >= (rule.number or 1)
            assert rule.days is None or now - backup.created_at >= rule.days * DAY
            assert not (rule.keep_first_of_month and month(backup.created_at, rule) == month(now, rule))
            continue
        assert backup is not whole[0]
        if rule.number is not None:
            assert whole.index(backup) >= rule.number
            assert why == Why.BEYOND_NUMBER
        if rule.days is not None:
            assert now - backup.created_at >= rule.days * DAY
            assert why == Why.BEYOND_DAYS
        if rule.keep_first_of_month and month(backup.created_at, rule) == month(now, rule):
            assert any(month(b.created_at, rule) == month(now, rule) for b in whole[whole.index(backup) + 1 :])
    kept = [b for b in whole if b.id not in gone]
    spared = sum(b.is_restoring for b in kept) + rule.keep_first_of_month
    if rule.number is not None:
        assert min(rule.number, len(whole)) <= len(kept) <= rule.number + spared
    if rule.days is not None:
        assert sum(now - b.created_at >= rule.days * DAY for b in kept[1:]) <= spared


def test_no_run_takes_backups_that_were_damaged_at_once() -> None:
    """The store may only be out of reach, or be mended: whole, all of them would have stayed."""
    rule = Rule(number=30, days=None, keep_first_of_month=True, zone=UTC)
    now = datetime(2026, 5, 2, tzinfo=UTC)
    fields = {"name": None, "volume_id": "disk", "policy_id": POLICY, "is_restoring": False}
    damaged = [
        StoredBackup(id=f"{n:02}", status="error", was_whole=True, created_at=now - n * DAY, **fields)
        for n in range(1, 30)
    ]
    newest = StoredBackup(id="newest", status="available", was_whole=True, created_at=now, **fields)
    assert {why for _, why in judge(rule, POLICY, [newest, *damaged], now)} == {Why.NEWEST, Why.DAMAGED}


@settings(deadline=None)
@given(st.data(), rules(), NOW)
def test_running_it_again_at_once_takes_nothing_more(data: st.DataObject, rule: Rule, now: datetime) -> None:
    backups = data.draw(disks(now))
    left = [backup for backup, why in judge(rule, POLICY, backups, now) if why not in GOES]
    assert not [backup for backup, why in judge(rule, POLICY, left, now) if why in GOES]


def played_out(
    rule: Rule, backups: list[StoredBackup], now: datetime, schedule: Schedule
) -> dict[str, tuple[Why, datetime | None]]:
    """What happens to each backup if every run succeeds: work under way ends before the first, restores after it."""
    present = [replace(b, status="available") if b.status == "creating" else b for b in backups]
    fates: dict[str, tuple[Why, datetime | None]] = {}
    for number, at in enumerate(islice(due_times(schedule, now), RUNS_MAX)):
        if number == 1:
            present = [replace(b, is_restoring=False) for b in present]
        present.append(
            StoredBackup(
                id=f"run {number:04}",
                name=None,
                volume_id="disk",
                status="available",
                policy_id=POLICY,
                created_at=at,
                is_restoring=False,
                was_whole=True,
            )
        )
        verdicts = judge(rule, POLICY, present, at)
        for backup, why in verdicts:
            if number == 0:
                fates[backup.id] = (why, None)
            if why in GOES:
                fates[backup.id] = (fates.get(backup.id, (why, None))[0], at)
        present = [backup for backup, why in verdicts if why not in GOES]
    return fates


@settings(deadline=None, max_examples=150)
@given(st.data(), rules(), NOW)
def test_the_preview_tells_what_will_happen(data: st.DataObject, rule: Rule, now: datetime) -> None:
    schedule = data.draw(schedules(rule.zone))
    backups = data.draw(disks(now))
    assume(all(b.created_at < now for b in backups))
    fates = played_out(rule, backups, now, schedule)
    for forecast, backup in zip(explain(rule, POLICY, backups, now, schedule), backups, strict=True):
        why, at = fates[backup.id]
        assert forecast.backup is backup
        assert forecast.goes_at == at
        being_made = backup.status == "creating" and backup.policy_id == POLICY
        assert forecast.why == (Why.BEING_MADE if being_made else why)


@settings(deadline=None)
@given(st.data(), rules(), NOW)
def test_nothing_goes_from_a_disk_that_the_policy_no_longer_runs_on(
    data: st.DataObject, rule: Rule, now: datetime
) -> None:
    backups = data.draw(disks(now))
    forecasts = explain(rule, POLICY, backups, now, None)
    assert [f.goes_at for f in forecasts] == [None] * len(backups)
    assert [(f.backup, f.why) for f in forecasts] == judge(rule, POLICY, backups, now)


def stored(number: int, created_at: str) -> StoredBackup:
    return StoredBackup(
        id=str(number),
        name=None,
        volume_id="disk",
        status="available",
        policy_id=POLICY,
        created_at=datetime.fromisoformat(created_at),
        is_restoring=False,
    )


def test_the_first_of_the_month_is_that_of_the_zone() -> None:
    backups = [stored(1, "2026-02-28T23:30Z"), stored(2, "2026-03-01T23:30Z"), stored(3, "2026-03-05T23:30Z")]
    now = datetime.fromisoformat("2026-03-08T00:00Z")
    for zone, first in ((UTC, "2"), (timezone(timedelta(hours=1)), "1")):
        rule = Rule(number=None, days=2, keep_first_of_month=True, zone=zone)
        assert [b.id for b, why in judge(rule, POLICY, backups, now) if why == Why.FIRST_OF_MONTH] == [first]


def test_the_first_of_a_month_goes_with_the_next_month() -> None:
    rule = Rule(number=2, days=None, keep_first_of_month=True, zone=UTC)
    backups = [stored(1, "2024-02-01T21:00Z"), stored(2, "2024-02-20T21:00Z"), stored(3, "2024-02-29T21:00Z")]
    during = judge(rule, POLICY, backups, datetime.fromisoformat("2024-02-29T21:01Z"))
    after = judge(rule, POLICY, backups, datetime.fromisoformat("2024-03-01T00:00Z"))
    assert [why for _, why in during] == [Why.FIRST_OF_MONTH, Why.WITHIN_NUMBER, Why.NEWEST]
    assert [why for _, why in after] == [Why.BEYOND_NUMBER, Why.WITHIN_NUMBER, Why.NEWEST]
