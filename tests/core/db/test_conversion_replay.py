"""Postbacks that are judged again: what they had brought about is corrected, and nothing happens twice."""

import json
import random
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from core.domain.sources import SourceSettings, stored
from tests.core.db.postbacks import (
    CLICK,
    FIELDS,
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
from tests.core.db.samples import NOW, click_id, rows

pytestmark = pytest.mark.usefixtures("clean_database")

LATER = NOW + timedelta(hours=1)


def change(engine: Engine, source_id: int, **settings: Any) -> None:
    """Set a source up otherwise."""
    given = {"fields": FIELDS, "statuses": STATUSES, "currency": "USD", **settings}
    with engine.begin() as connection:
        connection.execute(
            text("update conversion_sources set settings = cast(:settings as jsonb) where id = :id"),
            {"id": source_id, "settings": json.dumps(stored(SourceSettings(**given)))},
        )


def set_status(engine: Engine, status: str) -> None:
    """As a person does on the page of a conversion, an hour later."""
    with engine.begin() as connection:
        connection.execute(
            text("update conversions set status = :status, version = version + 1"), {"status": status}
        )
        connection.execute(
            text(
                "insert into conversion_history (conversion_id, version, at, actor, action, status, changed)"
                " select id, version, :at, 'user:1', 'edit', status, '{\"status\": []}' from conversions"
            ),
            {"at": LATER},
        )


def test_it_changes_nothing_when_nothing_is_different(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    events = [
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A", payout=n, status=status)
        for n, status in enumerate(("lead", "sale", "sale", "sale", "trash"), 1)
    ]
    events += [
        postback(source, at=LATER, subid="", tid="B"),
        postback(source, at=LATER, subid=CLICK, payout="x"),
    ]
    first = take(engine, *events, now=LATER)
    before = (conversions(engine), history(engine))
    for _ in range(2):
        told = again(engine, *events, now=LATER)
        assert [one.changed for one in told] == [False] * len(events)
        assert verdicts(told) == verdicts(first)
        assert (conversions(engine), history(engine)) == before


@pytest.mark.parametrize("duplicates", ["ignore", "update", "rebill", "repeat"])
def test_it_corrects_an_amount_that_was_read_wrongly(engine: Engine, duplicates: str) -> None:
    wrong = {**FIELDS, "amount": ("nothing",)}
    source = make_source(engine, fields=wrong, duplicates=duplicates)
    store_click(engine)
    event = postback(source, subid=CLICK, tid="A", payout="12,34")
    take(engine, event)
    assert conversions(engine)[0]["revenue"] == 0
    change(engine, source, duplicates=duplicates)
    (told,) = again(engine, event, now=LATER)
    assert (told.verdict, told.why["code"], told.changed) == ("conversion", "corrected", True)
    assert (told.before["revenue"], told.after["revenue"]) == ("0", "12.34")
    assert [float(row["revenue"]) for row in conversions(engine)] == [12.34]
    assert history(engine)[-1][1:] == (2, "correct", "approved")
    (told,) = again(engine, event, now=LATER)
    assert not told.changed


def test_it_corrects_a_status_unless_somebody_has_spoken_since(engine: Engine) -> None:
    source = make_source(engine, statuses={**STATUSES, "sale": "pending"})
    store_click(engine)
    event = postback(source, subid=CLICK, tid="A", payout="1", status="sale")
    take(engine, event)
    set_status(engine, "refunded")
    change(engine, source)
    (told,) = again(engine, event, now=LATER)
    assert (told.verdict, told.changed) == ("conversion", False)
    assert conversions(engine)[0]["status"] == "refunded"


def test_it_lets_no_older_postback_overrule_a_newer_one(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    lead, sale, trash = (
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid="A", payout=n, status=status)
        for n, status in enumerate(("lead", "sale", "trash"), 1)
    )
    take(engine, lead)
    assert verdicts(take(engine, trash)) == [("update", "transition")]
    assert verdicts(take(engine, sale)) == [("repeated", "older")]
    assert conversions(engine)[0]["status"] == "rejected"
    again(engine, lead, sale, trash)
    assert (conversions(engine)[0]["status"], len(history(engine))) == ("rejected", 2)


def test_it_keeps_its_conversion_when_the_transaction_is_read_otherwise(engine: Engine) -> None:
    source = make_source(engine, fields={**FIELDS, "transaction_id": ("nothing",)})
    store_click(engine)
    events = [postback(source, subid=CLICK, tid=f"T{n}", payout="5") for n in range(3)]
    assert [one.verdict for one in take(engine, *events)] == ["conversion", "repeated", "repeated"]
    change(engine, source)
    told = again(engine, *events, now=LATER)
    assert [(one.verdict, one.changed) for one in told] == [("conversion", True)] * 3
    assert [row["transaction_id"] for row in conversions(engine)] == ["T0", "T1", "T2"]
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False] * 3


def test_it_adds_no_second_conversion_where_a_person_has_spoken_since(engine: Engine) -> None:
    source = make_source(engine, fields={**FIELDS, "transaction_id": ("nothing",)})
    store_click(engine)
    event = postback(source, subid=CLICK, tid="A", payout="5")
    take(engine, event)
    set_status(engine, "rejected")
    change(engine, source)
    assert [one.verdict for one in again(engine, event, now=LATER)] == ["conversion"]
    found = [(row["transaction_id"], row["status"], row["revenue"]) for row in conversions(engine)]
    assert found == [("A", "rejected", 5)]


def test_it_makes_a_conversion_under_the_key_that_another_one_leaves(engine: Engine) -> None:
    source = make_source(engine, fields={**FIELDS, "transaction_id": ("nothing",)})
    store_click(engine)
    events = [postback(source, subid=CLICK, tid="A", payout="5"), postback(source, subid=CLICK, payout="7")]
    assert [one.verdict for one in take(engine, *events)] == ["conversion", "update"]
    change(engine, source)
    assert [one.verdict for one in again(engine, *events, now=LATER)] == ["conversion", "conversion"]
    assert {row["transaction_id"]: row["revenue"] for row in conversions(engine)} == {"A": 5, "": 7}
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False, False]


