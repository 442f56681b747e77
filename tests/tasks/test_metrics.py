"""What the metrics say of queues."""

from collections.abc import Iterator

import pytest
import redis

from core.contracts import keys
from tasks.metrics import QUEUES
from tasks.streams import StreamStorage, make_client, now_ms


@pytest.fixture
def watched(client: redis.Redis) -> Iterator[None]:
    QUEUES.watch(client, ("system", "track"))
    yield
    QUEUES.watch(client, ())


def shown(queue: str) -> dict[str, float]:
    return {
        family.name.removeprefix("rastro_queue_"): sample.value
        for family in QUEUES.collect()
        for sample in family.samples
        if sample.labels["queue"] == queue
    }


@pytest.mark.usefixtures("watched")
def test_it_shows_what_waits_runs_and_how_long_it_will_take(
    storage: StreamStorage, valkey: redis.Redis
) -> None:
    storage.add("track", [b"%d" % number for number in range(10)])
    (lot,) = storage.take(["track"], "one", most=6)
    storage.acknowledge(lot, lot.ids[:2])
    valkey.zadd(keys.later("track"), {b"later": now_ms()})
    found = shown("track")
    assert (found["waiting"], found["running"], found["later"], found["dead"]) == (4, 4, 1, 0)
    assert 0 <= found["oldest_seconds"] < 60
    assert found["throughput"] == pytest.approx(2 / 60, rel=0.5)
    assert found["clear_seconds"] == pytest.approx(8 / found["throughput"])


@pytest.mark.usefixtures("watched")
def test_it_shows_a_queue_that_nobody_has_used(valkey: redis.Redis) -> None:
    assert set(shown("system").values()) == {0.0}


@pytest.mark.usefixtures("watched")
def test_it_never_clears_what_nobody_works_at(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add("system", [b"a"])
    assert shown("system")["clear_seconds"] == float("inf")


def test_it_shows_no_queues_while_redis_is_away() -> None:
    client = make_client("redis://127.0.0.1:1/0")
    QUEUES.watch(client, ("track",))
    assert shown("track") == {}
    QUEUES.watch(client, ())
