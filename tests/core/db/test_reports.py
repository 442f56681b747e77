"""Reports say what the same question says when it is asked of the raw clicks."""

import itertools
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from core.contracts.click_event import CAPPED, EXPIRED, GONE, PAUSED, REDIRECT
from core.db import reports
from core.db.clicks import PreparedClick, store_batch
from core.db.tracking import DIMENSIONS
from core.domain.periods import INTERVALS, Period, PeriodError, bucket_starts
from tests.core.db.samples import (
    NOW,
    SAO_PAULO,
    at_of,
    click,
    counted,
    new_store,
    raw_clicks,
    shuffled_batches,
)

ZONES = (
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Santiago",
)
CHANGES = {
    "Europe/Berlin": datetime(2026, 10, 25, 1, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    "America/Santiago": datetime(2026, 9, 6, 4, tzinfo=UTC),
}
"""When the clocks change in the zones where they do."""

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "link_id": st.integers(1, 3),
    "visitor": st.integers(0, 4),
    "outcome": st.sampled_from((REDIRECT, REDIRECT, REDIRECT, PAUSED, GONE)),
    "bot_reason": st.sampled_from(("", "", "", "agent", "head")),
    "country": st.sampled_from(("", "BR", "PT")),
    "referrer_host": st.sampled_from(("", "a.example", "b.example")),
    "utm_source": st.sampled_from(("", "", "mail")),
    "device": st.sampled_from(("mobile", "desktop")),
}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[ZoneInfo, datetime, list[PreparedClick]]:
    """A zone, an instant near a change of its clocks, and clicks of three days around it."""
    name = draw(st.sampled_from(ZONES))
    middle = CHANGES.get(name, datetime(2026, 10, 31, 12, tzinfo=UTC))
    offsets = draw(st.lists(st.integers(-36 * 3600_000, 36 * 3600_000), max_size=40))
    clicks = [
        click(middle + timedelta(milliseconds=offset), tail=tail, **draw(st.fixed_dictionaries(FIELDS)))
        for tail, offset in enumerate(offsets)
    ]
    return ZoneInfo(name), middle, clicks


@pytest.mark.usefixtures("clean_database")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scene=scenes(), data=st.data())
def test_it_says_what_the_raw_clicks_say(engine: Engine, scene: Any, data: st.DataObject) -> None:
    zone, middle, clicks = scene
    _empty(engine)
    store = new_store(engine, zone=zone)
    rng = data.draw(st.randoms(use_true_random=False))
    for batch in shuffled_batches(clicks, rng, repeated=5):
        store_batch(store, batch, now=middle + timedelta(days=3))
    raw = raw_clicks(engine)
    assert len(raw) == len(clicks)

    link_id = data.draw(st.sampled_from((None, 1, 2)))
    mine = [row for row in raw if link_id in (None, row["link_id"])]
    minutes = st.integers(-40 * 60, 40 * 60)
    edge = st.sampled_from((timedelta(0), timedelta(seconds=7, microseconds=500)))
    first, second = (middle + timedelta(minutes=data.draw(minutes)) + data.draw(edge) for _ in range(2))
    start, end = min(first, second), max(first, second) + timedelta(seconds=1)
    inside = [row for row in mine if start <= at_of(row["id"]) < end]

    with Session(engine) as session:
        found = reports.summary(session, link_id=link_id, start=start, end=end)
        assert (found.clicks, found.uniques, found.bots, found.others) == counted(inside)
        for interval in INTERVALS:
            points = reports.timeseries(
                session, link_id=link_id, start=start, end=end, interval=interval, zone=zone
            )
            starts = bucket_starts(Period(start, end), interval=interval, zone=zone)
            assert [point.start for point in points] == starts
            for point, following in itertools.zip_longest(points, starts[1:], fillvalue=end):
                bucket = [row for row in inside if point.start <= at_of(row["id"]) < following]
                assert (point.clicks, point.uniques, point.bots, point.counts.others) == counted(bucket)
        _check_breakdowns(session, link_id, mine, zone, middle)


def _check_breakdowns(
    session: Session, link_id: int | None, mine: list[dict[str, Any]], zone: ZoneInfo, middle: datetime
) -> None:
    first_day = middle.astimezone(zone).date() - timedelta(days=1)
    days = (first_day, first_day + timedelta(days=1))
    redirects = [
        row
        for row in mine
        if row["outcome"] == 0 and days[0] <= at_of(row["id"]).astimezone(zone).date() <= days[1]
    ]
    for kind in DIMENSIONS:
        found = reports.breakdown(session, link_id=link_id, kind=kind, first_day=days[0], last_day=days[1])
        expected = {
            value: counted(row for row in redirects if row[kind] == value)[:3]
            for value in {row[kind] for row in redirects}
        }
        assert {row.value: (row.clicks, row.uniques, row.bots) for row in found.rows} == expected
        assert (found.rest.clicks, found.rest.uniques, found.rest.bots) == (0, 0, 0)


def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("truncate clicks, link_visitors, rollup_totals, rollup_dims"))


