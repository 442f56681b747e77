"""What the schedule runs does what it says, and twice does no harm."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import keys
from core.db.models import PasswordReset, User
from core.db.models import Session as SignIn
from core.db.postback_store import store
from core.db.tracking import Books, VisitorKey
from tasks import housekeeping
from tasks.registry import Context
from tests.core.db.postbacks import postback
from tests.core.db.samples import rows

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def context(settings: Settings, engine: Engine, db: Session, valkey: redis.Redis) -> Context:
    return Context(settings=settings, engine=engine, redis=valkey)


def accepted(db: Session) -> dict[datetime, int]:
    db.rollback()
    rows = db.execute(select(Books.hour, func.sum(Books.accepted)).group_by(Books.hour))
    return {hour: int(count) for hour, count in rows}


def test_it_copies_accepted_clicks_and_never_lowers_them(
    context: Context, db: Session, valkey: redis.Redis
) -> None:
    hour = datetime(2026, 3, 10, 11, tzinfo=UTC)
    assert housekeeping.copy_books(context, NOW) == "none yet"
    valkey.hset(keys.ACCEPTED, mapping={"2026031011": 5, "2026031010": 3})
    housekeeping.copy_books(context, NOW)
    valkey.hset(keys.ACCEPTED, "2026031011", 9)
    housekeeping.copy_books(context, NOW)
    valkey.hset(keys.ACCEPTED, "2026031011", 1)
    housekeeping.copy_books(context, NOW)
    assert accepted(db) == {hour: 9, hour - timedelta(hours=1): 3}


def test_it_adds_up_what_each_tracker_has_answered(
    context: Context, db: Session, valkey: redis.Redis
) -> None:
    hour = datetime(2026, 3, 10, 11, tzinfo=UTC)
    old = keys.answered_field("2026010100", "1-gone")
    counts = {
        keys.answered_field("2026031011", "1-a"): 5,
        keys.answered_field("2026031011", "2-b"): 7,
        old: 3,
    }
    valkey.hset(keys.ANSWERED, mapping=counts)
    housekeeping.copy_books(context, NOW)
    valkey.hset(keys.ACCEPTED, "2026031011", 11)
    valkey.hdel(keys.ANSWERED, keys.answered_field("2026031011", "2-b"))
    housekeeping.copy_books(context, NOW)
    found = db.execute(select(Books.hour, Books.accepted, Books.answered).order_by(Books.hour)).all()
    assert [tuple(row) for row in found] == [
        (datetime(2026, 1, 1, tzinfo=UTC), 0, 3),
        (hour, 11, 12),
    ]
    housekeeping.reconcile(context, NOW)
    assert valkey.hkeys(keys.ANSWERED) == [b"2026031011:1-a"]


def test_it_leaves_what_was_stored_alone(context: Context, db: Session, valkey: redis.Redis) -> None:
    hour = datetime(2026, 3, 10, 11, tzinfo=UTC)
    db.execute(insert(Books).values(hour=hour, shard=0, stored=4))
    db.execute(insert(Books).values(hour=hour, shard=3, stored=2))
    db.commit()
    valkey.hset(keys.ACCEPTED, "2026031011", 6)
    housekeeping.copy_books(context, NOW)
    assert accepted(db) == {hour: 6}
    assert db.scalar(select(func.sum(Books.stored))) == 6


def test_it_takes_hours_long_past_out_of_redis_when_it_reconciles(
    context: Context, db: Session, valkey: redis.Redis
) -> None:
    valkey.hset(keys.ACCEPTED, mapping={"2026010100": 5, "2026031010": 3})
    valkey.hset(keys.ANSWERED, mapping={"2026010100:a": 4, "2026010100:b": 1, "2026031010:a": 3})
    for more in (0, 2, 3):  # a spool that is still being replayed
        valkey.hincrby(keys.ACCEPTED, "2026010100", more)
        housekeeping.copy_books(context, NOW)
    assert valkey.hlen(keys.ACCEPTED) == 2
    housekeeping.reconcile(context, NOW)
    assert valkey.hkeys(keys.ACCEPTED) == [b"2026031010"]
    assert valkey.hkeys(keys.ANSWERED) == [b"2026031010:a"]
    assert accepted(db)[datetime(2026, 1, 1, tzinfo=UTC)] == 10


def test_it_republishes_when_the_marker_is_missing(context: Context, valkey: redis.Redis) -> None:
    assert housekeeping.republish_when_missing(context, NOW) == "0 links published"
    assert valkey.exists(keys.SNAPSHOTS_READY)
    assert housekeeping.republish_when_missing(context, NOW) == "all there"


def test_it_forgets_visitors_after_three_days(context: Context, db: Session) -> None:
    days = [NOW.date() - timedelta(days=age) for age in range(6)]
    db.execute(insert(VisitorKey).values([{"day": day, "key": b"k"} for day in days]))
    db.commit()
    housekeeping.prune_visitors(context, NOW)
    assert sorted(db.scalars(select(VisitorKey.day))) == sorted(days[:4])


def test_it_removes_what_has_expired(context: Context, db: Session) -> None:
    person = User(email="a@example.com", name="A", role="viewer", password_hash="x")
    db.add(person)
    db.flush()
    for token, expires in ((b"old", NOW - timedelta(seconds=1)), (b"new", NOW + timedelta(hours=1))):
        db.add(SignIn(token_hash=token, user_id=person.id, seen_at=NOW, expires_at=expires))
        db.add(PasswordReset(token_hash=token, user_id=person.id, expires_at=expires))
    db.commit()
    assert housekeeping.prune_sessions(context, NOW) == "1 sessions and 1 resets removed"
    assert db.scalars(select(SignIn.token_hash)).all() == [b"new"]
    assert db.scalars(select(PasswordReset.token_hash)).all() == [b"new"]


def test_it_trims_dead_letters_after_seven_days(context: Context, valkey: redis.Redis) -> None:
    now_ms = int(NOW.timestamp() * 1000)
    for queue in ("track", "system"):
        valkey.xadd(keys.dead(queue), {"reason": "old"}, id=f"{now_ms - keys.DEAD_TTL_MS - 1000}-0")
        valkey.xadd(keys.dead(queue), {"reason": "young"}, id=f"{now_ms - keys.DEAD_TTL_MS + 60_000}-0")
    assert housekeeping.trim_dead_letters(context, NOW) == "2 removed"
    assert [letter[b"reason"] for _, letter in valkey.xrange(keys.dead("track"))] == [b"young"]


def test_it_forgets_old_postbacks_and_where_others_came_from(context: Context, engine: Engine) -> None:
    ages = (181, 179, 8, 6)
    events = [postback(0, at=NOW - timedelta(days=age), subid="x") for age in ages]
    with engine.begin() as connection:
        store(connection, events, now=NOW)
    assert housekeeping.prune_postbacks(context, NOW) == "1 postbacks removed, addresses of 2 forgotten"
    assert housekeeping.prune_postbacks(context, NOW) == "0 postbacks removed, addresses of 0 forgotten"
    assert rows(engine, "select host(ip) from postbacks order by id") == [(None,), (None,), ("203.0.113.9",)]


def test_it_says_why_a_feed_of_rates_failed(context: Context) -> None:
    assert housekeeping.exchange_rates(context, NOW) == "no feed, 0 conversions counted again"
    private = replace(context, settings=replace(context.settings, rates_url="http://127.0.0.1:1/rates"))
    said = housekeeping.exchange_rates(private, NOW)
    assert said.startswith("the feed failed: ")
    assert said.endswith(", 0 conversions counted again")
