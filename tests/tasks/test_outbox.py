"""From the outbox to the queues, at least once."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.orm import Session

from core.contracts import keys, task_message
from core.db.work import Outbox
from tasks.outbox import MOST, pump
from tasks.streams import StreamStorage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add(db: Session, *, queue: str = "publish", count: int = 1, not_before: datetime = NOW) -> None:
    row = {"queue": queue, "task": "publish.link", "args": [7, "slug"], "not_before": not_before}
    db.execute(insert(Outbox).values([row] * count))
    db.commit()


def left(db: Session) -> int:
    db.rollback()
    return db.scalar(select(func.count()).select_from(Outbox)) or 0


def test_it_enqueues_what_is_due(
    engine: Engine, db: Session, storage: StreamStorage, valkey: redis.Redis
) -> None:
    add(db)
    add(db, not_before=NOW + timedelta(seconds=1))
    assert pump(engine, storage, now=NOW) == 1
    ((_, fields),) = valkey.xrange(keys.stream("publish"))
    message = task_message.decode(fields[keys.TASK_FIELD])
    assert (message.task, message.args, message.attempts) == ("publish.link", (7, "slug"), 0)
    assert left(db) == 1


def test_it_shares_rows_with_other_pumps(engine: Engine, db: Session, storage: StreamStorage) -> None:
    add(db, count=3)
    with engine.begin() as other:
        other.execute(select(Outbox.id).order_by(Outbox.id).limit(1).with_for_update())
        assert pump(engine, storage, now=NOW) == 2
    assert pump(engine, storage, now=NOW) == 1


def test_it_takes_a_long_outbox_in_parts(engine: Engine, db: Session, storage: StreamStorage) -> None:
    add(db, count=MOST + 1)
    assert [pump(engine, storage, now=NOW) for _ in range(3)] == [MOST, 1, 0]


def test_it_keeps_rows_when_redis_does_not_take_them(
    engine: Engine, db: Session, storage: StreamStorage, valkey: redis.Redis
) -> None:
    add(db)
    valkey.set(keys.stream("publish"), "not a stream")
    with pytest.raises(redis.ResponseError):
        pump(engine, storage, now=NOW)
    assert left(db) == 1


def test_it_sends_a_row_of_an_unknown_queue_to_system(
    engine: Engine, db: Session, storage: StreamStorage, valkey: redis.Redis
) -> None:
    add(db, queue="nowhere")
    assert pump(engine, storage, now=NOW) == 1
    assert valkey.xlen(keys.stream("system")) == 1


def test_it_says_which_request_a_task_is_part_of(
    engine: Engine, db: Session, storage: StreamStorage, valkey: redis.Redis
) -> None:
    add(db)
    db.execute(update(Outbox).values(request="r-12"))
    db.commit()
    pump(engine, storage, now=NOW)
    ((_, fields),) = valkey.xrange(keys.stream("publish"))
    assert task_message.decode(fields[keys.TASK_FIELD]).request == "r-12"
