"""When a policy runs: pure functions of its schedule and a moment.

A start time is a full hour of UTC, so each due time is one instant, and no local time can be missing or ambiguous. The
zone only decides on which local day, and so on which weekday or day of the month, that instant falls:

- with a fixed offset every local day has each start time exactly once;
- where clocks are put back around midnight, a start time may fall on one local day twice: it is due twice;
- where they are put forward, or a zone leaves a day out, a local day may lack a start time: if that day was chosen, the
  next instant of that start time is due instead. No chosen day goes without its runs.

Every n days means the days 1, 1+n, 1+2n, ... of each local month: the count starts over every month.
"""

import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
START_TIMES_MAX = 24
DEFAULT_TIME_ZONE = "UTC+00:00"
TIME_ZONE_CHARACTERS_MAX = 64

_DAY = timedelta(days=1)
_MINUTES_A_DAY = 24 * 60
_DAYS_BETWEEN_RUNS_MAX = 62
"""More than any schedule leaves out: even every 30 days is due on each day 1."""
WAIT_MAX = timedelta(days=_DAYS_BETWEEN_RUNS_MAX + 1)
"""No schedule is due next later than this after any moment."""
_START_TIME = re.compile(r"([01][0-9]|2[0-3]):00", re.ASCII)
_OFFSET = re.compile(r"UTC([+-])([0-9]{2}):(00|15|30|45)", re.ASCII)
_OFFSET_MIN, _OFFSET_MAX = -12 * 60, 14 * 60


class BadSchedule(ValueError):
    """A text of a schedule breaks a rule, which the message says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Start times on chosen local days: every so many days of the month, or on weekdays."""

    hours: tuple[int, ...]
    """Of UTC, ascending."""
    every_days: int | None
    weekdays: frozenset[int]
    """0 is Monday. Used when every_days is None."""
    zone: tzinfo

    def chooses(self, day: date) -> bool:
        """Is this local day one of those on which the policy runs?"""
        if self.every_days is not None:
            return (day.day - 1) % self.every_days == 0
        return day.weekday() in self.weekdays


def schedule_of(*, start_time: str, every_days: int | None, weekdays: Sequence[str], time_zone: str | None) -> Schedule:
    """The schedule that the fields of a policy say. Raises BadSchedule."""
    return Schedule(
        hours=tuple(sorted(start_hours(start_time))),
        every_days=every_days,
        weekdays=frozenset(WEEKDAYS.index(name) for name in weekdays),
        zone=zone_of(time_zone or DEFAULT_TIME_ZONE),
    )


def start_hours(start_time: str) -> list[int]:
    """The hours of a list like ``"21:00, 23:00"``, in its order. Raises BadSchedule."""
    parts = [part.strip(" \t\r\n") for part in start_time.split(",")]
    if len(parts) > START_TIMES_MAX:
        raise BadSchedule(f"has {len(parts)} start times; {START_TIMES_MAX} are allowed")
    hours = []
    for part in parts:
        match = _START_TIME.fullmatch(part)
        if match is None:
            raise BadSchedule(f"{part[:20]!r} is not a full hour like 21:00")
        hours.append(int(match[1]))
    if len(set(hours)) != len(hours):
        raise BadSchedule("names a start time more than once")
    return hours


def zone_of(time_zone: str) -> tzinfo:
    """The zone of ``UTC+08:00`` or of an IANA name like ``Europe/Berlin``. Raises BadSchedule."""
    match = _OFFSET.fullmatch(time_zone)
    if match is not None:
        minutes = (int(match[2]) * 60 + int(match[3])) * (-1 if match[1] == "-" else 1)
        if not _OFFSET_MIN <= minutes <= _OFFSET_MAX:
            raise BadSchedule("must be between UTC-12:00 and UTC+14:00")
        return timezone(timedelta(minutes=minutes))
    if time_zone not in _names():
        raise BadSchedule("must be like UTC+08:00, with 00, 15, 30 or 45 minutes, or an IANA name like Europe/Berlin")
    return zoneinfo.ZoneInfo(time_zone)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    names = zoneinfo.available_timezones()
    return frozenset(name for name in names if name[0].isupper() and len(name) <= TIME_ZONE_CHARACTERS_MAX)


def require_ascending(start_time: str, time_zone: str | None) -> None:
    """Start times stand in the order in which a day of UTC, or a local day, has them. Raises BadSchedule.

    With an IANA name the local order changes with daylight saving, so there none is asked for.
    """
    zone = zone_of(time_zone or DEFAULT_TIME_ZONE)
    if isinstance(zone, zoneinfo.ZoneInfo):
        return
    offset = zone.utcoffset(None)
    assert offset is not None
    shift = int(offset.total_seconds()) // 60
    hours = start_hours(start_time)
    local = [(hour * 60 + shift) % _MINUTES_A_DAY for hour in hours]
    if hours != sorted(hours) and local != sorted(local):
        raise BadSchedule(f"must be in the order of UTC, or of local time in {time_zone or DEFAULT_TIME_ZONE}")


def is_due(schedule: Schedule, instant: datetime) -> bool:
    """Does the policy run at this instant, which is one of its start times on some day?"""
    today = instant.astimezone(schedule.zone).date()
    if schedule.chooses(today):
        return True
    before = (instant - _DAY).astimezone(schedule.zone).date()
    left_out = (before + n * _DAY for n in range(1, (today - before).days))
    return any(schedule.chooses(day) for day in left_out)


def due_times(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Every due time later than ``after``, in order, without end."""
    day = after.astimezone(UTC).date()
    days_without = 0
    while True:
        found = False
        for hour in schedule.hours:
            instant = datetime.combine(day, time(hour), UTC)
            if instant > after and is_due(schedule, instant):
                found = True
                yield instant
        days_without = 0 if found else days_without + 1
        assert days_without <= _DAYS_BETWEEN_RUNS_MAX, schedule
        day += _DAY


def next_due(schedule: Schedule, after: datetime) -> datetime:
    """The first due time later than ``after``."""
    return next(due_times(schedule, after))


def due_between(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    """The due times later than ``after`` and not later than ``until``."""
    found: list[datetime] = []
    for instant in due_times(schedule, after):
        if instant > until:
            return found
        found.append(instant)
    raise AssertionError
