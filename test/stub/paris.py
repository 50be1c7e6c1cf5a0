"""Times in Paris without a time zone database: the European rule since 1996."""

from datetime import datetime, timedelta, timezone


def _last_sunday(year, month):
    day = datetime(year, month, 31, 1, tzinfo=timezone.utc)
    return day - timedelta(days=(day.weekday() + 1) % 7)


def paris_offset(moment):
    """Offset from UTC in Paris at an aware moment."""
    summer = _last_sunday(moment.astimezone(timezone.utc).year, 3) <= moment < _last_sunday(moment.astimezone(timezone.utc).year, 10)
    return timedelta(hours=2 if summer else 1)


def to_paris(moment):
    return moment.astimezone(timezone(paris_offset(moment)))


def from_paris(naive):
    """An aware moment from a Paris wall clock."""
    guess = naive.replace(tzinfo=timezone(timedelta(hours=1)))
    return naive.replace(tzinfo=timezone(paris_offset(guess)))
