"""The books of real clicks: read from both servers, copied, and put on record."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from redis import RedisError
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from core.contracts import keys
from core.db.tracking import Books as BooksRow
from core.services import books
from core.services.actor import COMMAND
from core.services.queues.acting import retry_letters
from tasks.streams import StreamStorage
from tests.core.services.queues.conftest import Bury, bury, click, storage

__all__ = ["bury", "storage"]  # fixtures

NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)


def accept(valkey: redis.Redis, clicks: int, *, answered: int | None = None) -> None:
    valkey.hincrby(keys.ACCEPTED, "2026112712", clicks)
    told = clicks if answered is None else answered
    valkey.hincrby(keys.ANSWERED, keys.answered_field("2026112712", "1-a"), told)


def store(db: Session, **counts: int) -> None:
    db.execute(insert(BooksRow).values(hour=HOUR, shard=3, **counts))
    db.commit()


def test_it_balances_what_was_accepted_with_what_became_of_it(
    db: Session, valkey: redis.Redis, storage: StreamStorage, bury: Bury
) -> None:
    accept(valkey, 10)
    store(db, stored=5, expired=1)
    bury("track", click(at=NOW))
    storage.add("track", [click(at=NOW)] * 3)
    storage.take(["track"], "w.0.00", most=1)
    found = books.read_books(db, valkey, now=NOW, hours=24, fresh_answers=True)
    assert found.state == "balanced"
    assert (found.total.answered, found.total.accepted, found.total.dead) == (10, 10, 1)
    assert (found.waiting, found.running, found.moving, found.missing) == (2, 1, 0, 0)


def test_it_sees_a_click_that_vanished(db: Session, valkey: redis.Redis) -> None:
    accept(valkey, 10)
    store(db, stored=9)
    found = books.read_books(db, valkey, now=NOW, hours=24)
    assert (found.state, found.missing) == ("unbalanced", 1)


def test_it_counts_clicks_held_by_a_pause_as_waiting(db: Session, valkey: redis.Redis) -> None:
    accept(valkey, 2)
    valkey.xadd(keys.held("track"), {"e": click(at=NOW)})
    valkey.xadd(keys.held("track"), {"e": click(at=NOW)})
    assert books.read_books(db, valkey, now=NOW, hours=24).state == "balanced"


def test_a_letter_that_was_put_back_waits_again(db: Session, valkey: redis.Redis, bury: Bury) -> None:
    accept(valkey, 1)
    ids = bury("track", click(at=NOW))
    books.copy_books(db.get_bind(), valkey)  # type: ignore[arg-type]
    retry_letters(db, valkey, queue="track", ids=ids, actor=COMMAND, now=NOW)
    books.copy_books(db.get_bind(), valkey)  # type: ignore[arg-type]
    found = books.read_books(db, valkey, now=NOW, hours=24)
    assert (found.state, found.total.dead, found.waiting) == ("balanced", 0, 1)


def test_it_keeps_dead_clicks_when_redis_was_emptied(
    engine: Engine, db: Session, valkey: redis.Redis, bury: Bury
) -> None:
    accept(valkey, 1)
    bury("track", click(at=NOW))
    assert books.copy_books(engine, valkey) == 1
    valkey.flushdb()
    books.copy_books(engine, valkey)
    found = books.read_books(db, valkey, now=NOW, hours=24)
    assert (found.state, found.total.dead, found.total.accepted) == ("balanced", 1, 1)


def test_it_looks_back_as_far_as_it_is_asked(db: Session, valkey: redis.Redis) -> None:
    for back in (0, 23, 24):
        db.execute(insert(BooksRow).values(hour=HOUR - timedelta(hours=back), shard=0, stored=1, accepted=1))
    db.commit()
    assert books.read_books(db, valkey, now=NOW, hours=24).total.stored == 2
    assert books.read_books(db, valkey, now=NOW, hours=25).total.stored == 3


def test_it_puts_on_record_how_they_stand(db: Session, valkey: redis.Redis) -> None:
    old = HOUR - timedelta(hours=5)
    db.execute(insert(BooksRow).values(hour=old, shard=0, accepted=4, answered=4, stored=3))
    db.commit()
    found = books.read_books(db, valkey, now=NOW, hours=24)
    books.put_on_record(db, found, now=NOW)
    (row,) = books.last_records(db)
    assert (row.state, row.accepted, row.stored, row.missing) == ("unbalanced", 4, 3, 1)
    assert row.unbalanced == [old.isoformat()]


def test_it_says_that_redis_is_away(db: Session, away: redis.Redis) -> None:
    with pytest.raises(RedisError):
        books.read_books(db, away, now=NOW, hours=24)
    assert list(db.scalars(select(BooksRow))) == []
