"""Reports by the API: summary, timeseries, breakdown, and the clicks themselves."""

from typing import Any
from zoneinfo import ZoneInfo

from admin_flask.api.blueprint import serve
from admin_flask.api.problems import FieldProblem
from admin_flask.api.schemas import (
    BreakdownOut,
    BreakdownQuery,
    ClickPageOut,
    ClicksQuery,
    RangeQuery,
    SeriesOut,
    SeriesQuery,
    SummaryOut,
)
from admin_flask.api.shapes import breakdown_json, click_json, point_json, summary_json
from admin_flask.held import db, held, moment, read_report
from core.db import reports
from core.db.reports import Breakdown
from core.domain.periods import Period, parse_period
from core.services.link_rules import names_of
from core.services.links import get_link


@serve("/reports/summary", "reports.view", query=RangeQuery, gives=SummaryOut)
def summary(query: dict[str, Any]) -> dict[str, Any]:
    """The figures of one link, or of all together."""
    link_id, (period, zone) = _link_id(query), range_of(query)
    counts = read_report(reports.summary, link_id=link_id, start=period.start, end=period.end)
    sums = read_report(reports.conversions, link_id=link_id, start=period.start, end=period.end)
    return {**_head(link_id, period, zone), **summary_json(counts, sums)}


@serve("/reports/timeseries", "reports.view", query=SeriesQuery, gives=SeriesOut)
def timeseries(query: dict[str, Any]) -> dict[str, Any]:
    """Counts per hour, day, week or month of `tz`, empty buckets present."""
    link_id, (period, zone) = _link_id(query), range_of(query)
    points = read_report(
        reports.timeseries,
        link_id=link_id,
        start=period.start,
        end=period.end,
        interval=query["interval"],
        zone=zone,
    )
    return {
        **_head(link_id, period, zone),
        "interval": query["interval"],
        "tz": str(zone),
        "points": [point_json(point, zone) for point in points],
    }


@serve("/reports/breakdown", "reports.view", query=BreakdownQuery, gives=BreakdownOut)
def breakdown(query: dict[str, Any]) -> dict[str, Any]:
    """Counts per value of a dimension, over the whole days of the organisation's zone that the range touches."""
    link_id, (period, _) = _link_id(query), range_of(query)
    first, last = period.days(held().settings.tz_default)
    found = read_report(
        reports.breakdown,
        link_id=link_id,
        kind=query["by"],
        first_day=first,
        last_day=last,
        limit=query["limit"],
    )
    days = {"first_day": first.isoformat(), "last_day": last.isoformat()}
    names = _names(query["by"], found)
    return {"link_id": link_id, "by": query["by"], **days, **breakdown_json(found, names)}


@serve("/clicks", "clicks.view", query=ClicksQuery, gives=ClickPageOut)
def clicks(query: dict[str, Any]) -> dict[str, Any]:
    """Clicks one by one, the newest first, with the reason where one was not counted."""
    limit = query["limit"]
    rows = read_report(
        reports.recent_clicks, link_id=_link_id(query), before=query.get("cursor"), limit=limit + 1
    )
    more = str(rows[limit - 1].id) if len(rows) > limit else None
    return {"items": [click_json(row) for row in rows[:limit]], "next": more}


def _link_id(query: dict[str, Any]) -> int | None:
    """The link that is asked about, deleted ones too: their clicks stay."""
    link_id: int | None = query.get("link_id")
    return None if link_id is None else get_link(db.session(), link_id=link_id, deleted_too=True).id


def _names(kind: str, found: Breakdown) -> dict[str, str] | None:
    """What to call the values of a dimension that are ids; None where they are words."""
    if kind not in ("rule", "variant"):
        return None
    ids = [int(row.value) for row in found.rows if row.value]
    return {str(each): name for each, name in names_of(db.session(), kind=kind, ids=ids).items()}


def range_of(query: dict[str, Any]) -> tuple[Period, ZoneInfo]:
    zone = _zone(query["tz"])
    return parse_period(query["from_text"], query["to_text"], now=moment(), zone=zone), zone


def _zone(name: str) -> ZoneInfo:
    if not name:
        return held().settings.tz_default
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise FieldProblem(
            "tz", "There is no such time zone; write one such as America/Sao_Paulo."
        ) from error


def _head(link_id: int | None, period: Period, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "link_id": link_id,
        "from": period.start.astimezone(zone).isoformat(),
        "to": period.end.astimezone(zone).isoformat(),
    }
