"""Many at once: whoever judges at the same time, the outcome is that of one after the other."""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine

from core.contracts.postback_event import PostbackEvent
from core.db.conversion_store import Judgement
from core.db.postback_store import store
from tests.core.db.postbacks import (
    CLICK,
    again,
    conversions,
    history,
    judge_in,
    make_source,
    postback,
    store_click,
    take,
)
from tests.core.db.samples import NOW, rows

pytestmark = pytest.mark.usefixtures("clean_database")

THREADS = 8


def at_once(work: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of it at the same moment, each in a thread."""
    start = Barrier(len(work))

    def run(one: Callable[[], Any]) -> Any:
        start.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def taking(engine: Engine, *events: PostbackEvent) -> Callable[[], list[Judgement]]:
    return lambda: take(engine, *events)


@pytest.mark.parametrize("duplicates", ["ignore", "update"])
def test_it_makes_one_conversion_of_the_same_postback_ten_times_in_parallel(
    engine: Engine, duplicates: str
) -> None:
    source = make_source(engine, duplicates=duplicates)
    store_click(engine)
    for number in range(5):
        same = {"subid": CLICK, "tid": f"T{number}", "payout": "10"}
        told = at_once([taking(engine, postback(source, **same)) for _ in range(10)])
        assert Counter(one.verdict for (one,) in told) == {"conversion": 1, "repeated": 9}
    assert len(conversions(engine)) == len(history(engine)) == 5


def test_it_counts_each_repeat_once_where_each_counts(engine: Engine) -> None:
    source = make_source(engine, duplicates="repeat")
    store_click(engine)
    same = {"subid": CLICK, "tid": "A", "payout": "10"}
    events = [postback(source, **same) for _ in range(10)]
    told = at_once([taking(engine, event) for event in events])
    assert Counter(one.verdict for (one,) in told) == {"conversion": 10}
    assert sorted(row["repeat"] for row in conversions(engine)) == list(range(10))
    at_once([lambda event=event: again(engine, event) for event in events])  # type: ignore[misc]
    assert len(conversions(engine)) == 10


def test_it_judges_one_postback_once_whoever_brings_it(engine: Engine) -> None:
    source = make_source(engine, duplicates="rebill")
    store_click(engine)
    event = postback(source, subid=CLICK, tid="A", payout="10")
    at_once([taking(engine, event)] * THREADS)
    assert len(conversions(engine)) == 1
    assert rows(engine, "select stored, duplicate from postback_books") == [(1, THREADS - 1)]


def test_it_lets_an_approval_and_an_update_of_the_amount_pass_each_other(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    for number in range(10):
        tid = f"T{number}"
        take(engine, postback(source, subid=CLICK, tid=tid, payout="1", status="lead"))
        seconds = [timedelta(seconds=n) for n in (1, 2, 3)]
        at_once(
            [
                taking(
                    engine,
                    postback(source, at=NOW + seconds[0], subid=CLICK, tid=tid, payout="2", status="lead"),
                ),
                taking(engine, postback(source, at=NOW + seconds[1], subid=CLICK, tid=tid, status="sale")),
                taking(
                    engine,
                    postback(source, at=NOW + seconds[2], subid=CLICK, tid=tid, payout="3", status="sale"),
                ),
            ]
        )
    found = conversions(engine)
    assert {(row["status"], row["revenue"]) for row in found} == {("approved", 3)}
    versions = Counter(conversion for conversion, *_ in history(engine))
    assert all(versions[row["id"]] == row["version"] for row in found)


def test_it_deadlocks_with_nobody_over_the_same_conversions_in_any_order(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    dice = random.Random(6)

    def batch() -> list[PostbackEvent]:
        names = [f"T{number}" for number in range(40)]
        dice.shuffle(names)
        return [
            postback(source, subid=CLICK, tid=name, payout="10", status=dice.choice(("lead", "sale")))
            for name in names
        ]

    at_once([taking(engine, *batch()) for _ in range(THREADS)])
    found = conversions(engine)
    assert len(found) == 40
    assert {row["revenue"] for row in found} == {10}
    verdicts = dict(rows(engine, "select verdict, count(*) from postbacks group by 1"))
    assert verdicts["conversion"] == 40
    assert sum(verdicts.values()) == 40 * THREADS


def test_it_waits_for_who_was_first_and_takes_over_when_that_fails(engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    mine, theirs = (postback(source, subid=CLICK, tid="A", payout=n) for n in (1, 2))
    with engine.begin() as connection:
        store(connection, [mine, theirs], now=NOW)
    with ThreadPoolExecutor(1) as pool, engine.connect() as connection:
        judge_in(connection, [uuid.UUID(bytes=mine.id)])
        waiting = pool.submit(again, engine, theirs)
        connection.rollback()
        (told,) = waiting.result(timeout=30)
    assert told.verdict == "conversion"
    assert [row["revenue"] for row in conversions(engine)] == [2]
