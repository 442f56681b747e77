"""Storing clicks: once each, uniqueness, books, and what can not be stored."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from core.contracts.click_event import GONE, PAUSED
from core.db.clicks import CLOCK, BatchResult, PreparedClick, store_batch
from core.db.tracking import DIMENSIONS
from tests.core.db.samples import (
    NOW,
    SAO_PAULO,
    click,
    counted,
    drop_partitions,
    new_store,
    raw_clicks,
    rows,
)

pytestmark = pytest.mark.usefixtures("clean_database")

TOTALS = "select sum(clicks), sum(uniques), sum(bots), sum(others) from rollup_totals where link_id = :link"
BOOKS = "select sum(stored), sum(duplicate), sum(expired) from books"


def many(number: int, rng: random.Random) -> list[PreparedClick]:
    """Clicks of two hours on 20 links, an eighth of them by robots."""
    return [
        click(
            NOW - timedelta(seconds=rng.randrange(7200)),
            tail=rng.getrandbits(62),
            link_id=rng.randint(1, 20),
            visitor=rng.randint(1, 60),
            bot_reason=rng.choice(("",) * 7 + ("agent",)),
            country=rng.choice(("BR", "PT", "")),
            browser=rng.choice(("Chrome", "Safari")),
            user_agent=f"agent {rng.randrange(40)}",
        )
        for _ in range(number)
    ]


def assert_balanced(engine: Engine) -> None:
    """Rollups say what the raw clicks say."""
    raw = raw_clicks(engine)
    assert rows(engine, TOTALS, link=0) == [counted(raw)]
    for link in {row["link_id"] for row in raw}:
        assert rows(engine, TOTALS, link=link) == [counted(row for row in raw if row["link_id"] == link)]


def test_it_stores_what_it_was_given(engine: Engine) -> None:
    given = click(
        revision=7,
        visitor=-5,
        ip="203.0.113.0",
        query="utm_source=mail",
        country="BR",
        device="mobile",
        utm_source="mail",
        source="flyer",
        door_bot="head",
        is_head=True,
        bot_reason="head",
    )
    assert store_batch(new_store(engine), [given], now=NOW) == BatchResult(1, 0, 0, {})
    (row,) = raw_clicks(engine)
    assert row["id"].bytes == given.id
    assert {name: row[name] for name in ("link_id", "revision", "visitor", "query", "is_head")} == {
        "link_id": 1,
        "revision": 7,
        "visitor": -5,
        "query": "utm_source=mail",
        "is_head": True,
    }
    assert (str(row["ip"]), row["country"], row["device"], row["browser"]) == (
        "203.0.113.0",
        "BR",
        "mobile",
        "",
    )
    assert (row["utm_source"], row["source"]) == ("mail", "flyer")
    assert (row["bot_reason"], row["door_bot"]) == ("head", "head")


def test_it_stores_the_same_batch_once(engine: Engine) -> None:
    batch = many(300, random.Random(1))
    store = new_store(engine)
    assert store_batch(store, batch, now=NOW) == BatchResult(300, 0, 0, {})
    before = raw_clicks(engine), rows(engine, TOTALS, link=0)
    assert store_batch(store, batch, now=NOW) == BatchResult(0, 300, 0, {})
    assert store_batch(new_store(engine), batch[::-1], now=NOW) == BatchResult(0, 300, 0, {})
    assert (raw_clicks(engine), rows(engine, TOTALS, link=0)) == before
    assert rows(engine, BOOKS) == [(300, 600, 0)]
    assert_balanced(engine)


def test_it_stores_the_new_half_of_a_batch(engine: Engine) -> None:
    batch = many(200, random.Random(2))
    store = new_store(engine)
    store_batch(store, batch[:100], now=NOW)
    assert store_batch(store, batch, now=NOW) == BatchResult(100, 100, 0, {})
    assert rows(engine, BOOKS) == [(200, 100, 0)]
    assert_balanced(engine)


def test_it_bears_a_click_twice_in_one_batch(engine: Engine) -> None:
    one = click()
    assert store_batch(new_store(engine), [one, one, one], now=NOW) == BatchResult(1, 2, 0, {})
    assert_balanced(engine)


def test_it_stores_nothing_of_an_empty_batch(engine: Engine) -> None:
    assert store_batch(new_store(engine), [], now=NOW) == BatchResult(0, 0, 0, {})


def test_it_stores_once_what_several_workers_store_at_the_same_time(engine: Engine) -> None:
    rng = random.Random(3)
    batch = many(600, rng)
    start = threading.Barrier(4)

    def work(number: int) -> list[BatchResult]:
        store, mine = new_store(engine), list(batch)
        random.Random(number).shuffle(mine)
        start.wait()
        return [store_batch(store, mine[at : at + 150], now=NOW) for at in range(0, 600, 150)]

    with ThreadPoolExecutor(4) as pool:
        results = [result for found in pool.map(work, range(4)) for result in found]
    assert sum(result.stored for result in results) == 600
    assert sum(result.duplicate for result in results) == 1800
    assert rows(engine, BOOKS) == [(600, 1800, 0)]
    assert len(rows(engine, "select distinct shard from rollup_totals")) > 1
    assert_balanced(engine)
    twice = "select 1 from clicks where is_unique group by link_id, visitor having count(*) > 1"
    assert rows(engine, twice) == []


class TestUnique:
    """The first click by a person of a visitor on a link in a day of the organisation's zone."""

    def uniques(self, engine: Engine) -> list[bool]:
        return [row[0] for row in rows(engine, "select is_unique from clicks order by id")]

    def test_it_counts_a_visitor_once_a_link_and_day(self, engine: Engine) -> None:
        midnight = datetime(2026, 11, 22, tzinfo=SAO_PAULO)
        clicks = [
            click(midnight + timedelta(minutes=minutes), visitor=7, link_id=link)
            for minutes, link in ((-1, 1), (0, 1), (1, 1), (2, 2), (1439, 1), (1440, 1))
        ]
        store_batch(new_store(engine), clicks, now=NOW + timedelta(days=1))
        assert self.uniques(engine) == [True, True, False, True, False, True]

    def test_it_takes_the_first_of_a_batch_by_id(self, engine: Engine) -> None:
        clicks = [click(NOW + timedelta(seconds=second), visitor=7) for second in (2, 0, 1)]
        store_batch(new_store(engine), clicks, now=NOW)
        assert self.uniques(engine) == [True, False, False]

    def test_it_leaves_a_late_click_what_an_earlier_store_decided(self, engine: Engine) -> None:
        store = new_store(engine)
        store_batch(store, [click(NOW, visitor=7)], now=NOW)
        late = click(NOW - timedelta(hours=2), visitor=7)
        store_batch(store, [late], now=NOW)
        store_batch(store, [late], now=NOW)
        assert self.uniques(engine) == [False, True]

    def test_it_gives_robots_and_unknown_visitors_and_held_visits_no_unique(self, engine: Engine) -> None:
        clicks = [
            click(NOW, visitor=7, bot_reason="agent"),
            click(NOW + timedelta(seconds=1), visitor=0),
            click(NOW + timedelta(seconds=2), visitor=7, outcome=PAUSED),
            click(NOW + timedelta(seconds=3), visitor=7),
        ]
        store_batch(new_store(engine), clicks, now=NOW)
        assert self.uniques(engine) == [False, False, False, True]
        assert rows(engine, TOTALS, link=1) == [(2, 1, 1, 1)]


