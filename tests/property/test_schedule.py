"""Due times over years: against a plain calendar, in every zone, over leap days and changes of the clock."""

import contextlib
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openvbs.domain.schedule import (
    WEEKDAYS,
    BadSchedule,
    Schedule,
    due_between,
    next_due,
    require_ascending,
    schedule_of,
    start_hours,
    zone_of,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OFFSETS = st.integers(-48, 56).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
ZONES = st.sampled_from(
    [
        *("Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe"),
        *("Asia/Kathmandu", "Pacific/Apia", "Pacific/Kwajalein", "Africa/Casablanca", "Antarctica/Troll"),
        *("America/Havana", "Asia/Beirut", "Asia/Tehran", "Pacific/Chatham", "America/Santiago"),
    ]
).map(zoneinfo.ZoneInfo)
MOMENTS = st.timedeltas(timedelta(0), 50 * 365 * DAY).map(lambda since: datetime(1990, 1, 1, tzinfo=UTC) + since)


@st.composite
def schedules(draw: st.DrawFn, zones: st.SearchStrategy = OFFSETS | ZONES) -> Schedule:
    hours = tuple(sorted(draw(st.sets(st.integers(0, 23), min_size=1, max_size=4))))
    every_days = draw(st.none() | st.integers(1, 30))
    weekdays = draw(st.frozensets(st.integers(0, 6), min_size=1))
    return Schedule(hours=hours, every_days=every_days, weekdays=weekdays, zone=draw(zones))


def full_hours(after: datetime, until: datetime) -> list[datetime]:
    first = after.replace(minute=0, second=0, microsecond=0)
    return [t for n in range(int((until - first) / HOUR) + 1) if after < (t := first + n * HOUR) <= until]


@settings(deadline=None)
@given(schedules(OFFSETS), MOMENTS)
def test_with_a_fixed_offset_it_is_what_a_calendar_says(schedule: Schedule, after: datetime) -> None:
    until = after + 70 * DAY
    expected = [
        instant
        for instant in full_hours(after, until)
        if instant.hour in schedule.hours and schedule.chooses(instant.astimezone(schedule.zone).date())
    ]
    assert due_between(schedule, after, until) == expected


@settings(deadline=None)
@given(schedules(ZONES), MOMENTS, st.sampled_from([5 * DAY, 40 * DAY, 400 * DAY]))
def test_in_every_zone_each_chosen_day_has_each_start_time(
    schedule: Schedule, after: datetime, length: timedelta
) -> None:
    until = after + length
    due = set(due_between(schedule, after, until))
    assert {instant.hour for instant in due} <= set(schedule.hours)
    by_day: dict[tuple[object, int], list[datetime]] = {}
    for instant in full_hours(after, until):
        day = instant.astimezone(schedule.zone).date()
        by_day.setdefault((day, instant.hour), []).append(instant)
        if schedule.chooses(day) and instant.hour in schedule.hours:
            assert instant in due
    first, last = after.astimezone(schedule.zone).date() + 2 * DAY, until.astimezone(schedule.zone).date() - 2 * DAY
    day = first
    while day <= last:
        for hour in schedule.hours:
            if schedule.chooses(day) and (day, hour) not in by_day:
                following = min(min(times) for (d, h), times in by_day.items() if h == hour and d > day)
                assert following in due, "a day that lacks the hour runs at the next one"
        day += DAY


@settings(deadline=None)
@given(schedules(), MOMENTS, st.timedeltas(HOUR, 40 * DAY), st.timedeltas(HOUR, 40 * DAY))
def test_no_due_time_is_lost_or_doubled_where_two_looks_meet(
    schedule: Schedule, after: datetime, one: timedelta, two: timedelta
) -> None:
    middle, end = after + one, after + one + two
    whole = due_between(schedule, after, end)
    assert due_between(schedule, after, middle) + due_between(schedule, middle, end) == whole
    assert whole == sorted(set(whole))
    if whole:
        assert next_due(schedule, after) == whole[0]
        assert whole[0] not in due_between(schedule, whole[0], end)


def local_days(schedule: Schedule, year: int, month: int) -> list[int]:
    start = datetime(year, month, 1, tzinfo=UTC) - 2 * DAY
    local = (instant.astimezone(schedule.zone) for instant in due_between(schedule, start, start + 40 * DAY))
    return [moment.day for moment in local if moment.month == month]


@pytest.mark.parametrize(
    ("every", "year", "month", "days"),
    [
        (3, 2026, 2, [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]),
        (7, 2024, 2, [1, 8, 15, 22, 29]),
        (7, 2026, 2, [1, 8, 15, 22]),
        (7, 2000, 2, [1, 8, 15, 22, 29]),
        (7, 2100, 2, [1, 8, 15, 22]),
        (30, 2026, 1, [1, 31]),
        (30, 2026, 4, [1]),
        (30, 2024, 2, [1]),
        (28, 2024, 2, [1, 29]),
    ],
)
@pytest.mark.parametrize("zone", ["UTC-12:00", "UTC+14:00", "Asia/Kathmandu"])
def test_every_n_days_starts_over_each_month(every: int, year: int, month: int, days: list[int], zone: str) -> None:
    schedule = schedule_of(start_time="13:00", every_days=every, weekdays=(), time_zone=zone)
    assert local_days(schedule, year, month) == days


def due(start_time: str, weekday: str, zone: str, first: str, last: str) -> list[str]:
    schedule = schedule_of(start_time=start_time, every_days=None, weekdays=(weekday,), time_zone=zone)
    found = due_between(schedule, datetime.fromisoformat(first), datetime.fromisoformat(last))
    return [instant.strftime("%m-%d %H") for instant in found]


def test_the_day_is_that_of_the_zone() -> None:
    assert due("21:00", "MON", "UTC+08:00", "2026-02-01T00:00Z", "2026-02-15T00:00Z") == ["02-01 21", "02-08 21"]
    assert due("21:00", "MON", "UTC+00:00", "2026-02-01T00:00Z", "2026-02-15T00:00Z") == ["02-02 21", "02-09 21"]


def test_a_sunday_that_lacks_the_hour_runs_at_the_next_and_one_that_has_it_twice_runs_twice() -> None:
    # Berlin's Sunday 29 March 2026 lasts from 28 March 23:00 to 29 March 22:00 UTC, so it has no 22:00 UTC.
    assert due("22:00", "SUN", "Europe/Berlin", "2026-03-16T00:00Z", "2026-04-06T00:00Z") == [
        "03-22 22", "03-29 22", "04-04 22"
    ]  # fmt: skip
    # Its Sunday 25 October 2026 lasts from 24 October 22:00 to 25 October 23:00 UTC.
    assert due("22:00", "SUN", "Europe/Berlin", "2026-10-16T00:00Z", "2026-11-02T00:00Z") == [
        "10-17 22", "10-24 22", "10-25 22", "11-01 22"
    ]  # fmt: skip


def test_the_friday_that_samoa_left_out_runs_at_the_next_start_time() -> None:
    # Thursday 29 December 2011 was followed by Saturday 31 December, at 10:00 UTC on the 30th.
    assert due("12:00", "FRI", "Pacific/Apia", "2011-12-20T00:00Z", "2012-01-10T00:00Z") == [
        "12-23 12", "12-30 12", "01-05 12"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "1:00", "24:00", "21:30", "21:00,", "21:00 22:00", "21:00,21:00", "٢١:00", "21:00:00"]
)
def test_what_is_no_list_of_start_times(text: str) -> None:
    with pytest.raises(BadSchedule):
        start_hours(text)


