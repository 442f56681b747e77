"""Example data: links that work, clicks that add up, the same for the same random numbers."""

import random
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from redis import Redis
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot, source_snapshot
from core.db import reports
from core.db.models import Domain, Link
from core.services.demo import make_demo
from core.services.postback_books import read_postback_books
from tests.core.db.samples import at_of, counted, raw_clicks, rows

pytestmark = pytest.mark.usefixtures("domain")

ZONE = ZoneInfo("America/Sao_Paulo")


def make(engine: Engine, valkey: Redis, now: datetime, *, seed: int = 1, clicks: int = 3000) -> list[int]:
    return make_demo(
        engine,
        valkey,
        links=25,
        clicks=clicks,
        days=20,
        now=now,
        rng=random.Random(seed),
        zone=ZONE,
        report_currency="BRL",
    )


def test_it_makes_links_that_trackers_know(engine: Engine, db: Session, valkey: Redis, now: datetime) -> None:
    made = make(engine, valkey, now, clicks=0)
    found = db.scalars(select(Link).order_by(Link.id)).all()
    assert [link.id for link in found] == made
    assert {link.state for link in found} == {"live", "paused"}
    for link in found:
        stands = valkey.get(keys.link(link.domain_id, link.slug_key))
        assert isinstance(stands, bytes)
        assert link_snapshot.decode(stands).url == link.url
        assert link.campaign_id
        assert link.created_at < now


