"""What people do with dead letters and queues: once each, tried on one first, and written down."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts import keys
from core.db.models import AuditLog
from core.db.work import SilencedTask
from core.services.actor import Actor
from core.services.queues import acting
from core.services.queues.letters import ids_of, read_groups
from tasks.streams import StreamStorage
from tests.core.services.queues.conftest import Bury, click, task

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ACTOR = Actor(kind="user", id=3, name="Marina", role="admin")


def waiting(valkey: redis.Redis, queue: str = "track") -> list[bytes]:
    return [next(iter(fields.values())) for _, fields in valkey.xrange(keys.stream(queue))]


def audit(db: Session) -> list[tuple[str, str, object]]:
    rows = db.scalars(select(AuditLog).order_by(AuditLog.id))
    return [(row.action, row.subject, row.detail.get("count")) for row in rows]


def works(storage: StreamStorage) -> Callable[[float], None]:
    """A worker that stores whatever comes, while somebody waits."""

    def work(_: float) -> None:
        for lot in storage.take(["track"], "w.0.00", most=100):
            storage.acknowledge(lot, lot.ids)

    return work


def test_it_puts_a_letter_back_as_it_was(valkey: redis.Redis, db: Session, bury: Bury) -> None:
    data = click()
    ids = bury("track", data)
    done = acting.retry_letters(db, valkey, queue="track", ids=ids, actor=ACTOR, now=NOW)
    assert (done, waiting(valkey), valkey.xlen(keys.dead("track"))) == (1, [data], 0)
    assert read_groups(valkey) == []
    assert audit(db) == [("queue.retry", "queue:track", 1)]


def test_it_puts_a_letter_back_once_however_many_people_press(
    valkey: redis.Redis, db: Session, bury: Bury
) -> None:
    ids = bury("system", task("export"))

    def press(_: int) -> int:
        return len(acting._settle(valkey, "retry", "system", ids))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(press, range(16))) == 1
    assert len(waiting(valkey, "system")) == 1


def test_it_takes_a_click_that_is_put_back_out_of_the_dead_of_its_hour(
    valkey: redis.Redis, db: Session, bury: Bury
) -> None:
    ids = bury("track", click(at=NOW), click(at=NOW))
    acting.retry_letters(db, valkey, queue="track", ids=ids[:1], actor=ACTOR, now=NOW)
    acting.discard_letters(db, valkey, queue="track", ids=ids[1:], actor=ACTOR, now=NOW)
    assert valkey.hgetall(keys.DEAD_CLICKS) == {b"2026112712": b"1"}
    assert valkey.xlen(keys.dead("track")) == 0
    assert audit(db) == [("queue.retry", "queue:track", 1), ("queue.discard", "queue:track", 1)]


def test_it_retries_all_once_the_first_has_worked(
    valkey: redis.Redis, db: Session, bury: Bury, storage: StreamStorage
) -> None:
    bury("track", *[click() for _ in range(150)])
    (group,) = read_groups(valkey)
    done = acting.retry_group(
        db, valkey, queue="track", group=group.id, actor=ACTOR, now=NOW, sleep=works(storage)
    )
    assert (done.trial, done.put_back, done.left) == ("worked", 150, 0)
    assert len(waiting(valkey)) == 149
    assert audit(db) == [("queue.retry", "queue:track", 150)]


def test_it_tries_anew_when_the_same_error_comes_back(
    valkey: redis.Redis, db: Session, bury: Bury, storage: StreamStorage
) -> None:
    bury("track", click(), click())
    (group,) = read_groups(valkey)
    retry = {"queue": "track", "group": group.id, "actor": ACTOR, "now": NOW}
    acting.retry_group(db, valkey, sleep=works(storage), **retry)  # type: ignore[arg-type]
    works(storage)(0)
    bury("track", click(), click())
    assert [one.trial for one in read_groups(valkey)] == ["none"]
    done = acting.retry_group(db, valkey, sleep=lambda _: bury("track"), **retry)  # type: ignore[arg-type]
    assert (done.trial, done.left) == ("failed", 2)


def test_it_keeps_a_letter_that_can_not_be_put_back(valkey: redis.Redis, db: Session) -> None:
    letter_id = valkey.xadd(keys.dead("track"), {"reason": "failed", "group": "g"}).decode()
    assert acting.retry_letters(db, valkey, queue="track", ids=[letter_id], actor=ACTOR, now=NOW) == 0
    assert valkey.xlen(keys.dead("track")) == 1
    assert acting.discard_letters(db, valkey, queue="track", ids=[letter_id], actor=ACTOR, now=NOW) == 1


def test_it_leaves_the_others_alone_when_the_first_fails_again(
    valkey: redis.Redis, db: Session, bury: Bury
) -> None:
    bury("system", task("export"), task("export"), task("export"))
    (group,) = read_groups(valkey)

    def worker_fails(_: float) -> None:
        bury("system")

    done = acting.retry_group(
        db, valkey, queue="system", group=group.id, actor=ACTOR, now=NOW, sleep=worker_fails
    )
    assert (done.trial, done.put_back, done.left) == ("failed", 1, 3)
    assert waiting(valkey, "system") == []
    (group,) = read_groups(valkey)
    assert (group.count, group.trial) == (3, "failed")


def test_it_says_that_a_trial_runs_when_no_worker_takes_it(
    valkey: redis.Redis, db: Session, bury: Bury, storage: StreamStorage
) -> None:
    bury("track", click(), click())
    (group,) = read_groups(valkey)
    slept: list[float] = []

    def again(sleep: Callable[[float], object]) -> acting.GroupRetried:
        return acting.retry_group(
            db, valkey, queue="track", group=group.id, actor=ACTOR, now=NOW, sleep=sleep
        )

    done = again(slept.append)
    assert (done.trial, done.put_back, done.left) == ("running", 1, 1)
    assert sum(slept) <= 3.1
    assert [one.trial for one in read_groups(valkey)] == ["running"]
    assert again(slept.append).put_back == 0
    works(storage)(0)
    assert [one.trial for one in read_groups(valkey)] == ["worked"]
    assert again(slept.append).put_back == 1


def test_it_tries_nothing_on_a_paused_queue(valkey: redis.Redis, db: Session, bury: Bury) -> None:
    bury("track", click())
    (group,) = read_groups(valkey)
    valkey.sadd(keys.PAUSED, "track")
    with pytest.raises(acting.QueuePaused):
        acting.retry_group(db, valkey, queue="track", group=group.id, actor=ACTOR, now=NOW, sleep=print)
    assert ids_of(valkey, "track", group.id, most=5)


def test_it_discards_a_group(valkey: redis.Redis, db: Session, bury: Bury) -> None:
    bury("track", click(), click())
    bury("track", click(), error=KeyError("other"))
    group = next(one for one in read_groups(valkey) if one.count == 2)
    assert acting.discard_group(db, valkey, queue="track", group=group.id, actor=ACTOR, now=NOW) == 2
    assert [one.count for one in read_groups(valkey)] == [1]
    assert waiting(valkey) == []


def test_it_pauses_and_resumes_a_queue_and_notes_it_once(valkey: redis.Redis, db: Session) -> None:
    for paused in (True, True, False, False):
        acting.set_paused(db, valkey, queue="track", paused=paused, actor=ACTOR, now=NOW)
    assert [action for action, _, _ in audit(db)] == ["queue.pause", "queue.resume"]
    assert valkey.smembers(keys.PAUSED) == set()
    with pytest.raises(acting.NoSuchQueue):
        acting.set_paused(db, valkey, queue="tracks", paused=True, actor=ACTOR, now=NOW)


def test_it_silences_a_task(db: Session) -> None:
    for silenced in (True, True):
        acting.set_silenced(db, task="export", silenced=silenced, actor=ACTOR, now=NOW)
    assert list(db.scalars(select(SilencedTask.task))) == ["export"]
    acting.set_silenced(db, task="export", silenced=False, actor=ACTOR, now=NOW)
    assert list(db.scalars(select(SilencedTask.task))) == []
    assert [action for action, _, _ in audit(db)] == ["task.silence", "task.unsilence"]