@pytest.mark.parametrize(
    "text",
    [
        *("utc+08:00", "UTC+8:00", "UTC+08:10", "UTC-12:15", "UTC+14:15", "UTC+99:00", "UTC +08:00", "+08:00", ""),
        *(
            "Europe",
            "Europe/Atlantis",
            "../etc/passwd",
            "/etc/localtime",
            "localtime",
            "posixrules",
            "europe/berlin",
            "\0",
        ),
    ],
)
def test_what_is_no_time_zone(text: str) -> None:
    with pytest.raises(BadSchedule):
        zone_of(text)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (start_hours, zone_of):
        with contextlib.suppress(BadSchedule):
            assert parse(text)


@pytest.mark.parametrize(
    ("start_time", "zone", "ok"),
    [
        ("00:00,12:00", None, True),
        ("12:00,00:00", None, False),
        ("16:00, 02:00", "UTC+08:00", True),
        ("02:00,16:00", "UTC+08:00", True),
        ("16:00,20:00,02:00", "UTC+08:00", True),
        ("20:00,16:00,02:00", "UTC+08:00", False),
        ("23:00,00:00", "UTC+00:45", False),
        ("23:00,00:00", "UTC+01:00", True),
        ("00:00,23:00", "UTC+01:00", True),
        ("12:00,00:00", "Europe/Berlin", True),
    ],
)
def test_start_times_stand_in_the_order_of_utc_or_of_local_time(start_time: str, zone: str | None, ok: bool) -> None:
    if ok:
        require_ascending(start_time, zone)
    else:
        with pytest.raises(BadSchedule):
            require_ascending(start_time, zone)


def test_the_weekdays_are_those_of_the_calendar() -> None:
    assert datetime(2026, 2, 2, tzinfo=UTC).strftime("%a").upper() == WEEKDAYS[0]