def test_it_shows_empty_buckets_and_nothing_of_a_link_without_clicks(db: Session) -> None:
    start = datetime(2026, 10, 1, tzinfo=SAO_PAULO).astimezone(UTC)
    points = reports.timeseries(
        db, link_id=9, start=start, end=start + timedelta(days=7), interval="day", zone=SAO_PAULO
    )
    assert [point.counts for point in points] == [reports.Summary()] * 7
    assert reports.summary(db, link_id=9, start=start, end=NOW) == reports.Summary()
    day = date(2026, 10, 1)
    found = reports.breakdown(db, link_id=9, kind="country", first_day=day, last_day=day)
    assert found == reports.Breakdown((), reports.Row("", 0, 0, 0))
    assert reports.recent_clicks(db, link_id=9) == []
    assert reports.newest_stored_at(db) is None
    assert reports.link_figures(db, link_ids=[], now=NOW, zone=SAO_PAULO) == {}


def test_it_folds_the_long_tail_and_keeps_the_total(engine: Engine, db: Session) -> None:
    clicks = [click(country=f"C{number}") for number in range(30) for _ in range(number % 5 + 1)]
    store_batch(new_store(engine), clicks, now=NOW)
    day = date(2026, 11, 23)
    found = reports.breakdown(db, link_id=None, kind="country", first_day=day, last_day=day, limit=7)
    assert [row.clicks for row in found.rows] == [5] * 6 + [4]
    assert sum(row.clicks for row in found.rows) + found.rest.clicks == len(clicks)


def test_it_refuses_an_unknown_dimension_and_names_the_known_ones(db: Session) -> None:
    day = date(2026, 11, 23)
    with pytest.raises(reports.UnknownDimension, match=r"'user_agent'.*country, device"):
        reports.breakdown(db, link_id=1, kind="user_agent", first_day=day, last_day=day)


def test_it_refuses_an_unknown_interval(db: Session) -> None:
    with pytest.raises(PeriodError, match="minute"):
        reports.timeseries(
            db, link_id=1, start=NOW, end=NOW + timedelta(hours=1), interval="minute", zone=SAO_PAULO
        )


def test_it_pages_through_the_clicks_of_a_link(engine: Engine, db: Session) -> None:
    clicks = [click(NOW - timedelta(days=20 * number), link_id=1 + number % 2) for number in range(12)]
    store_batch(new_store(engine), clicks, now=NOW)
    first = reports.recent_clicks(db, link_id=1, limit=4)
    rest = reports.recent_clicks(db, link_id=1, before=first[-1].id, limit=4)
    assert [row.id.bytes for row in [*first, *rest]] == [one.id for one in clicks if one.link_id == 1]
    everything = reports.recent_clicks(db, link_id=None, limit=50)
    assert [row.id.bytes for row in everything] == [one.id for one in clicks]


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({}, REDIRECT, ""),
        ({"bot_reason": "head"}, REDIRECT, "head"),
        ({"outcome": PAUSED}, PAUSED, "paused"),
        ({"outcome": EXPIRED}, EXPIRED, "expired"),
        ({"outcome": CAPPED}, CAPPED, "capped"),
        ({"outcome": GONE, "bot_reason": "agent"}, GONE, "agent"),
    ],
)
def test_it_says_why_a_click_was_not_counted(
    engine: Engine, db: Session, fields: dict[str, str], outcome: str, reason: str
) -> None:
    store_batch(new_store(engine), [click(country="BR", os="iOS", **fields)], now=NOW)
    (row,) = reports.recent_clicks(db, link_id=1)
    assert (row.at, row.outcome, row.counted, row.reason) == (NOW, outcome, not reason, reason)
    assert (row.unique, row.country, row.os, row.browser) == (not reason, "BR", "iOS", "")


def test_it_gives_a_page_of_links_their_figures(engine: Engine, sessions: sessionmaker[Session]) -> None:
    rng = random.Random(4)
    clicks = [
        click(
            NOW - timedelta(hours=rng.randrange(24 * 9)),
            link_id=rng.randint(1, 5),
            visitor=rng.randint(1, 30),
            bot_reason=rng.choice(("", "", "agent")),
        )
        for _ in range(400)
    ]
    store_batch(new_store(engine), clicks, now=NOW)
    raw = raw_clicks(engine)
    zone = ZoneInfo("Asia/Kolkata")
    today = NOW.astimezone(zone).date()
    with sessions() as session:
        found = reports.link_figures(session, link_ids=[5, 2, 77], now=NOW, zone=zone)
        fresh = reports.newest_stored_at(session)
    assert list(found) == [5, 2, 77]
    assert found[77] == reports.LinkFigures(0, 0, (0,) * 7, None)
    for link in (5, 2):
        mine = [row for row in raw if row["link_id"] == link]
        days = [today - timedelta(days=ago) for ago in range(6, -1, -1)]
        per_day = [
            counted(row for row in mine if at_of(row["id"]).astimezone(zone).date() == day) for day in days
        ]
        assert found[link] == reports.LinkFigures(
            clicks=sum(day[0] for day in per_day),
            uniques=sum(day[1] for day in per_day),
            spark=tuple(day[0] for day in per_day),
            last_click=max(at_of(row["id"]) for row in mine),
        )
    assert fresh == max(raw, key=lambda row: UUID(str(row["id"])).int)["stored_at"]
