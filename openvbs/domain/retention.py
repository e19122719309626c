"""Which automatic backups of one disk a policy keeps: pure functions of its rule, the backups and a moment.

Retention runs after each automatic backup that succeeded, so a disk whose backups fail, or whose policy is off, loses
nothing by age. It looks at the backups that this policy made of this disk; those made by hand or by another policy do
not count and never go. The newest whole backup always stays.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from itertools import islice

from openvbs.domain.backup import BackupStatus
from openvbs.domain.schedule import Schedule, due_times, next_due


class Why(StrEnum):
    """Why a backup stays or goes."""

    MANUAL = "manual"
    OTHER_POLICY = "other_policy"
    BEING_MADE = "being_made"
    BEING_DELETED = "being_deleted"
    NEWEST = "newest"
    WITHIN_NUMBER = "within_number"
    WITHIN_DAYS = "within_days"
    FIRST_OF_MONTH = "first_of_month"
    RESTORING = "restoring"
    """It would go, but a restore of the own project reads it; the run after the restore takes it."""
    ONLY_FAILED = "only_failed"
    """It failed, but no whole backup is newer."""
    FAILED = "failed"
    """It failed and a newer one is whole."""
    DAMAGED = "damaged"
    """It was whole, and may be so again when the store is mended. It goes when a whole one of its age would."""
    BEYOND_NUMBER = "beyond_number"
    BEYOND_DAYS = "beyond_days"


GOES = frozenset({Why.FAILED, Why.BEYOND_NUMBER, Why.BEYOND_DAYS})
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Keep the newest ``number``, or those younger than ``days``; exactly one of them is set."""

    number: int | None
    days: int | None
    keep_first_of_month: bool
    """The first backup made in the current local month stays during that month."""
    zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBackup:
    """What retention needs to know of a backup of the disk."""

    id: str
    name: str | None
    volume_id: str
    status: str
    """As stored: a BackupStatus."""
    policy_id: str | None
    """The policy that made it; None for one made by hand."""
    created_at: datetime
    is_restoring: bool
    was_whole: bool = False
    """False for one whose making failed."""

    @property
    def is_damaged(self) -> bool:
        """Was it whole, and is it not now?"""
        return self.status == BackupStatus.ERROR and self.was_whole


@dataclass(frozen=True, slots=True)
class Forecast:
    """One backup in the preview."""

    backup: StoredBackup
    why: Why
    """What the policy's next run of this disk will find."""
    goes_at: datetime | None
    """The run that will take it, if all runs succeed; None if none will."""


def judge(rule: Rule, policy_id: str, backups: Sequence[StoredBackup], now: datetime) -> list[tuple[StoredBackup, Why]]:
    """Why each backup of the disk stays or goes (``GOES``) when retention runs at this moment, in the given order."""
    own = [backup for backup in backups if backup.policy_id == policy_id]
    whole = _newest_first(backup for backup in own if backup.status == BackupStatus.AVAILABLE)
    verdicts = dict(zip((backup.id for backup in whole), _of_whole(rule, whole, now), strict=True))
    newest = whole[0] if whole else None
    for backup in own:
        if backup.is_damaged:
            verdicts[backup.id] = _of_damaged(rule, backup, whole, now)
        elif backup.id not in verdicts:
            verdicts[backup.id] = _of_unfinished(backup, newest)
    foreign = {backup.id: Why.OTHER_POLICY if backup.policy_id else Why.MANUAL for backup in backups}
    return [(backup, (foreign | verdicts)[backup.id]) for backup in backups]


def _of_whole(rule: Rule, whole: Sequence[StoredBackup], now: datetime) -> Iterator[Why]:
    """Of the whole backups of the policy, the newest first."""
    protected = _first_of_month(whole, now, rule.zone) if rule.keep_first_of_month else None
    for rank, backup in enumerate(whole):
        yield _by_rule(rule, rank, backup, now, is_protected=backup is protected) if rank else Why.NEWEST


def _of_damaged(rule: Rule, backup: StoredBackup, whole: Sequence[StoredBackup], now: datetime) -> Why:
    """It takes no whole one's place."""
    newer = _count_newer(backup, whole)
    is_protected = rule.keep_first_of_month and _month(backup.created_at, rule.zone) == _month(now, rule.zone)
    why = _by_rule(rule, newer, backup, now, is_protected=is_protected)
    return why if newer and (why in GOES or why is Why.RESTORING) else Why.DAMAGED


def _by_rule(rule: Rule, newer: int, backup: StoredBackup, now: datetime, *, is_protected: bool) -> Why:
    """Of a backup than which so many whole ones are newer."""
    if rule.number is not None and newer < rule.number:
        return Why.WITHIN_NUMBER
    if rule.days is not None and now < backup.created_at + timedelta(days=rule.days):
        return Why.WITHIN_DAYS
    if is_protected:
        return Why.FIRST_OF_MONTH
    if backup.is_restoring:
        return Why.RESTORING
    return Why.BEYOND_DAYS if rule.number is None else Why.BEYOND_NUMBER


