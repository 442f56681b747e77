"""What reports show, one function a question; rows come back as frozen dataclasses.

Counts are read from rollups; raw clicks are read for lists of clicks and for the parts of a quarter hour at the edges
of a range. `link_id` None asks about all links together. Every statement is cut off after TIME_LIMIT.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from core.contracts.click_event import OUTCOMES, REDIRECT, unix_ms
from core.db.queries import query
from core.db.tracking import ALL_LINKS, DICTIONARIES, DIMENSIONS
from core.domain.periods import QUARTER, Period, bucket_starts, midnight

TIME_LIMIT = "5s"


class UnknownDimension(ValueError):
    """A breakdown was asked for by something that is not counted; the text names what is."""


@dataclass(frozen=True, slots=True)
class Summary:
    """`clicks` are people's redirects, `uniques` those that were a visitor's first that day, `bots` all other
    redirects, `others` visits that were not led to a destination (`click_event.OUTCOMES` but redirect)."""

    clicks: int = 0
    uniques: int = 0
    bots: int = 0
    others: int = 0

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(
            self.clicks + other.clicks,
            self.uniques + other.uniques,
            self.bots + other.bots,
            self.others + other.others,
        )


@dataclass(frozen=True, slots=True)
class ConversionSums:
    """Conversions that count (pending or approved, in time) and their revenue in the reporting currency; of `unrated`
    ones no rate is known, so that their money is not in it."""

    conversions: int
    unrated: int
    revenue: Decimal


@dataclass(frozen=True, slots=True)
class Point:
    """Counts of one bucket; `start` is in UTC, and lies before the range where the range begins inside the bucket."""

    start: datetime
    counts: Summary

    @property
    def clicks(self) -> int:
        return self.counts.clicks

    @property
    def uniques(self) -> int:
        return self.counts.uniques

    @property
    def bots(self) -> int:
        return self.counts.bots


@dataclass(frozen=True, slots=True)
class Row:
    """Counts of one value of a dimension; "" stands for none or unknown (for `bot_reason`: people)."""

    value: str
    clicks: int
    uniques: int
    bots: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The values with the most clicks, and in `rest` all others together; rows and rest add up to the total."""

    rows: tuple[Row, ...]
    rest: Row


@dataclass(frozen=True, slots=True)
class ClickRow:
    """One click as a list shows it. `reason` says in a word why it was not counted: the robot's reason
    (`domain.bots.REASONS`) or the outcome; "" for a counted one. `at` is in UTC."""

    id: UUID
    link_id: int
    at: datetime
    stored_at: datetime
    outcome: str
    counted: bool
    reason: str
    unique: bool
    country: str
    device: str
    browser: str
    os: str
    language: str
    referrer_host: str
    source: str


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What a row of the list of links shows: people's clicks of the last days, one number a day in `spark` (the
    oldest first, today last), and when anybody, robots included, last followed it."""

    clicks: int
    uniques: int
    spark: tuple[int, ...]
    last_click: datetime | None


def summary(session: Session, *, link_id: int | None, start: datetime, end: datetime) -> Summary:
    """Counts from `start` up to, not including, `end` (aware)."""
    _limit_time(session)
    counts = _per_bucket(session, link_id, Period(start, end), [start])
    return counts.get(0, Summary())


def conversions(session: Session, *, link_id: int | None, start: datetime, end: datetime) -> ConversionSums:
    """What was credited to a link, or to links at all, by the conversions' own time."""
    _limit_time(session)
    values = {"link_id": link_id or ALL_LINKS, "start": start, "end": end}
    row = session.execute(query("report_conversions"), values).one()
    return ConversionSums(row.conversions, row.unrated, row.revenue)


def timeseries(
    session: Session, *, link_id: int | None, start: datetime, end: datetime, interval: str, zone: ZoneInfo
) -> list[Point]:
    """Counts per hour, day, week or month of `zone`, empty buckets included. Raises PeriodError for an unknown interval
    or too many buckets."""
    period = Period(start, end)
    starts = bucket_starts(period, interval=interval, zone=zone)
    _limit_time(session)
    counts = _per_bucket(session, link_id, period, starts)
    return [Point(at, counts.get(bucket, Summary())) for bucket, at in enumerate(starts)]


def breakdown(
    session: Session, *, link_id: int | None, kind: str, first_day: date, last_day: date, limit: int = 10
) -> Breakdown:
    """Counts per value of the dimension `kind` over days of the organisation's zone, both inclusive; the most clicked
    come first. Raises UnknownDimension for a kind that is not in DIMENSIONS."""
    if kind not in DIMENSIONS:
        raise UnknownDimension(f"There is no breakdown by {kind!r}. Use one of {', '.join(DIMENSIONS)}.")
    _limit_time(session)
    values = {
        "link_id": link_id or ALL_LINKS,
        "kind": DICTIONARIES[kind],
        "first_day": first_day,
        "last_day": last_day,
        "most": limit,
    }
    found = session.execute(query("report_breakdown"), values).all()
    rows = tuple(Row(row.value, int(row.clicks), int(row.uniques), int(row.bots)) for row in found)
    if not found:
        return Breakdown(rows, Row("", 0, 0, 0))
    rest = Row(
        "",
        int(found[0].all_clicks) - sum(row.clicks for row in rows),
        int(found[0].all_uniques) - sum(row.uniques for row in rows),
        int(found[0].all_bots) - sum(row.bots for row in rows),
    )
    return Breakdown(rows, rest)