def test_it_counts_each_dimension_of_redirects_alone(engine: Engine) -> None:
    clicks = [
        click(country="BR", utm_source="mail"),
        click(country="BR", bot_reason="agent"),
        click(country="PT", outcome=GONE),
        click(),
    ]
    store_batch(new_store(engine), clicks, now=NOW)
    found = rows(
        engine,
        "select r.kind, coalesce(d.value, ''), r.day, r.clicks, r.bots from rollup_dims r "
        "left join dictionaries d on d.id = r.value where link_id = 1 order by r.kind, d.value",
    )
    day = date(2026, 11, 23)
    assert found == [
        (0, "", day, 2, 1),
        (4, "BR", day, 1, 1),
        (9, "mail", day, 1, 0),
        (14, "agent", day, 0, 1),
    ]


def test_it_makes_a_missing_partition(engine: Engine) -> None:
    drop_partitions(engine)
    clicks = [click(NOW), click(NOW - timedelta(days=40)), click(datetime(2024, 1, 1, tzinfo=UTC))]
    assert store_batch(new_store(engine), clicks, now=NOW).stored == 3
    names = rows(engine, "select tableoid::regclass::text from clicks order by id")
    assert names == [("clicks_2024_01",), ("clicks_2026_10",), ("clicks_2026_11",)]