def test_it_keeps_what_later_postbacks_said_when_their_transaction_is_read_otherwise(engine: Engine) -> None:
    source = make_source(engine, fields={**FIELDS, "transaction_id": ("nothing",)})
    store_click(engine)
    events = [
        postback(source, at=NOW + timedelta(seconds=n), subid=CLICK, tid=tid, payout="5", status=status)
        for n, (tid, status) in enumerate((("A", "lead"), ("B", "sale"), ("A", "trash"), ("B", "refund")))
    ]
    take(engine, *events, now=LATER)
    change(engine, source)
    again(engine, *events, now=LATER)
    found = {row["transaction_id"]: row["status"] for row in conversions(engine)}
    assert found == {"A": "rejected", "B": "refunded"}
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False] * 4


def test_it_joins_a_conversion_that_another_postback_had_made(engine: Engine) -> None:
    source = make_source(engine, fields={**FIELDS, "transaction_id": ("tid", "order")})
    store_click(engine)
    first, second = (
        postback(source, subid=CLICK, tid="A", payout="5"),
        postback(source, subid=CLICK, order="B", payout="5"),
    )
    assert [one.verdict for one in take(engine, first, second)] == ["conversion", "conversion"]
    change(engine, source, fields={**FIELDS, "transaction_id": ("nothing",)})
    told = again(engine, first, second, now=LATER)
    assert [one.verdict for one in told] == ["conversion", "repeated"]
    assert [(row["transaction_id"], row["status"]) for row in conversions(engine)] == [
        ("", "approved"),
        ("B", "rejected"),
    ]
    assert [one.changed for one in again(engine, first, second, now=LATER)] == [False, False]


