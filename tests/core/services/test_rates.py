"""The feed of rates, and conversions counted by the rates of now."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from core.db.rates import fill_rates, rate_of
from core.domain.rate_feeds import BadFeed
from core.net import FetchFailed, FetchRefused, Reply
from core.services.rates import count_again, fetch_rates
from tests.core.db.postbacks import CLICK, conversions, make_source, postback, store_click, take
from tests.core.db.samples import NOW, rows

pytestmark = pytest.mark.usefixtures("clean_database")

URL = "https://rates.example/daily.csv"


def serve(body: bytes, *, status: int = 200, cut: bool = False) -> Callable[[str], Reply]:
    return lambda url: Reply(url, status, {}, body, cut)


def get(engine: Engine, body: bytes, *, status: int = 200, cut: bool = False) -> int:
    answer = serve(body, status=status, cut=cut)
    return fetch_rates(engine, url=URL, report_currency="USD", now=NOW, get=answer)


def stored(engine: Engine) -> list[tuple[object, ...]]:
    return rows(engine, "select currency, day, rate, origin from exchange_rates order by 1, 2")


def test_it_stores_what_a_feed_says_and_leaves_what_a_person_filled_in(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("insert into exchange_rates values ('EUR', '2026-11-20', 2, 'ana@example.com')")
        )
    body = b"EUR,2026-11-20,1.25\nBRL,2026-11-20,0.2\n"
    assert get(engine, body) == 1
    assert get(engine, body) == 0
    assert get(engine, body.replace(b"0.2\n", b"0.25\n")) == 1
    day = date(2026, 11, 20)
    assert stored(engine) == [("BRL", day, Decimal("0.25"), "feed"), ("EUR", day, 2, "ana@example.com")]


def test_it_stores_nothing_of_a_feed_that_failed(engine: Engine) -> None:
    good = b"BRL,2026-11-20,0.2\n"
    with pytest.raises(FetchFailed):
        get(engine, good, status=500)
    with pytest.raises(BadFeed):
        get(engine, good, cut=True)
    with pytest.raises(BadFeed):
        get(engine, good + b"EUR,never,1\n")
    assert stored(engine) == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/rates", "http://169.254.169.254/latest", "http://[::1]/"]
)
def test_it_fetches_from_no_private_address(engine: Engine, url: str) -> None:
    with pytest.raises(FetchRefused):
        fetch_rates(engine, url=url, report_currency="USD", now=NOW)


def test_it_knows_the_rate_of_a_day(engine: Engine) -> None:
    get(engine, b"BRL,2026-11-01,0.2\nBRL,2026-11-10,0.3\n")
    with engine.connect() as connection:
        found = [
            rate_of(connection, currency, date(2026, 11, day), report_currency="USD")
            for currency, day in (("BRL", 1), ("BRL", 9), ("BRL", 10), ("BRL", 30), ("USD", 1), ("EUR", 1))
        ]
        assert found == [Decimal("0.2"), Decimal("0.2"), Decimal("0.3"), Decimal("0.3"), 1, None]
        assert rate_of(connection, "BRL", date(2026, 10, 31), report_currency="USD") is None


def test_it_counts_conversions_again_when_their_rate_comes_changes_or_goes(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    take(
        engine,
        postback(source, subid=CLICK, tid="1", payout="100", currency="BRL", cost="10"),
        postback(source, subid=CLICK, tid="2", payout="100", currency="EUR"),
        postback(source, subid=CLICK, tid="3", payout="10000000000000", currency="BRL"),
    )

    def fill(sql: str) -> tuple[int, list[object]]:
        with engine.begin() as connection:
            connection.execute(text(sql))
            changed = fill_rates(connection, "BRL", date(2026, 11, 1), report_currency="USD")
        return changed, [(row["report_revenue"], row["report_cost"]) for row in conversions(engine)]

    nothing = (None, None)
    huge = (Decimal("2000000000000"), 0)
    assert fill("insert into exchange_rates values ('BRL', '2026-11-20', 0.2)") == (
        2,
        [(20, 2), nothing, huge],
    )
    assert fill("update exchange_rates set rate = 20") == (2, [(2000, 200), nothing, nothing])
    assert fill("update exchange_rates set rate = 20") == (0, [(2000, 200), nothing, nothing])
    assert fill("delete from exchange_rates") == (1, [nothing] * 3)
    assert count_again(engine, report_currency="EUR") == 1
    assert [row["report_revenue"] for row in conversions(engine)] == [None, 100, None]
