"""The line of a report as the browser draws it: plain lists, texts in the reader's language. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time

PACE_FROM_SHARE = 0.1
PACE_FROM_CLICKS = 5
"""Under a tenth of a bucket, or fewer clicks, a projection would be a guess: the count so far is drawn instead."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of the time axis, aware."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class OpenBucket:
    """The bucket that is still running: where it is, what is drawn there, and whether that is a projection."""

    at: int
    value: float
    is_pace: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """Texts along the time axis: a label for some points (else ""), a title for each, day lines at some."""

    labels: list[str]
    titles: list[str]
    lines: list[int]


def buckets_of(starts: Sequence[datetime], end: datetime) -> list[Bucket]:
    """Buckets that begin at `starts` and reach to the next; the last one reaches to `end`."""
    return [Bucket(start, after) for start, after in zip(starts, [*starts[1:], end], strict=True)]


def open_bucket(points: Sequence[Bucket], values: Sequence[int], *, now: datetime) -> OpenBucket | None:
    """The bucket that holds `now`, None when every bucket is over or all are still to come."""
    for index, point in enumerate(points):
        if point.start <= now < point.end:
            share = (now - point.start) / (point.end - point.start)
            is_pace = share >= PACE_FROM_SHARE and values[index] >= PACE_FROM_CLICKS
            value = round(values[index] / share) if is_pace else values[index]
            return OpenBucket(at=index, value=value, is_pace=is_pace)
    return None


def place_of(points: Sequence[Bucket], now: datetime) -> float | None:
    """Where `now` lies, counted in buckets from the first start; None outside."""
    for index, point in enumerate(points):
        if point.start <= now < point.end:
            return round(index + (now - point.start) / (point.end - point.start), 3)
    return None


def closed_values(points: Sequence[Bucket], values: Sequence[int], *, now: datetime) -> list[int | None]:
    """The numbers of buckets that are over; None for the running one and those to come, so that no half bucket ever
    looks like a fall."""
    return [value if point.end <= now else None for point, value in zip(points, values, strict=True)]


def axis(points: Sequence[Bucket], *, interval: str, zone: ZoneInfo, locale: Locale) -> Axis:
    """Labels on round hours for one day; the day's name in its middle for hours of several days; else the dates."""
    if interval == "hour":
        return _hours(points, zone=zone, locale=locale)
    days = [point.start.astimezone(zone).date() for point in points]
    pattern = {"day": "EEE d" if len(days) <= 8 else "d MMM", "week": "d MMM", "month": "MMM y"}[interval]
    return Axis(
        labels=[format_date(day, pattern, locale=locale) for day in days],
        titles=[_day_title(day, interval, locale) for day in days],
        lines=[],
    )


def _hours(points: Sequence[Bucket], *, zone: ZoneInfo, locale: Locale) -> Axis:
    starts = [point.start.astimezone(zone) for point in points]
    ends = [point.end.astimezone(zone) for point in points]
    titles = [
        f"{_short_day(start.date(), locale)}, {_clock(start, locale)}–{_clock(end, locale)}"
        for start, end in zip(starts, ends, strict=True)
    ]
    runs = [[index for index, _ in run] for _, run in groupby(enumerate(starts), lambda pair: pair[1].date())]
    if len(runs) == 1:
        return Axis(labels=[_clock(start, locale) for start in starts], titles=titles, lines=[])
    labels = [""] * len(starts)
    pattern = "EEE d" if len(runs) <= 8 else "d MMM"
    for run in runs:
        labels[run[len(run) // 2]] = format_date(starts[run[0]].date(), pattern, locale=locale)
    return Axis(labels=labels, titles=titles, lines=[run[0] for run in runs[1:]])


def _day_title(day: date, interval: str, locale: Locale) -> str:
    if interval == "month":
        return format_date(day, "MMMM y", locale=locale)
    return format_date(day, "EEEE d MMMM", locale=locale)


def _short_day(day: date, locale: Locale) -> str:
    return format_date(day, "EEE d MMM", locale=locale)


def _clock(moment: datetime, locale: Locale) -> str:
    return format_time(moment, "HH:mm", locale=locale)