def test_it_knows_what_was_credited_when_the_click_is_gone(engine: Engine) -> None:
    source = make_source(engine, fields={**FIELDS, "transaction_id": ("nothing",)})
    store_click(engine)
    event = postback(source, subid=CLICK, tid="A", payout="5")
    take(engine, event)
    with engine.begin() as connection:
        connection.execute(text("truncate clicks"))
    change(engine, source)
    (told,) = again(engine, event, now=NOW + timedelta(days=400))
    assert told.verdict == "conversion"
    assert [(row["transaction_id"], row["link_id"]) for row in conversions(engine)] == [("A", 1)]


def test_it_takes_back_what_it_would_not_make_now(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    event = postback(source, subid=CLICK, tid="A", payout="5", status="sale")
    take(engine, event)
    change(engine, source, statuses={"sale": "ignore"})
    (told,) = again(engine, event, now=LATER)
    assert (told.verdict, told.why["code"], told.changed) == ("ignored", "ignored_status", True)
    assert (told.before["status"], told.after["status"]) == ("approved", "rejected")
    assert history(engine)[-1][1:] == (2, "withdraw", "rejected")
    assert [one.changed for one in again(engine, event, now=LATER)] == [False]
    change(engine, source)
    (told,) = again(engine, event, now=LATER)
    assert (told.verdict, told.why["code"], told.changed) == ("conversion", "corrected", True)
    assert [(row["status"], row["revenue"]) for row in conversions(engine)] == [("approved", 5)]


@pytest.mark.parametrize(("word", "status"), [("lead", "pending"), ("sale", "approved")])
def test_it_restores_what_it_had_taken_back_whatever_its_status_was(
    engine: Engine, word: str, status: str
) -> None:
    source = make_source(engine)
    store_click(engine)
    event = postback(source, subid=CLICK, tid="A", payout="5", status=word)
    take(engine, event)
    change(engine, source, fields={**FIELDS, "amount": ("subid",)})
    assert verdicts(again(engine, event, now=LATER)) == [("unreadable", "bad_amount")]
    assert [row["status"] for row in conversions(engine)] == ["rejected"]
    change(engine, source)
    assert verdicts(again(engine, event, now=LATER)) == [("conversion", "corrected")]
    assert [row["status"] for row in conversions(engine)] == [status]
    assert [one.changed for one in again(engine, event, now=LATER)] == [False]


@pytest.mark.parametrize("word", ["lead", "sale"])
@pytest.mark.parametrize("comes", [True, False])
def test_it_does_not_count_a_sale_while_it_waits_for_another_click(
    engine: Engine, word: str, comes: bool
) -> None:
    source = make_source(engine, fields={**FIELDS, "click_id": ("subid",)})
    store_click(engine)
    clicked_at = NOW - timedelta(minutes=5)
    other = str(uuid.UUID(bytes=click_id(clicked_at, 9)))
    event = postback(source, subid=CLICK, clickid=other, tid="A", payout="10", status=word)
    take(engine, event)
    (counting,) = (row["status"] for row in conversions(engine))
    change(engine, source, fields={**FIELDS, "click_id": ("clickid",)})
    assert verdicts(again(engine, event, now=LATER)) == [("waiting", "click_not_stored_yet")]
    assert [row["status"] for row in conversions(engine)] == ["rejected"]
    if comes:
        store_click(engine, at=clicked_at, tail=9)
        assert [one.verdict for one in again(engine, event, now=LATER)] == ["conversion"]
    else:
        (told,) = again(engine, event, now=NOW + timedelta(days=1))
        assert verdicts([told]) == [("no_click", "unknown_click")]
    found = [(str(row["ref_click"]), row["status"]) for row in conversions(engine)]
    assert found == [(other, counting) if comes else (CLICK, "rejected")]


def test_it_counts_a_late_one_when_the_window_is_wider_now(engine: Engine) -> None:
    source = make_source(engine, window_days=1)
    store_click(engine, at=NOW - timedelta(days=5))
    event = postback(source, subid=store_click(engine, at=NOW - timedelta(days=5)), payout="5")
    assert [one.verdict for one in take(engine, event)] == ["late"]
    change(engine, source, window_days=30)
    assert [one.verdict for one in again(engine, event)] == ["conversion"]
    assert [row["is_late"] for row in conversions(engine)] == [False]


def test_it_makes_a_conversion_of_what_could_not_be_read(engine: Engine) -> None:
    source = make_source(engine, statuses={})
    store_click(engine)
    event = postback(source, subid=CLICK, status="Sale", payout="5")
    assert verdicts(take(engine, event)) == [("unreadable", "unknown_status")]
    change(engine, source)
    assert verdicts(again(engine, event)) == [("conversion", "matched")]
    assert rows(engine, "select count(*) from conversions") == [(1,)]


@pytest.mark.parametrize("duplicates", ["ignore", "update", "rebill", "repeat"])
@pytest.mark.parametrize("seed", range(6))
def test_it_comes_to_rest_whatever_came_and_however_often_it_is_judged(
    engine: Engine, duplicates: str, seed: int
) -> None:
    dice = random.Random(seed)
    source = make_source(engine, duplicates=duplicates, fields={**FIELDS, "transaction_id": ("nothing",)})
    store_click(engine)
    words = ("lead", "sale", "trash", "refund", "rebill", "hold", "x")
    events = [
        postback(
            source,
            at=NOW + timedelta(seconds=dice.randrange(60)),
            subid=CLICK,
            tid=dice.choice(("A", "B", "")),
            payout=dice.choice(("5", "7", "-1", "")),
            status=dice.choice(words),
        )
        for _ in range(12)
    ]
    for start in range(0, 12, 3):
        take(engine, *events[start : start + 3], now=LATER)
    change(engine, source, duplicates=duplicates)
    again(engine, *dice.sample(events, 12), now=LATER)
    again(engine, *events, now=LATER)
    before = (conversions(engine), history(engine))
    assert [one.changed for one in again(engine, *events, now=LATER)] == [False] * 12
    assert (conversions(engine), history(engine)) == before
    versions = {conversion: version for conversion, version, *_ in history(engine)}
    assert versions == {row["id"]: row["version"] for row in conversions(engine)}
    verdicts_of = rows(engine, "select verdict, conversion_id from postbacks")
    makers = [conversion for verdict, conversion in verdicts_of if verdict == "conversion"]
    assert len(makers) == len(set(makers))


@pytest.mark.parametrize("seed", range(12))
def test_it_comes_to_rest_however_its_source_is_set_up_meanwhile(engine: Engine, seed: int) -> None:
    dice = random.Random(seed)

    def any_settings() -> dict[str, Any]:
        word, status = dice.choice(tuple(STATUSES)), dice.choice(("ignore", "approved", "pending"))
        return {
            "duplicates": dice.choice(("ignore", "update", "rebill", "repeat")),
            "fields": {**FIELDS, "transaction_id": (dice.choice(("nothing", "tid", "order")),)},
            "statuses": {**STATUSES, word: status},
        }

    source = make_source(engine, **any_settings())
    store_click(engine)
    for _ in range(4):
        events = [
            postback(
                source,
                at=NOW + timedelta(seconds=dice.randrange(60)),
                subid=CLICK,
                tid=dice.choice("AB"),
                order=dice.choice("AC"),
                payout=dice.choice(("5", "7", "")),
                status=dice.choice(("lead", "sale", "trash", "refund")),
            )
            for _ in range(6)
        ]
        take(engine, *events, now=LATER)
        change(engine, source, **any_settings())
        for _ in range(3):
            again(engine, *events, now=LATER)
        assert [one.changed for one in again(engine, *events, now=LATER)] == [False] * 6
    versions = {conversion: version for conversion, version, *_ in history(engine)}
    assert versions == {row["id"]: row["version"] for row in conversions(engine)}
