"""The line of a report and its table: two series, their texts, and what is still running."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_time
from flask_babel import gettext

from admin_flask.links.chart import axis, buckets_of, closed_values, open_bucket, place_of
from admin_flask.links.period import Asked, range_words
from core.db.reports import Point


@dataclass(frozen=True, slots=True)
class TableRow:
    """A bucket in numbers."""

    label: str
    clicks: int | None
    uniques: int | None
    bots: int | None
    before: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """`chart` is what the browser draws (static/report.js says how); `key` are its words; `table` says the same."""

    chart: dict[str, object]
    key: dict[str, str]
    table: list[TableRow]


def line_of(
    points: Sequence[Point],
    before: Sequence[Point],
    *,
    asked: Asked,
    show: str,
    now: datetime,
    zone: ZoneInfo,
    locale: Locale,
) -> Line:
    """Draw `show` (clicks, uniques or bots) of `points` against the period before."""
    buckets = buckets_of([point.start for point in points], asked.whole.end)
    values = [int(getattr(point, show)) for point in points]
    earlier = [int(getattr(point, show)) for point in before]
    earlier = (earlier + [0] * len(values))[: len(values)]  # a day with a change of clocks has another length
    texts = axis(buckets, interval=asked.interval, zone=zone, locale=locale)
    running = open_bucket(buckets, values, now=now)
    names = _names(asked, locale)
    open_name = _open_name(asked.interval, is_pace=running.is_pace) if running else ""
    has_before = any(earlier)
    chart: dict[str, object] = {
        "labels": texts.labels,
        "titles": texts.titles,
        "lines": texts.lines,
        "now": closed_values(buckets, values, now=now),
        "before": earlier if has_before else None,
        "open": running
        and {
            "at": running.at,
            "value": running.value,
            "name": open_name,
            "soFar": values[running.at] if running.is_pace else None,
            "soFarName": _open_name(asked.interval, is_pace=False),
        },
        "nowAt": place_of(buckets, now) if asked.interval == "hour" else None,
        "nowLabel": format_time(now.astimezone(zone), "HH:mm", locale=locale)
        if asked.days == 1
        else gettext("now"),
        "names": names,
        "differs": gettext("Difference"),
    }
    key = {"now": names[0], "before": names[1] if has_before else "", "open": open_name}
    table = [
        TableRow(title, point.clicks, point.uniques, point.bots, was)
        if bucket.start <= now
        else TableRow(title, None, None, None, was)
        for title, bucket, point, was in zip(texts.titles, buckets, points, earlier, strict=True)
    ]
    return Line(chart, key, table)


def _names(asked: Asked, locale: Locale) -> list[str]:
    first, last = asked.first, asked.last
    shown = gettext("Today") if asked.name == "today" else range_words(first, last, locale, year=False)
    return [shown, range_words(asked.before_first, asked.before_last, locale, year=False)]


def _open_name(interval: str, *, is_pace: bool) -> str:
    if is_pace:
        return {
            "hour": gettext("This hour at this pace"),
            "day": gettext("Today at this pace"),
            "week": gettext("This week at this pace"),
            "month": gettext("This month at this pace"),
        }[interval]
    return {
        "hour": gettext("This hour so far"),
        "day": gettext("Today so far"),
        "week": gettext("This week so far"),
        "month": gettext("This month so far"),
    }[interval]
