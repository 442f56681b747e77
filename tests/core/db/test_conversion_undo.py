"""Postbacks that are judged again and would not do what they did; what is paid after a refund; rounding."""

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from core.db.rates import fill_rates
from tests.core.db.postbacks import (
    CLICK,
    FIELDS,
    REPORT,
    STATUSES,
    again,
    conversions,
    history,
    make_source,
    postback,
    store_click,
    take,
    verdicts,
)
from tests.core.db.samples import NOW
from tests.core.db.test_conversion_replay import LATER, change, set_status

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.mark.parametrize("duplicates", ["rebill", "repeat"])
def test_it_counts_what_a_customer_pays_after_a_refund(engine: Engine, duplicates: str) -> None:
    source = make_source(engine, duplicates=duplicates)
    store_click(engine)
    events = [
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="S", payout="10", status=status)
        for n, status in enumerate(("sale", "sale", "refund", "sale", "sale"))
    ]
    later = NOW + timedelta(minutes=1)
    take(engine, *events, now=later)
    expected = [(0, "approved"), (1, "refunded"), (2, "approved"), (3, "approved")]
    assert [(row["repeat"], row["status"]) for row in conversions(engine)] == expected
    assert [one.changed for one in again(engine, *events, now=later)] == [False] * 5
    assert [(row["repeat"], row["status"]) for row in conversions(engine)] == expected


@pytest.mark.parametrize("one_by_one", [False, True])
def test_it_undoes_an_update_that_it_would_not_make_now(engine: Engine, one_by_one: bool) -> None:
    source = make_source(engine, payout_kind="percent", payout="10")
    store_click(engine)
    events = [
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A", payout=payout, status=status)
        for n, (payout, status) in enumerate((("10", "lead"), ("500", "sale"), ("600", "sale")))
    ]
    take(engine, *events, now=LATER)
    change(engine, source, payout_kind="percent", payout="10", statuses={**STATUSES, "sale": "ignore"})
    if one_by_one:
        for event in events:
            again(engine, event, now=LATER)
    again(engine, *events, now=LATER)
    (made,) = conversions(engine)
    assert (made["status"], made["revenue"], made["payout"]) == ("pending", 10, 1)
    assert (made["report_revenue"], history(engine)[-1][2]) == (10, "withdraw")
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False] * 3
    change(engine, source, payout_kind="percent", payout="10")
    told = again(engine, *events, now=LATER)
    assert [one.verdict for one in told] == ["conversion", "update", "update"]
    (made,) = conversions(engine)
    assert (made["status"], made["revenue"], made["payout"]) == ("approved", 600, 60)


def test_it_takes_an_earlier_postback_after_a_later_update_was_undone(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    lead, sale, refund = (
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A", payout="10", status=status)
        for n, status in enumerate(("lead", "sale", "trash"))
    )
    take(engine, lead, refund, now=LATER)
    change(engine, source, statuses={**STATUSES, "trash": "ignore"})
    again(engine, refund, now=LATER)
    assert verdicts(take(engine, sale, now=LATER)) == [("update", "transition")]


def test_it_splits_an_update_off_that_is_another_transaction_now(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    events = [
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A", order=order, payout=payout)
        for n, (order, payout) in enumerate((("A", "10"), ("B", "500")))
    ]
    assert [one.verdict for one in take(engine, *events, now=LATER)] == ["conversion", "update"]
    change(engine, source, fields={**FIELDS, "transaction_id": ("order",)})
    assert [one.verdict for one in again(engine, *events, now=LATER)] == ["conversion", "conversion"]
    expected = {"A": (10, "approved"), "B": (500, "approved")}
    assert {row["transaction_id"]: (row["revenue"], row["status"]) for row in conversions(engine)} == expected
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False, False]


def test_it_leaves_an_update_that_somebody_has_built_on(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    lead, sale = (
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A", payout="10", status=status)
        for n, status in enumerate(("lead", "sale"))
    )
    take(engine, lead, sale, now=LATER)
    set_status(engine, "refunded")
    change(engine, source, statuses={**STATUSES, "sale": "ignore"})
    (told,) = again(engine, sale, now=LATER)
    assert (told.verdict, told.changed) == ("ignored", False)
    assert told.why == {"code": "ignored_status", "changed_since": told.conversion_id}
    assert [row["status"] for row in conversions(engine)] == ["refunded"]


def test_it_counts_nothing_twice_when_what_was_built_on_it_is_taken_back_too(engine: Engine) -> None:
    by_order = {**FIELDS, "transaction_id": ("order",)}
    source = make_source(engine, duplicates="repeat")
    store_click(engine)
    events = [
        postback(
            source, at=NOW + timedelta(seconds=n), subid=CLICK, tid=tid, order="A", payout="5", status=word
        )
        for n, (tid, word) in enumerate((("A", "lead"), ("B", "lead"), ("B", "trash")))
    ]
    take(engine, *events, now=LATER)
    change(engine, source, duplicates="repeat", fields=by_order)
    again(engine, *events, now=LATER)
    change(engine, source, duplicates="repeat")
    again(engine, *events, now=LATER)
    counting = [row["transaction_id"] for row in conversions(engine) if row["status"] == "pending"]
    assert counting == ["A"]


@pytest.mark.parametrize("fewer", ["ignore", "update"])
@pytest.mark.parametrize("word", ["lead", "sale"])
def test_it_takes_repeats_back_that_the_source_does_not_want_any_more(
    engine: Engine, fewer: str, word: str
) -> None:
    source = make_source(engine, duplicates="repeat")
    store_click(engine)
    events = [
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A", payout="10", status=word)
        for n in range(3)
    ]
    take(engine, *events, now=LATER)
    (counting,) = {row["status"] for row in conversions(engine)}
    change(engine, source, duplicates=fewer)
    told = again(engine, *events, now=LATER)
    assert [one.verdict for one in told] == ["conversion", "repeated", "repeated"]
    assert [row["status"] for row in conversions(engine)] == [counting, "rejected", "rejected"]
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False] * 3
    copy = postback(source, at=NOW + timedelta(seconds=9), subid=CLICK, tid="A", payout="10", status=word)
    assert verdicts(take(engine, copy, now=LATER)) == [("repeated", "same")]
    change(engine, source, duplicates="repeat")
    again(engine, *events, now=LATER)
    assert [row["status"] for row in conversions(engine)] == [counting] * 3
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False] * 3


def test_it_rounds_as_when_rates_are_filled_in_later(engine: Engine) -> None:
    source = make_source(engine, currency="EUR")
    store_click(engine)
    with engine.begin() as connection:
        connection.execute(
            text("insert into exchange_rates (currency, day, rate) values ('EUR', :day, 0.5)"),
            {"day": NOW.date()},
        )
    take(engine, postback(source, subid=CLICK, payout="0.000001"))
    (judged,) = (row["report_revenue"] for row in conversions(engine))
    with engine.begin() as connection:
        connection.execute(text("update conversions set rate = null"))
        fill_rates(connection, "EUR", NOW.date(), report_currency=REPORT)
    assert [row["report_revenue"] for row in conversions(engine)] == [judged] == [Decimal("0.000001")]
