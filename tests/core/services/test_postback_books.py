"""The books of postbacks: what was received is in the inbox with a verdict, set aside, or waits."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.contracts import keys
from core.contracts.click_event import hour_name
from core.contracts.postback_event import encode
from core.db.postback_store import prune, store
from core.services.postback_books import (
    PostbackBooks,
    copy_postback_books,
    forget_postback_hours,
    read_postback_books,
)
from tasks.streams import StreamStorage
from tests.core.db.postbacks import CLICK, make_source, postback, store_click, take
from tests.core.db.samples import NOW, rows
from tests.core.services.queues.conftest import Bury, bury, storage

__all__ = ["bury", "storage"]  # fixtures

pytestmark = pytest.mark.usefixtures("clean_database")

HOUR = hour_name(int(NOW.timestamp() * 1000))
LATER = NOW + timedelta(hours=3)


def read(
    engine: Engine, valkey: redis.Redis, *, now: datetime = LATER, kept_days: int = 180
) -> PostbackBooks:
    with Session(engine) as session:
        return read_postback_books(session, valkey, now=now, hours=48, kept_days=kept_days)


def test_it_balances_what_was_received_with_what_became_of_it(
    engine: Engine, valkey: redis.Redis, storage: StreamStorage, bury: Bury
) -> None:
    source = make_source(engine)
    store_click(engine)
    take(
        engine,
        postback(source, subid=CLICK, tid="A"),
        postback(source, subid=CLICK, tid="A"),
        postback(source),
    )
    valkey.hset(keys.RECEIVED, HOUR, 6)
    bury("conversion", encode(postback(source)))
    valkey.xadd(keys.stream("conversion"), {keys.EVENT_FIELD: encode(postback(source))})
    valkey.xadd(keys.held("conversion"), {keys.EVENT_FIELD: encode(postback(source))})
    found = read(engine, valkey)
    total = found.books.total
    assert (found.state, total.accepted, total.stored, total.dead) == ("balanced", 6, 3, 1)
    assert (found.books.waiting, found.books.running, found.books.missing, found.unaccounted) == (2, 0, 0, 0)
    assert found.verdicts == {
        "conversion": {"matched": 1},
        "repeated": {"same": 1},
        "no_click": {"no_click_id": 1},
    }


def test_it_sees_a_postback_that_vanished_on_its_way(engine: Engine, valkey: redis.Redis) -> None:
    take(engine, postback(make_source(engine)))
    valkey.hset(keys.RECEIVED, HOUR, 2)
    assert (read(engine, valkey).state, read(engine, valkey).books.missing) == ("unbalanced", 1)
    assert read(engine, valkey, now=NOW).books.missing == 1


def test_it_sees_a_postback_that_vanished_from_the_inbox(engine: Engine, valkey: redis.Redis) -> None:
    take(engine, postback(make_source(engine)), postback(1))
    valkey.hset(keys.RECEIVED, HOUR, 2)
    with engine.begin() as connection:
        connection.execute(text("delete from postbacks where id = (select id from postbacks limit 1)"))
    found = read(engine, valkey)
    assert (found.state, found.unaccounted) == ("unbalanced", 1)


def test_it_misses_nothing_that_the_inbox_keeps_no_longer(engine: Engine, valkey: redis.Redis) -> None:
    take(engine, postback(make_source(engine)), postback(1, at=LATER), now=LATER)
    valkey.hset(keys.RECEIVED, mapping={HOUR: 1, hour_name(int(LATER.timestamp() * 1000)): 1})
    next_day = LATER + timedelta(hours=23)
    with engine.begin() as connection:
        assert prune(connection, before=next_day - timedelta(days=1), most=9) == 1
    assert read(engine, valkey, now=next_day, kept_days=1).state == "balanced"


def test_it_counts_a_letter_of_a_postback_in_the_inbox_once(
    engine: Engine, valkey: redis.Redis, bury: Bury
) -> None:
    event = postback(make_source(engine))
    with engine.begin() as connection:
        store(connection, [event], now=NOW)
    valkey.hset(keys.RECEIVED, HOUR, 1)
    bury("conversion", encode(event))
    found = read(engine, valkey)
    assert (found.state, found.books.total.dead, found.verdicts) == ("balanced", 0, {"new": {"": 1}})


def test_it_copies_the_counts_and_forgets_them_after_35_days(
    engine: Engine, valkey: redis.Redis, bury: Bury
) -> None:
    assert copy_postback_books(engine, valkey) == 0
    old = NOW - timedelta(days=40)
    valkey.hset(keys.RECEIVED, mapping={HOUR: 5, hour_name(int(old.timestamp() * 1000)): 3})
    bury("conversion", encode(postback(1)))
    assert copy_postback_books(engine, valkey) == 2
    valkey.hset(keys.RECEIVED, HOUR, 1)
    copy_postback_books(engine, valkey)
    hours = [old.replace(minute=0), NOW.replace(minute=0)]
    kept = [(hours[0], 3, 0), (hours[1], 5, 1)]
    assert rows(engine, "select hour, received, dead from postback_books order by hour") == kept
    assert forget_postback_hours(engine, valkey, now=NOW) == 1
    assert list(valkey.hgetall(keys.RECEIVED)) == [HOUR.encode()]
    assert rows(engine, "select hour, received, dead from postback_books order by hour") == kept
    assert hours[0].tzinfo == UTC
