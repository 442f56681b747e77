"""How the queues are: counts, ages, rates and processes, at a fixed price."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from core.contracts import keys
from core.services.queues.samples import read_samples, take_sample
from core.services.queues.states import (
    QueueState,
    read_processes,
    read_queues,
    read_throughput,
)
from core.services.redis_client import make_redis
from tasks.streams import StreamStorage, now_ms
from tests.core.services.queues.conftest import Bury, click, task


def now() -> datetime:
    return datetime.now(UTC)


def state(valkey: redis.Redis, name: str, at: datetime | None = None) -> QueueState:
    return next(one for one in read_queues(valkey, now=at or now()) if one.name == name)


def test_it_reads_an_empty_redis(valkey: redis.Redis) -> None:
    states = read_queues(valkey, now=now())
    assert [one.name for one in states] == list(keys.QUEUES)
    assert {(one.waiting, one.running, one.retrying, one.dead, one.oldest_s) for one in states} == {
        (0, 0, 0, 0, 0.0)
    }
    assert read_processes(valkey) == []
    assert read_throughput(valkey, now=now()).done == 0


def test_it_counts_what_waits_runs_is_put_off_and_was_set_aside(
    valkey: redis.Redis, storage: StreamStorage, bury: Bury
) -> None:
    bury("system", task("export"), task("export"))
    storage.add("system", [task("export")] * 5)
    (lot,) = storage.take(["system"], "host-1-abc.0.ff", most=2)
    storage.retry(lot, lot.ids[0], message=task("export"), due_ms=now_ms() + 60_000)
    found = state(valkey, "system")
    assert (found.waiting, found.running, found.retrying, found.dead) == (3, 1, 1, 2)


def test_it_counts_what_is_held_while_a_queue_is_paused_as_waiting(
    valkey: redis.Redis, storage: StreamStorage
) -> None:
    storage.add("track", [click()])
    valkey.xadd(keys.held("track"), {"e": click()}, id=f"{now_ms() - 90_000}-0")
    valkey.sadd(keys.PAUSED, "track")
    found = state(valkey, "track")
    assert (found.waiting, found.paused) == (2, True)
    assert 90 <= found.oldest_s < 100


def test_it_says_how_old_the_oldest_entry_is(valkey: redis.Redis) -> None:
    at = now()
    valkey.xadd(keys.stream("track"), {"e": click()}, id=f"{int(at.timestamp() * 1000) - 4000}-0")
    valkey.xadd(keys.stream("track"), {"e": click()})
    assert state(valkey, "track", at).oldest_s == pytest.approx(4, abs=0.01)


def test_it_says_how_fast_a_queue_goes_and_when_it_is_clear(
    valkey: redis.Redis, storage: StreamStorage
) -> None:
    at = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)
    minute = int(at.timestamp()) // 60
    valkey.hset(keys.stats(minute), "track:done", 400)
    valkey.hset(keys.stats(minute - 1), mapping={"track:done": 400, "track:failed": 3, "track:ms": 50})
    storage.add("track", [click()] * 100)
    found = state(valkey, "track", at)
    assert found.rate == 600
    assert found.clears_s == 10
    hour = read_throughput(valkey, now=at)
    assert (hour.done, hour.failed, hour.ms) == (800, 3, 50)


def test_it_does_not_promise_an_end_while_nothing_moves(valkey: redis.Redis, storage: StreamStorage) -> None:
    storage.add("track", [click()])
    assert state(valkey, "track").clears_s is None
    assert state(valkey, "publish").clears_s == 0


def test_it_names_the_processes_that_live_and_what_they_run(
    valkey: redis.Redis, storage: StreamStorage
) -> None:
    storage.take(["track"], "pod-a-1-aa.0.00", most=1)
    storage.take(["track"], "pod-b-1-bb.0.00", most=1)
    running = [{"queue": "track", "task": None, "entries": 500, "since_ms": 1_000}]
    beat = {
        "host": "pod-a",
        "pid": 7,
        "pool": "track",
        "lanes": 1,
        "started_ms": 1,
        "seen_ms": 2,
        "rss_bytes": 9,
        "queues": "publish track",
        "done_a_minute": 1200,
    }
    valkey.hset(keys.worker("pod-a-1-aa"), mapping={**beat, "running": json.dumps(running)})
    (process,) = read_processes(valkey)
    assert (process.name, process.host, process.pool, process.rss_bytes) == (
        "pod-a-1-aa",
        "pod-a",
        "track",
        9,
    )
    assert [(job.queue, job.entries) for job in process.jobs] == [("track", 500)]
    assert (process.queues, process.rate) == (("publish", "track"), 1200)


def test_it_reads_as_much_of_a_long_backlog_as_of_a_short_one(
    redis_url: str, valkey: redis.Redis, storage: StreamStorage
) -> None:
    client = make_redis(redis_url, timeout=5, max_connections=1)

    def asked() -> tuple[int, ...]:
        """Commands and answers' bytes of one look."""
        before: Any = client.client_info()
        read_queues(client, now=now())
        read_throughput(client, now=now())
        after: Any = client.client_info()
        return tuple(int(after[name]) - int(before[name]) for name in ("tot-cmds", "tot-net-out"))

    storage.add("track", [click()])
    commands, few = asked()
    storage.add("track", [click()] * 3000)
    again, many = asked()
    client.close()
    assert again == commands
    assert many - few < 100


def test_it_keeps_one_sample_each_fifteen_seconds_whoever_takes_it(
    valkey: redis.Redis, storage: StreamStorage
) -> None:
    at = datetime(2026, 11, 27, 12, 0, 31, tzinfo=UTC)
    storage.add("track", [click()] * 3)
    valkey.hset(keys.stats(int(at.timestamp()) // 60 - 1), "track:done", 50)
    assert take_sample(valkey, now=at)
    assert not take_sample(valkey, now=at + timedelta(seconds=10))
    assert take_sample(valkey, now=at + timedelta(seconds=15))
    first, second = read_samples(valkey, since=at - timedelta(minutes=1), now=at)
    assert first.at == at.replace(second=30) and second.at == at.replace(second=45)
    assert (first.depth["track"], first.done["track"], first.depth["system"]) == (3, 50, 0)
    assert read_samples(valkey, since=at + timedelta(seconds=10), now=at) == [second]


def test_it_keeps_the_peaks_of_five_minutes_for_a_week(valkey: redis.Redis, storage: StreamStorage) -> None:
    noon = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    storage.add("track", [click()] * 7)
    assert take_sample(valkey, now=noon - timedelta(minutes=2))
    valkey.delete(keys.stream("track"))
    storage.add("track", [click()] * 2)
    assert take_sample(valkey, now=noon)
    assert take_sample(valkey, now=noon + timedelta(seconds=15))
    (peak,) = read_samples(valkey, since=noon - timedelta(days=2), now=noon)
    assert (peak.at, peak.depth["track"]) == (noon, 7)
    later = noon + timedelta(minutes=5)
    assert take_sample(valkey, now=later)
    assert [
        each.depth["track"] for each in read_samples(valkey, since=noon - timedelta(days=2), now=later)
    ] == [7, 2]