def _of_unfinished(backup: StoredBackup, newest: StoredBackup | None) -> Why:
    if backup.status == BackupStatus.CREATING:
        return Why.BEING_MADE
    if backup.status == BackupStatus.DELETING:
        return Why.BEING_DELETED
    is_superseded = newest is not None and _age_key(newest) > _age_key(backup)
    return Why.FAILED if is_superseded else Why.ONLY_FAILED


def explain(
    rule: Rule, policy_id: str, backups: Sequence[StoredBackup], now: datetime, schedule: Schedule | None
) -> list[Forecast]:
    """What will become of each backup of the disk if all work under way and every coming run succeeds, in given order.

    Without a schedule (the policy is off, or no longer has the disk) nothing goes, and ``why`` is as of now.
    """
    if schedule is None:
        return [Forecast(backup, why, None) for backup, why in judge(rule, policy_id, backups, now)]
    coming = _coming(schedule, now, rule.number or 1)
    next_run = coming[0]
    finished = [_finished(backup) for backup in backups]
    own = _newest_first(b for b in finished if b.policy_id == policy_id and b.status == BackupStatus.AVAILABLE)
    found = judge(rule, policy_id, [*finished, _made_at(policy_id, next_run)], next_run)[:-1]
    forecasts = []
    for as_now, (backup, why) in zip(backups, found, strict=True):
        goes_at = next_run if why in GOES else None
        if backup in own or (backup.is_damaged and backup.policy_id == policy_id):
            goes_at = _run_that_takes(backup, own, rule, schedule, coming)
        being_made = as_now.status == BackupStatus.CREATING and as_now.policy_id == policy_id
        forecasts.append(Forecast(as_now, Why.BEING_MADE if being_made else why, goes_at))
    return forecasts


def _run_that_takes(
    backup: StoredBackup, own: Sequence[StoredBackup], rule: Rule, schedule: Schedule, coming: Sequence[datetime]
) -> datetime:
    """The first of the coming runs after which the rule no longer keeps the backup."""
    if rule.days is not None:
        expires_at = backup.created_at + timedelta(days=rule.days)
        at = coming[0] if expires_at <= coming[0] else next_due(schedule, expires_at - _MOMENT)
    else:
        assert rule.number is not None
        at = coming[max(0, rule.number - _count_newer(backup, own) - 1)]
    if backup.is_restoring and at == coming[0]:
        at = next_due(schedule, at)
    month = _month(backup.created_at, rule.zone)
    stays = backup.is_damaged or _is_first(backup, own, rule.zone)
    if rule.keep_first_of_month and _month(at, rule.zone) == month and stays:
        return _first_run_after_month(schedule, at, rule.zone)
    return at


def _first_run_after_month(schedule: Schedule, at: datetime, zone: tzinfo) -> datetime:
    local = at.astimezone(zone)
    next_month = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=zone)
    run = next_due(schedule, max(at, next_month.astimezone(UTC) - timedelta(days=1)))
    while _month(run, zone) == (local.year, local.month):
        run = next_due(schedule, run)
    return run


@lru_cache(maxsize=16)
def _coming(schedule: Schedule, now: datetime, count: int) -> tuple[datetime, ...]:
    return tuple(islice(due_times(schedule, now), count))


def _finished(backup: StoredBackup) -> StoredBackup:
    """As it will be once the job that makes it has succeeded."""
    return replace(backup, status=BackupStatus.AVAILABLE) if backup.status == BackupStatus.CREATING else backup


def _made_at(policy_id: str, at: datetime) -> StoredBackup:
    """The backup that a coming run will make; its id sorts behind all others of that moment."""
    return StoredBackup(
        id="~",
        name=None,
        volume_id="",
        status=BackupStatus.AVAILABLE,
        policy_id=policy_id,
        created_at=at,
        is_restoring=False,
    )


def _age_key(backup: StoredBackup) -> tuple[datetime, str]:
    return (backup.created_at, backup.id)


def _newest_first(backups: Iterable[StoredBackup]) -> list[StoredBackup]:
    return sorted(backups, key=_age_key, reverse=True)


def _count_newer(backup: StoredBackup, others: Sequence[StoredBackup]) -> int:
    return sum(_age_key(other) > _age_key(backup) for other in others)


def _month(moment: datetime, zone: tzinfo) -> tuple[int, int]:
    local = moment.astimezone(zone)
    return (local.year, local.month)


def _is_first(backup: StoredBackup, own: Sequence[StoredBackup], zone: tzinfo) -> bool:
    """Is it the earliest of its local month?"""
    month = _month(backup.created_at, zone)
    return not any(_age_key(b) < _age_key(backup) and _month(b.created_at, zone) == month for b in own)


def _first_of_month(whole: Sequence[StoredBackup], now: datetime, zone: tzinfo) -> StoredBackup | None:
    """The earliest backup of the local month of ``now``."""
    month = _month(now, zone)
    return min((b for b in whole if _month(b.created_at, zone) == month), key=_age_key, default=None)
