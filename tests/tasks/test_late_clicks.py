"""Clicks that a tracker kept on its disk for hours: counted where and when they were made, whoever brings them."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from core.config import Settings
from core.contracts.click_event import ClickEvent, encode
from core.db.partitions import ensure_partitions
from tasks.clicks import make_handler
from tasks.registry import Handler
from tests.core.db.samples import SAO_PAULO, click_id, drop_partitions, rows

pytestmark = pytest.mark.usefixtures("clean_database")

NOW = datetime(2026, 12, 2, 9, 0, tzinfo=UTC)
PERSON = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36"


@pytest.fixture
def sao_paulo(environment: dict[str, str]) -> Settings:
    return Settings.from_env({**environment, "TZ_DEFAULT": "America/Sao_Paulo"})


def worker(settings: Settings, engine: Engine, name: str) -> Handler:
    return make_handler(settings, engine, process_name=name, now=lambda: NOW, server_now=lambda _: NOW)


def spooled(number: int, rng: random.Random) -> list[ClickEvent]:
    """People's clicks of two days, over the end of a month in UTC and, three hours later, in the zone."""
    return [
        ClickEvent(
            id=click_id(NOW - timedelta(seconds=rng.randrange(48 * 3600)), tail),
            link_id=rng.randint(1, 3),
            ip=f"203.0.113.{rng.randrange(40)}",
            user_agent=PERSON,
        )
        for tail in range(number)
    ]


def test_it_counts_late_clicks_at_their_own_time(sao_paulo: Settings, engine: Engine) -> None:
    """In any order, over two workers, each batch twice: by a worker that died after its commit, and by the next."""
    rng = random.Random(4)
    clicks = spooled(600, rng)
    workers = [worker(sao_paulo, engine, name) for name in ("one", "two")]
    payloads = [encode(click) for click in clicks]
    rng.shuffle(payloads)
    batches = [payloads[start : start + 60] for start in range(0, 600, 60)]
    for place, batch in enumerate(batches):
        assert workers[place % 2](batch) == {}
        assert workers[(place + 1) % 2](batch) == {}

    quarters = Counter((click.link_id, click.unix_ms // 900_000) for click in clicks)
    found = rows(
        engine,
        "select link_id, cast(extract(epoch from slot) as bigint) / 900, sum(clicks) from rollup_totals "
        "where link_id > 0 group by 1, 2",
    )
    assert {(link, quarter): total for link, quarter, total in found} == quarters
    assert daily_uniques(engine) == expected_uniques(clicks)
    assert rows(engine, "select count(*), count(distinct id) from clicks") == [(600, 600)]
    hours = Counter(click.at.replace(minute=0, second=0, microsecond=0) for click in clicks)
    books = rows(engine, "select hour, sum(stored), sum(duplicate) from books group by hour")
    assert {hour: (stored, twice) for hour, stored, twice in books} == {
        hour: (number, number) for hour, number in hours.items()
    }


def test_it_stores_late_clicks_in_the_partition_of_their_month(sao_paulo: Settings, engine: Engine) -> None:
    """Also where that partition was never made: the installation began after the click."""
    drop_partitions(engine)
    with engine.begin() as connection:
        ensure_partitions(connection, now=NOW, months_ahead=1)
    clicks = [
        ClickEvent(id=click_id(NOW - timedelta(hours=hours), hours), link_id=1)
        for hours in (0, 32, 34, 24 * 40)
    ]
    assert worker(sao_paulo, engine, "one")([encode(click) for click in clicks]) == {}
    places = rows(engine, "select tableoid::regclass::text, count(*) from clicks group by 1 order by 1")
    assert places == [("clicks_2026_10", 1), ("clicks_2026_11", 1), ("clicks_2026_12", 2)]


def test_it_keeps_its_answer_about_uniqueness_when_a_batch_comes_again_in_other_company(
    sao_paulo: Settings, engine: Engine
) -> None:
    """A batch that was taken over comes in smaller lots, among clicks of the same visitors that came later."""
    rng = random.Random(5)
    clicks = spooled(300, rng)
    payloads = [encode(click) for click in clicks]
    first, second = worker(sao_paulo, engine, "one"), worker(sao_paulo, engine, "two")
    first(payloads[:200])
    told = unique_ids(engine)
    for start in range(0, 300, 30):
        second(payloads[start : start + 30])
    assert unique_ids(engine) >= told
    assert {one for one in unique_ids(engine) if one in ids_of(clicks[:200])} == told
    assert daily_uniques(engine) == expected_uniques(clicks)


def expected_uniques(clicks: Sequence[ClickEvent]) -> Mapping[tuple[int, date], int]:
    visitors = {(click.link_id, click.at.astimezone(SAO_PAULO).date(), click.ip) for click in clicks}
    return Counter((link, day) for link, day, _ in visitors)


def daily_uniques(engine: Engine) -> Mapping[tuple[int, date], int]:
    found = rows(
        engine,
        "select link_id, day, sum(uniques) from rollup_dims where kind = 0 and link_id > 0 group by 1, 2",
    )
    raw = rows(engine, "select count(*) from clicks where is_unique")
    assert raw == [(sum(number for *_, number in found),)]
    return {(link, day): number for link, day, number in found}


def unique_ids(engine: Engine) -> set[bytes]:
    return {row[0].bytes for row in rows(engine, "select id from clicks where is_unique")}


def ids_of(clicks: Sequence[ClickEvent]) -> set[bytes]:
    return {click.id for click in clicks}
