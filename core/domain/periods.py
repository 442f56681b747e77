"""Ranges of time that reports are asked for, and the buckets that they are cut into.

Instants are aware and in UTC; a zone decides only where days, weeks, months and local hours begin. Every offset in use
since 2024 is a multiple of a quarter hour, so that counts per quarter hour add up in every zone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

QUARTER_MS = 900_000
QUARTER = timedelta(milliseconds=QUARTER_MS)
INTERVALS = ("hour", "day", "week", "month")
PRESETS: dict[str, int] = {"today": 1, "7d": 7, "28d": 28}
"""Preset -> days that it shows, today included."""

DEFAULT_PRESET = "7d"
MOST_BUCKETS = 44_000
"""Five years of hours; more is a slip of the keyboard, and would only be slow."""

_YEARS = range(2000, 2200)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}:\d{2})?")


class PeriodError(ValueError):
    """A range of time that can not be shown; the text is a plain sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, not including, `end`; both aware, in UTC."""

    start: datetime
    end: datetime

    def days(self, zone: ZoneInfo) -> tuple[date, date]:
        """The first and the last calendar day of `zone` that the period touches."""
        last = self.end - timedelta(microseconds=1)
        return self.start.astimezone(zone).date(), last.astimezone(zone).date()


def preset(name: str, *, now: datetime, zone: ZoneInfo) -> Period:
    """A named range: whole days of `zone`, the last one today. Raises PeriodError for a name that is not in PRESETS."""
    if name not in PRESETS:
        raise PeriodError(f"There is no range {name!r}. Use one of {', '.join(PRESETS)}.")
    today = now.astimezone(zone).date()
    first = today - timedelta(days=PRESETS[name] - 1)
    return Period(midnight(first, zone), midnight(today + timedelta(days=1), zone))


def parse_period(from_text: str, to_text: str, *, now: datetime, zone: ZoneInfo) -> Period:
    """Read a range as people and programs write it: RFC 3339 instants, or plain dates that begin at midnight in `zone`.

    `from_text` is inclusive, `to_text` exclusive. Both empty: the last seven days, today included. Without `to_text`
    the range ends with today; without `from_text` it begins seven days before its end. Raises PeriodError.
    """
    if not from_text and not to_text:
        return preset(DEFAULT_PRESET, now=now, zone=zone)
    end = _parse(to_text, "to", zone) if to_text else preset("today", now=now, zone=zone).end
    start = _parse(from_text, "from", zone) if from_text else _days_before(end, PRESETS[DEFAULT_PRESET], zone)
    if end <= start:
        raise PeriodError("The range ends before it begins. `to` is exclusive and must lie after `from`.")
    return Period(start, end)


def bucket_starts(period: Period, *, interval: str, zone: ZoneInfo) -> list[datetime]:
    """Where each bucket of `period` begins, in UTC and in order; the first may begin before the period does.

    An hour that a zone repeats is two buckets, one that it skips is none; weeks begin on Monday. Raises PeriodError for
    an interval that is not in INTERVALS or a range of more than MOST_BUCKETS buckets.
    """
    if interval not in INTERVALS:
        raise PeriodError(f"There is no interval {interval!r}. Use one of {', '.join(INTERVALS)}.")
    shortest = timedelta(hours=1) if interval == "hour" else timedelta(days=1)
    if (period.end - period.start) / shortest > MOST_BUCKETS:
        raise PeriodError(f"The range is too long for one point per {interval}. Choose a shorter one.")
    each = _hours(period, zone) if interval == "hour" else _days(period, interval, zone)
    return list(each)


def fitting_interval(period: Period) -> str:
    """The interval that draws `period` with a readable number of points."""
    length = period.end - period.start
    if length <= timedelta(days=2, hours=2):
        return "hour"
    if length <= timedelta(days=93):
        return "day"
    return "week" if length <= timedelta(days=400) else "month"


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When `day` begins in `zone`, in UTC: its first instant, also where clocks skip or repeat midnight."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


@lru_cache(maxsize=4096)
def day_of_quarter(quarter: int, zone: ZoneInfo) -> date:
    """The calendar day of `zone` of a quarter hour, counted from 1970 (`ms // QUARTER_MS`)."""
    return datetime.fromtimestamp(quarter * 900, zone).date()


def _parse(text: str, name: str, zone: ZoneInfo) -> datetime:
    try:
        if _DATE.fullmatch(text):
            found = datetime.combine(date.fromisoformat(text), time(), tzinfo=zone)
        elif _INSTANT.fullmatch(text):
            found = datetime.fromisoformat(text.upper())
        else:
            raise ValueError
        if found.year not in _YEARS:
            raise PeriodError(f"`{name}` must lie between {_YEARS[0]} and {_YEARS[-1]}.")
        if found.tzinfo is None:
            raise PeriodError(f"`{name}` needs an offset from UTC, such as 2026-11-27T18:00:00-03:00.")
        return found.astimezone(UTC)
    except PeriodError:
        raise
    except ValueError:
        raise PeriodError(
            f"`{name}` is not a date. Write 2026-11-27, or a time such as 2026-11-27T18:00:00-03:00."
        ) from None


def _days_before(end: datetime, days: int, zone: ZoneInfo) -> datetime:
    local = end.astimezone(zone)
    return (local - timedelta(days=days)).astimezone(UTC)


def _hours(period: Period, zone: ZoneInfo) -> Iterator[datetime]:
    current = _hour_of(period.start, zone)
    while current < period.end:
        yield current
        ahead = current + timedelta(hours=1)
        following = _hour_of(ahead, zone)
        while following <= current:  # clocks went back by less than an hour: this hour is a longer one
            ahead += QUARTER
            following = _hour_of(ahead, zone)
        current = following


def _hour_of(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def _days(period: Period, interval: str, zone: ZoneInfo) -> Iterator[datetime]:
    day = period.start.astimezone(zone).date()
    if interval == "week":
        day -= timedelta(days=day.weekday())
    elif interval == "month":
        day = day.replace(day=1)
    while (start := midnight(day, zone)) < period.end:
        yield start
        if interval == "month":
            day = (day + timedelta(days=31)).replace(day=1)
        else:
            day += timedelta(days=7 if interval == "week" else 1)