def test_it_goes_on_when_a_partition_was_dropped_behind_its_back(engine: Engine) -> None:
    store = new_store(engine)
    store_batch(store, [click()], now=NOW)
    drop_partitions(engine)
    assert store_batch(store, [click()], now=NOW).stored == 1


def test_it_makes_missing_partitions_for_several_workers_at_once(engine: Engine) -> None:
    drop_partitions(engine)
    start = threading.Barrier(4)

    def work(_: int) -> int:
        store = new_store(engine)
        start.wait()
        return store_batch(store, [click(NOW), click(NOW - timedelta(days=60))], now=NOW).stored

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), CLOCK),
        (datetime(2023, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), CLOCK),
        (datetime(2024, 1, 1, tzinfo=UTC), None),
        (NOW + timedelta(days=1), None),
        (NOW + timedelta(days=1, milliseconds=1), CLOCK),
        (datetime(2100, 1, 1, tzinfo=UTC), CLOCK),
    ],
)
def test_it_refuses_a_click_of_an_impossible_time_and_stores_the_others(
    engine: Engine, at: datetime, reason: str | None
) -> None:
    result = store_batch(new_store(engine), [click(), click(at), click()], now=NOW)
    assert result.refused == ({1: reason} if reason else {})
    assert result.stored == 3 - len(result.refused)


def test_it_refuses_the_greatest_time_an_id_can_hold(engine: Engine) -> None:
    impossible = PreparedClick(id=b"\xff" * 16, link_id=1)
    assert store_batch(new_store(engine), [impossible], now=NOW) == BatchResult(0, 0, 0, {0: CLOCK})


def test_it_counts_as_expired_what_retention_has_removed(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("insert into click_retention (kept_from) values ('2026-10-01')"))
    old = click(datetime(2026, 9, 30, 23, tzinfo=UTC))
    clicks = [click(), old, old, click(datetime(2026, 10, 1, tzinfo=UTC))]
    assert store_batch(new_store(engine), clicks, now=NOW) == BatchResult(2, 1, 1, {})
    assert rows(engine, BOOKS) == [(2, 1, 1)]
    assert_balanced(engine)


def test_it_stores_texts_that_postgresql_can_not_hold(engine: Engine) -> None:
    odd = {
        name: f"a\0b\ud800{name}" for name in (*DIMENSIONS, "user_agent", "referrer") if name != "bot_reason"
    }
    clicks = [click(query="q=\0\udfff", **odd), click(user_agent="x" * 100_000, referrer="é" * 100_000)]
    store = new_store(engine)
    assert store_batch(store, clicks, now=NOW).stored == 2
    assert store_batch(new_store(engine), clicks, now=NOW).duplicate == 2
    values = {row[0] for row in rows(engine, "select value from dictionaries")}
    assert "a\ufffdb\ufffdcountry" in values
    assert max(len(value) for value in values) == 1024
    assert ("q=\ufffd\ufffd",) in rows(engine, "select query from clicks")


def test_it_leaves_nothing_behind_when_the_store_fails(engine: Engine) -> None:
    store = new_store(engine)
    bad = click(ip="no address")
    with pytest.raises(Exception, match="inet"):
        store_batch(store, [click(), bad], now=NOW)
    for table in ("clicks", "link_visitors", "rollup_totals", "rollup_dims", "books"):
        assert rows(engine, f"select count(*) from {table}") == [(0,)]
    assert store_batch(store, [click()], now=NOW).stored == 1
