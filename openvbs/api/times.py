"""Timestamps as the field's clients parse them; all UTC."""

from datetime import UTC, datetime


def t6(moment: datetime) -> str:
    """``2026-03-04T05:06:07.000089``: always six digits, never a zone. Go clients break on a Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def t6_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else t6(moment)


def t3(moment: datetime) -> str:
    """``2026-03-04T05:06:07.089``, as tasks of policies have it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def t3_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else t3(moment)


def t3z_or_none(moment: datetime | None) -> str | None:
    """``2026-03-04T05:06:07.089Z``, as jobs have it."""
    return None if moment is None else f"{t3(moment)}Z"
