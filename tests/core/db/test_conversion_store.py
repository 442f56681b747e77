"""What becomes of postbacks: conversions, their history, and verdicts with a reason."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from core.contracts.postback_event import PostbackEvent
from core.db.conversion_store import load_sources, preview
from core.db.postback_store import rows_of
from core.domain.conversions import REASONS, VERDICTS
from tests.core.db.postbacks import (
    CLICK,
    CLICKED,
    REPORT,
    again,
    conversions,
    history,
    make_source,
    postback,
    store_click,
    take,
    verdicts,
)
from tests.core.db.samples import NOW, click_id, rows

pytestmark = pytest.mark.usefixtures("clean_database")


def test_it_makes_a_conversion_of_a_postback(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine, rule="5", variant="8")
    event = postback(source, subid=CLICK, tid="A1", payout="12,34", status="lead", goal="Lead", sub1="x")
    (judgement,) = take(engine, event)
    assert (judgement.verdict, judgement.changed) == ("conversion", True)
    assert judgement.why == {"code": "matched", "clicked_at": CLICKED.isoformat()}
    (made,) = conversions(engine)
    assert made["id"] == judgement.conversion_id
    expected: dict[str, Any] = {
        "source_id": source,
        "ref_click": uuid.UUID(CLICK),
        "click_id": uuid.UUID(CLICK),
        "link_id": 1,
        "rule": 5,
        "variant": 8,
        "clicked_at": CLICKED,
        "attributed_by": "click",
        "transaction_id": "A1",
        "event": "lead",
        "repeat": 0,
        "status": "pending",
        "is_late": False,
        "revenue": Decimal("12.34"),
        "currency": "USD",
        "report_revenue": Decimal("12.34"),
        "rate": 1,
        "at": NOW,
        "fields": {"sub1": "x"},
        "version": 1,
    }
    assert {name: made[name] for name in expected} == expected
    assert history(engine) == [(made["id"], 1, "create", "pending")]
    asked = (
        "select verdict, why->>'code', click_id::text, transaction_id, amount, conversion_id from postbacks"
    )
    assert rows(engine, asked) == [("conversion", "matched", CLICK, "A1", Decimal("12.34"), made["id"])]


def test_it_counts_the_same_postback_once_now_and_a_week_later(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    same = {"subid": CLICK, "tid": "A1", "payout": "10"}
    first = take(engine, *(postback(source, **same) for _ in range(10)))
    assert verdicts(first) == [("conversion", "matched")] + 9 * [("repeated", "same")]
    week = timedelta(days=7)
    (later,) = take(engine, postback(source, at=NOW + week, **same), now=NOW + week)
    assert (later.verdict, later.changed) == ("repeated", False)
    assert len(conversions(engine)) == 1
    assert len(history(engine)) == 1


@pytest.mark.parametrize(
    ("duplicates", "expected", "revenues"),
    [
        ("ignore", ("repeated", "amount_differs"), [10]),
        ("update", ("update", "amounts"), [25]),
        ("rebill", ("conversion", "matched"), [10, 25]),
        ("repeat", ("conversion", "matched"), [10, 25]),
    ],
)
def test_it_takes_the_same_transaction_with_another_amount_as_its_source_wants(
    engine: Engine, duplicates: str, expected: tuple[str, str], revenues: list[int]
) -> None:
    source = make_source(engine, duplicates=duplicates)
    store_click(engine)
    take(engine, postback(source, subid=CLICK, tid="A1", payout="10"))
    (judgement,) = take(engine, postback(source, subid=CLICK, tid="A1", payout="25"))
    assert verdicts([judgement]) == [expected]
    found = conversions(engine)
    assert [row["revenue"] for row in found] == revenues
    assert [row["repeat"] for row in found] == list(range(len(revenues)))
    assert [row["is_rebill"] for row in found[1:]] == [duplicates == "rebill"] * (len(revenues) - 1)


def test_it_moves_a_status_where_it_may_and_says_where_it_may_not(engine: Engine) -> None:
    source = make_source(engine, duplicates="ignore")
    store_click(engine)
    told = [
        take(engine, postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A1", status=status))[0]
        for n, status in enumerate(("lead", "refund", "sale", "lead", "trash", "sale", "refund", "sale"))
    ]
    assert verdicts(told) == [
        ("conversion", "matched"),
        ("repeated", "transition_not_allowed"),
        ("update", "transition"),
        ("repeated", "transition_not_allowed"),
        ("update", "transition"),
        ("update", "transition"),
        ("update", "transition"),
        ("repeated", "transition_not_allowed"),
    ]
    assert told[2].why == {"code": "transition", "from": "pending", "to": "approved"}
    statuses = [status for _, _, _, status in history(engine)]
    assert statuses == ["pending", "approved", "rejected", "approved", "refunded"]


def test_it_takes_statuses_that_come_in_one_batch_in_their_order(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    events = [
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, payout=n, status=status)
        for n, status in enumerate(("lead", "sale", "sale", "refund"), 1)
    ]
    judgements = take(engine, *reversed(events))
    assert [one.verdict for one in judgements] == ["conversion", "update", "update", "update"]
    (made,) = conversions(engine)
    assert (made["status"], made["revenue"], made["version"]) == ("refunded", 3, 4)


def test_it_takes_a_rejection_before_the_approval(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    rejected, approved = (
        postback(source, subid=CLICK, tid="A", payout=5, status=word) for word in ("trash", "sale")
    )
    assert verdicts(take(engine, rejected)) == [("conversion", "matched")]
    assert verdicts(take(engine, approved)) == [("update", "transition")]


def test_it_makes_a_conversion_of_each_event_and_transaction(engine: Engine) -> None:
    source = make_source(engine)
    other = make_source(engine, "Other")
    store_click(engine)
    events = [
        postback(source, subid=CLICK, tid="A", goal="lead"),
        postback(source, subid=CLICK, tid="A", goal="sale"),
        postback(source, subid=CLICK, tid="B", goal="sale"),
        postback(other, subid=CLICK, tid="B", goal="sale"),
        postback(source, subid=CLICK, goal="sale"),
        postback(source, subid=CLICK, goal="SALE"),
    ]
    assert [one.verdict for one in take(engine, *events)] == [*["conversion"] * 5, "repeated"]


def test_it_takes_a_rebill_as_one_more_payment_of_a_new_transaction(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    take(engine, postback(source, subid=CLICK, tid="A", payout=10, status="sale"))
    rebill = {"subid": CLICK, "tid": "B", "payout": 10, "status": "rebill"}
    assert [one.verdict for one in take(engine, *(postback(source, **rebill) for _ in range(3)))] == [
        *("conversion", "repeated", "repeated"),
    ]
    assert [(row["status"], row["is_rebill"]) for row in conversions(engine)] == [
        ("approved", False),
        ("approved", True),
    ]


def test_it_waits_for_a_click_that_may_still_come(engine: Engine) -> None:
    source = make_source(engine)
    event = postback(source, subid=CLICK, tid="A1", payout="10")
    (waiting,) = take(engine, event)
    assert (waiting.verdict, waiting.why["code"]) == ("waiting", "click_not_stored_yet")
    assert waiting.next_try == NOW + timedelta(seconds=2)
    assert conversions(engine) == []
    (waiting,) = again(engine, event, now=NOW + timedelta(seconds=2))
    assert waiting.next_try == NOW + timedelta(seconds=12)
    store_click(engine)
    (made,) = again(engine, event, now=NOW + timedelta(seconds=12))
    assert verdicts([made]) == [("conversion", "matched")]
    assert rows(engine, "select attempts, next_try from postbacks") == [(2, None)]
    assert conversions(engine)[0]["at"] == NOW


def test_it_stops_waiting_after_a_day(engine: Engine) -> None:
    source = make_source(engine)
    event = postback(source, subid=CLICK)
    take(engine, event)
    (judgement,) = again(engine, event, now=NOW + timedelta(days=1))
    assert verdicts([judgement]) == [("no_click", "unknown_click")]
    assert judgement.next_try is None


@pytest.mark.parametrize("days", [-4, 2])
def test_it_waits_for_no_click_that_can_not_come(engine: Engine, days: int) -> None:
    source = make_source(engine)
    unknown = str(uuid.UUID(bytes=click_id(NOW + timedelta(days=days), 1)))
    assert verdicts(take(engine, postback(source, subid=unknown))) == [("no_click", "unknown_click")]


def test_it_keeps_a_late_one_and_does_not_count_it(engine: Engine) -> None:
    source = make_source(engine, window_days=1)
    late = {"at": NOW + timedelta(days=2), "subid": CLICK, "payout": "10"}
    store_click(engine)
    (judgement,) = take(engine, postback(source, **late), now=NOW + timedelta(days=2))
    assert (judgement.verdict, judgement.why["code"], judgement.why["days"]) == ("late", "outside_window", 1)
    (made,) = conversions(engine)
    assert (made["is_late"], made["link_id"]) == (True, 1)


def test_it_takes_a_refund_long_after_the_window(engine: Engine) -> None:
    source = make_source(engine, window_days=1)
    store_click(engine)
    take(engine, postback(source, subid=CLICK, tid="A", payout="10"))
    with engine.begin() as connection:
        connection.execute(text("truncate clicks"))  # as retention does in the end
    later = NOW + timedelta(days=90)
    refund = postback(source, at=later, subid=CLICK, tid="A", payout="-10", status="refund")
    assert verdicts(take(engine, refund, now=later)) == [("update", "transition")]
    (made,) = conversions(engine)
    assert (made["status"], made["revenue"], made["is_late"]) == ("refunded", 10, False)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ("no_click", "no_click_id")),
        ({"subid": ""}, ("no_click", "no_click_id")),
        ({"subid": "{clickid}"}, ("no_click", "literal_macro")),
        ({"subid": "hello"}, ("no_click", "bad_click_id")),
        ({"subid": "hello", "tid": "A"}, ("no_click", "bad_click_id")),
        ({"tid": "A"}, ("no_click", "no_click_id")),
        ({"coupon": "SPRING"}, ("no_click", "no_transaction")),
        ({"subid": CLICK, "payout": "NaN"}, ("unreadable", "bad_amount")),
        ({"subid": CLICK, "payout": "-5"}, ("unreadable", "bad_amount")),
        ({"subid": CLICK, "payout": "9" * 30}, ("unreadable", "bad_amount")),
        ({"subid": CLICK, "payout": "{payout}"}, ("unreadable", "bad_amount")),
        ({"subid": CLICK, "currency": "XXL"}, ("unreadable", "unknown_currency")),
        ({"subid": CLICK, "status": "maybe"}, ("unreadable", "unknown_status")),
        ({"subid": CLICK, "tid": b"\xff\xfe"}, ("unreadable", "broken_encoding")),
        ({"subid": CLICK, "status": "hold"}, ("ignored", "ignored_status")),
        ({"subid": CLICK, "tid": "{tid}", "payout": "1.234,56"}, ("conversion", "matched")),
        ({"subid": CLICK.upper().replace("-", ""), "tid": "x" * 5000}, ("unreadable", "broken_encoding")),
    ],
)
def test_it_gives_every_postback_a_verdict_with_its_reason(
    engine: Engine, parameters: dict[str, Any], expected: tuple[str, str]
) -> None:
    source = make_source(engine)
    store_click(engine)
    (judgement,) = take(engine, postback(source, **parameters))
    assert verdicts([judgement]) == [expected]
    assert judgement.verdict in VERDICTS
    assert judgement.why["code"] in REASONS
    assert len(conversions(engine)) == (judgement.verdict == "conversion")


def test_it_refuses_what_the_door_refused_and_whose_source_is_gone(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    good = postback(source, subid=CLICK)
    refused = [
        PostbackEvent(
            id=click_id(NOW, 10_000 + n), source_id=source, query=good.query, refused=reason, status=403
        )
        for n, reason in enumerate(("token", "address", "signature", "stale", "replayed", "too_large"))
    ]
    gone = postback(source + 1, subid=CLICK)
    assert verdicts(take(engine, *refused, gone)) == [
        ("refused", "source_gone"),
        *[("refused", event.refused) for event in refused],
    ]
    assert conversions(engine) == []


def test_it_lets_no_source_hold_up_the_others(engine: Engine) -> None:
    broken, source = make_source(engine, "broken"), make_source(engine)
    store_click(engine)
    with engine.begin() as connection:
        connection.execute(
            text("update conversion_sources set settings = '{\"fields\": 7}' where id = :id"), {"id": broken}
        )
    told = take(engine, postback(broken, subid=CLICK), postback(source, subid=CLICK))
    assert verdicts(told) == [("refused", "source_gone"), ("conversion", "matched")]


def test_it_refuses_a_click_of_another_campaigns_link(engine: Engine) -> None:
    source = make_source(engine, campaigns=(4,))
    store_click(engine)
    assert verdicts(take(engine, postback(source, subid=CLICK))) == [("refused", "other_campaign")]


def test_it_keeps_a_live_test_apart(engine: Engine) -> None:
    source = make_source(engine)
    with engine.begin() as connection:
        connection.execute(
            text("insert into source_tests (click_id, source_id) values (:id, :source)"),
            {"id": CLICK, "source": source},
        )
    (judgement,) = take(engine, postback(source, subid=CLICK, payout="3"))
    assert verdicts([judgement]) == [("test", "test")]
    assert judgement.reading.amount == 3
    assert conversions(engine) == []


def test_it_says_that_the_click_is_a_robots(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine, bot_reason="agent")
    (judgement,) = take(engine, postback(source, subid=CLICK))
    assert (judgement.verdict, judgement.why["bot"]) == ("conversion", "agent")


def test_it_credits_a_customers_next_order_to_the_click_of_the_last_or_first_one(engine: Engine) -> None:
    allowed = ("click", "customer")
    last = make_source(engine, "last", attribution=allowed)
    first = make_source(engine, "first", attribution=allowed, model="first")
    none = make_source(engine, "none")
    old = store_click(engine, at=NOW - timedelta(days=3), tail=1, link_id=10)
    young = store_click(engine, at=NOW - timedelta(days=2), tail=2, link_id=20)
    for source in (last, first, none):
        take(
            engine,
            postback(source, subid=old, tid="1", customer="c7"),
            postback(source, subid=young, tid="2", customer="c7"),
        )
    told = [
        take(engine, postback(source, tid="3", customer="c7", payout=5))[0] for source in (last, first, none)
    ]
    assert verdicts(told) == [
        ("conversion", "by_customer"),
        ("conversion", "by_customer"),
        ("no_click", "no_click_id"),
    ]
    made = [(row["link_id"], str(row["click_id"]), row["attributed_by"]) for row in conversions(engine)]
    assert made[-2:] != made[:2]
    assert (20, young, "customer") in made
    assert (10, old, "customer") in made
    (again_,) = take(engine, postback(last, tid="3", customer="c7", payout=5))
    assert verdicts([again_]) == [("repeated", "same")]
    (stranger,) = take(engine, postback(last, tid="4", customer="c8", payout=5))
    assert verdicts([stranger]) == [("no_click", "no_click_id")]


def test_it_credits_a_customer_within_one_batch_and_the_window(engine: Engine) -> None:
    source = make_source(engine, attribution=("click", "customer"), window_days=2)
    store_click(engine)
    later = NOW + timedelta(days=3)
    told = take(
        engine,
        postback(source, subid=CLICK, tid="1", customer="c7"),
        postback(source, tid="2", customer="c7"),
        postback(source, tid="3", customer="c7", at=later),
        now=later,
    )
    assert [one.verdict for one in told] == ["conversion", "conversion", "no_click"]


def test_it_credits_a_coupon_to_its_link(engine: Engine) -> None:
    source = make_source(engine, attribution=("click", "coupon"))
    with engine.begin() as connection:
        connection.execute(text("insert into domains (host) values ('go.example.com')"))
        connection.execute(
            text("insert into links (domain_id, slug, slug_key, url) values (1, 'a', 'a', 'https://x.y')")
        )
        connection.execute(text("insert into coupons (code, link_id) values ('spring', 1)"))
    (judgement,) = take(engine, postback(source, tid="1", coupon="SPRING", payout="7"))
    assert verdicts([judgement]) == [("conversion", "by_coupon")]
    (made,) = conversions(engine)
    assert (made["link_id"], made["click_id"], made["attributed_by"]) == (1, None, "coupon")


def test_it_counts_payout_and_cost(engine: Engine) -> None:
    store_click(engine)
    rules = [("percent", "12.5"), ("fixed", "3"), ("parameter", "0"), ("none", "0")]
    for kind, payout in rules:
        source = make_source(engine, kind, payout_kind=kind, payout=payout)
        take(engine, postback(source, subid=CLICK, payout="10", cost="0.4", paid="2"))
    found = [(row["payout"], row["cost"]) for row in conversions(engine)]
    assert found == [
        (Decimal("1.25"), Decimal("0.4")),
        (3, Decimal("0.4")),
        (2, Decimal("0.4")),
        (0, Decimal("0.4")),
    ]


def test_it_counts_at_the_rate_of_the_day_and_without_one_not_at_all(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into exchange_rates (currency, day, rate) values ('BRL', :day, 0.2), ('BRL', :next, 0.5)"
            ),
            {"day": NOW.date() - timedelta(days=3), "next": NOW.date() + timedelta(days=1)},
        )
    take(
        engine,
        postback(source, subid=CLICK, tid="1", payout="100", currency="brl", cost="10"),
        postback(source, subid=CLICK, tid="2", payout="100", currency="EUR"),
        postback(source, subid=CLICK, tid="3", payout="100"),
    )
    found = [
        (row["currency"], row["rate"], row["report_revenue"], row["report_cost"])
        for row in conversions(engine)
    ]
    assert found == [("BRL", Decimal("0.2"), 20, 2), ("EUR", None, None, None), ("USD", 1, 100, 0)]


def test_it_says_what_it_would_do_and_does_nothing(engine: Engine) -> None:
    source = make_source(engine)
    event = postback(source, subid=CLICK, payout="10")
    take(engine, event)
    store_click(engine)
    before = rows(engine, "select verdict, why, judged_at from postbacks")
    with engine.begin() as connection:
        stored = rows_of(connection, [uuid.UUID(bytes=event.id)], locked=True)
        (told,) = preview(
            connection, stored, sources=load_sources(connection), now=NOW, report_currency=REPORT
        )
    assert (told.verdict, told.changed, told.before) == ("conversion", True, {})
    assert told.after == {"status": "approved", "revenue": "10", "currency": "USD"}
    assert conversions(engine) == []
    assert rows(engine, "select verdict, why, judged_at from postbacks") == before