def recent_clicks(
    session: Session, *, link_id: int | None, before: UUID | None = None, limit: int = 50
) -> list[ClickRow]:
    """The newest clicks first; `before` is the id of the last one already shown."""
    _limit_time(session)
    values = {"link_id": link_id or ALL_LINKS, "before": before or UUID(int=2**128 - 1), "most": limit}
    return [_click(row) for row in session.execute(query("report_clicks"), values).mappings()]


def link_figures(
    session: Session, *, link_ids: Sequence[int], now: datetime, zone: ZoneInfo, days: int = 7
) -> dict[int, LinkFigures]:
    """Figures of every link in `link_ids` over the last `days` days of `zone`, today included."""
    _limit_time(session)
    today = now.astimezone(zone).date()
    starts = [midnight(today - timedelta(days=ago), zone) for ago in reversed(range(days))]
    values = {
        "link_ids": list(link_ids),
        "starts": starts,
        "start": starts[0],
        "end": midnight(today + timedelta(days=1), zone),
    }
    sparks = {link_id: [0] * days for link_id in link_ids}
    uniques = dict.fromkeys(link_ids, 0)
    for row in session.execute(query("report_links"), values):
        sparks[row.link_id][row.bucket] = int(row.clicks)
        uniques[row.link_id] += int(row.uniques)
    newest = {row.link_id: _at(row.id) for row in session.execute(query("report_last_clicks"), values)}
    return {
        link_id: LinkFigures(sum(spark), uniques[link_id], tuple(spark), newest.get(link_id))
        for link_id, spark in sparks.items()
    }


def newest_stored_at(session: Session) -> datetime | None:
    """When the newest click was stored; None before the first."""
    _limit_time(session)
    found: datetime | None = session.scalar(text("select stored_at from clicks order by id desc limit 1"))
    return found


def _limit_time(session: Session) -> None:
    session.execute(text("select set_config('statement_timeout', :limit, true)"), {"limit": TIME_LIMIT})


def _per_bucket(
    session: Session, link_id: int | None, period: Period, starts: Sequence[datetime]
) -> dict[int, Summary]:
    """Counts by index of `starts`. Buckets begin on quarter hours, so each edge lies within one of them."""
    first, last = _quarter_after(period.start), _quarter_before(period.end)
    if first > last:  # the whole range lies within one quarter hour
        return {0: _edge(session, link_id, period.start, period.end)}
    counts: dict[int, Summary] = {}
    if first < last:
        values = {"link_id": link_id or ALL_LINKS, "starts": list(starts), "start": first, "end": last}
        for row in session.execute(query("report_totals"), values):
            counts[row.bucket] = Summary(int(row.clicks), int(row.uniques), int(row.bots), int(row.others))
    for bucket, start, end in ((0, period.start, first), (len(starts) - 1, last, period.end)):
        if start < end:
            counts[bucket] = counts.get(bucket, Summary()) + _edge(session, link_id, start, end)
    return counts


def _edge(session: Session, link_id: int | None, start: datetime, end: datetime) -> Summary:
    values = {"link_id": link_id or ALL_LINKS, "first_id": _first_id(start), "end_id": _first_id(end)}
    row = session.execute(query("report_edge"), values).one()
    return Summary(row.clicks, row.uniques, row.bots, row.others)


def _quarter_before(instant: datetime) -> datetime:
    return instant - (instant - _EPOCH) % QUARTER


def _quarter_after(instant: datetime) -> datetime:
    return instant + (_EPOCH - instant) % QUARTER


def _first_id(instant: datetime) -> UUID:
    """The smallest id that a click at or after `instant` can have."""
    ms = -((_EPOCH - instant) // timedelta(milliseconds=1))
    return UUID(int=ms << 80)


def _at(click_id: UUID) -> datetime:
    return datetime.fromtimestamp(unix_ms(click_id.bytes) / 1000, UTC)


def _click(row: RowMapping) -> ClickRow:
    facts: dict[str, Any] = dict(row)
    facts["unique"] = facts.pop("is_unique")
    facts["outcome"] = OUTCOMES[facts["outcome"]]
    facts["reason"] = facts["reason"] or ("" if facts["outcome"] == REDIRECT else facts["outcome"])
    return ClickRow(**facts, at=_at(row["id"]), counted=not facts["reason"])


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