def test_it_makes_clicks_that_are_believable(
    engine: Engine, db: Session, valkey: Redis, now: datetime
) -> None:
    told: list[tuple[int, int]] = []
    make_demo(
        engine,
        valkey,
        links=25,
        clicks=3000,
        days=20,
        now=now,
        rng=random.Random(1),
        zone=ZONE,
        report_currency="BRL",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (3000, 3000)
    raw = raw_clicks(engine)
    times = [at_of(row["id"]) for row in raw]
    assert len(raw) == 3000
    assert now - timedelta(days=20) <= min(times)
    assert max(times) < now
    clicks, uniques, bots, others = counted(raw)
    assert 200 < bots < 550
    assert clicks * 0.6 < uniques < clicks
    assert others < 300
    created = dict(rows(engine, "select id, created_at from links"))
    assert all(created[row["link_id"]] <= at for row, at in zip(raw, times, strict=True))
    summary = reports.summary(db, link_id=None, start=now - timedelta(days=30), end=now)
    assert (summary.clicks, summary.uniques, summary.bots, summary.others) == (clicks, uniques, bots, others)
    mobile = sum(row["device"] == "mobile" for row in raw)
    assert mobile > 1500
    assert sum(row["country"] == "BR" for row in raw) > 1800
    assert sum(bool(row["utm_source"]) for row in raw) > 600


def test_it_counts_its_clicks_as_answered_and_accepted_so_that_the_books_balance(
    engine: Engine, valkey: Redis, now: datetime
) -> None:
    make(engine, valkey, now)
    accepted = {hour.decode(): int(count) for hour, count in valkey.hgetall(keys.ACCEPTED).items()}
    stored = rows(
        engine, "select to_char(hour at time zone 'UTC', 'YYYYMMDDHH24'), sum(stored) from books group by 1"
    )
    assert accepted == {hour: int(count) for hour, count in stored}
    answered = valkey.hgetall(keys.ANSWERED)
    assert {keys.hour_answered(field): int(count) for field, count in answered.items()} == accepted


def test_it_makes_the_same_for_the_same_random_numbers(engine: Engine, valkey: Redis, now: datetime) -> None:
    def made() -> tuple[list[tuple[object, ...]], ...]:
        with engine.begin() as connection:
            connection.execute(
                text(
                    "truncate links, clicks, link_visitors, rollup_totals, postbacks, conversions "
                    "restart identity cascade"
                )
            )
        make(engine, valkey, now, clicks=200)
        return (
            rows(engine, "select slug, title, url, state from links order by id"),
            rows(engine, "select id, link_id, visitor, country, is_unique from clicks order by id"),
            rows(engine, "select id, query, body, verdict, why from postbacks order by id"),
            rows(engine, "select click_id, at, status, revenue, currency from conversions order by id"),
        )

    assert made() == made()


def test_it_bears_a_second_time(
    engine: Engine, db: Session, valkey: Redis, now: datetime, domain: Domain
) -> None:
    make(engine, valkey, now, clicks=200)
    assert len(make(engine, valkey, now, seed=2, clicks=100)) == 25
    assert len(raw_clicks(engine)) == 300
    slugs = db.scalars(select(Link.slug_key).where(Link.domain_id == domain.id)).all()
    assert len(slugs) == len(set(slugs)) == 50


def test_it_makes_sales_that_are_believable(
    engine: Engine, db: Session, valkey: Redis, now: datetime
) -> None:
    make(engine, valkey, now, clicks=6000)
    verdicts = dict(rows(engine, "select verdict, count(*) from postbacks group by 1"))
    total = sum(verdicts.values())
    sales = verdicts["conversion"]
    assert 100 < sales < 200
    assert verdicts["update"] > 20
    assert verdicts["repeated"] and verdicts["refused"] and verdicts["unreadable"]
    assert 0 < verdicts["no_click"] < total * 0.06
    assert "new" not in verdicts
    found = rows(
        engine,
        "select s.name, c.status, c.currency from conversions c join conversion_sources s on s.id = c.source_id",
    )
    assert {name for name, _, _ in found} == {"Loja online", "RedeAfil", "Pagamentos"}
    assert {status for _, status, _ in found} == {"pending", "approved", "rejected", "refunded"}
    assert {(name, currency) for name, _, currency in found if name == "RedeAfil"} == {("RedeAfil", "USD")}
    odd = rows(
        engine,
        "select count(*) from conversions where report_revenue is null or link_id is null or at >= "
        f"'{now.isoformat()}' or at < clicked_at",
    )
    assert odd == [(0,)]
    people = rows(
        engine,
        "select count(*) from conversions c join clicks on clicks.id = c.click_id where clicks.bot_reason <> 0",
    )
    assert people == [(0,)]


def test_it_writes_down_what_came_of_a_postback_when_it_came(
    engine: Engine, valkey: Redis, now: datetime
) -> None:
    make(engine, valkey, now)
    found = rows(
        engine,
        "select postbacks.id, judged_at, stored_at, history.at, history.version, created_at, updated_at "
        "from postbacks join conversion_history history on actor = 'postback:' || postbacks.id "
        "join conversions on conversions.id = history.conversion_id order by postbacks.id",
    )
    assert len(found) > 50
    assert {version for _, _, _, _, version, _, _ in found} >= {1, 2}
    for id_, judged, stored, changed, version, created, updated in found:
        came = at_of(id_)
        assert came < judged == stored == changed < came + timedelta(seconds=2)
        assert created <= changed <= updated
        assert version > 1 or created == changed


def test_it_counts_its_postbacks_as_received_so_that_their_books_balance(
    engine: Engine, db: Session, valkey: Redis, now: datetime
) -> None:
    make(engine, valkey, now)
    books = read_postback_books(db, valkey, now=now, hours=24 * 35, kept_days=180)
    assert books.books.total.accepted == books.books.total.stored > 50
    assert (books.books.missing, books.unaccounted) == (0, 0)


def test_it_sends_nothing_on(engine: Engine, valkey: Redis, now: datetime) -> None:
    make(engine, valkey, now)
    assert rows(engine, "select is_active, disabled_at from webhooks") == [(False, None)]
    assert rows(engine, "select count(*) from webhook_deliveries") == [(0,)]


def test_it_makes_sources_that_trackers_know(engine: Engine, valkey: Redis, now: datetime) -> None:
    make(engine, valkey, now, clicks=0)
    stands = valkey.get(keys.SOURCES)
    assert isinstance(stands, bytes)
    known = source_snapshot.decode(stands).sources
    assert [len(source.tokens) for source in known] == [1, 1, 1]
    hints = {hint for (hint,) in rows(engine, "select hint from source_tokens")}
    assert len(hints) == 3


@pytest.mark.parametrize(
    ("currency", "rates"),
    [("BRL", {"USD": "5.40", "EUR": "5.86", "GBP": "6.86"}), ("JPY", {})],
)
def test_it_knows_rates_of_the_currency_of_reports(
    engine: Engine, valkey: Redis, now: datetime, currency: str, rates: dict[str, str]
) -> None:
    make_demo(
        engine,
        valkey,
        links=1,
        clicks=0,
        days=5,
        now=now,
        rng=random.Random(1),
        zone=ZONE,
        report_currency=currency,
    )
    found = dict(rows(engine, "select currency, round(rate, 2)::text from exchange_rates"))
    assert found == rates
