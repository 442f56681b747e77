"""Which queue is next: by priority, starving none, and never one of another pool."""

import itertools
from collections.abc import Sequence

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import keys
from tasks.queues import LANES, POOLS, SCHEDULING_POOL
from tasks.reader import PATIENCE, Reader, Turns
from tasks.streams import Lot, StreamStorage


def read(storage: StreamStorage, lane: tuple[str, ...], lots: int) -> list[str]:
    """The queues of the next lots, each acknowledged."""
    reader = Reader(storage, lane=lane, consumer="one", largest={"track": 5})
    taken = []
    for _ in range(lots):
        lot = reader.take()
        if lot is None:
            break
        storage.acknowledge(lot, lot.ids)
        storage.drop(lot)
        taken.append(lot.queue)
    return taken


def test_it_takes_by_priority(storage: StreamStorage) -> None:
    for queue in ("track", "conversion", "publish"):
        storage.add(queue, [b"x"] * 2)
    order = read(storage, ("publish", "conversion", "track"), lots=10)
    assert order == ["publish", "publish", "conversion", "conversion", "track"]


def test_it_takes_what_comes_while_it_waits(storage: StreamStorage) -> None:
    assert read(storage, ("publish", "track"), lots=1) == []
    storage.add("track", [b"x"])
    assert read(storage, ("publish", "track"), lots=1) == ["track"]


def test_it_starves_no_queue(storage: StreamStorage) -> None:
    storage.add("publish", [b"x"] * 200)
    storage.add("track", [b"x"] * 5)
    storage.add("conversion", [b"x"])
    order = read(storage, ("publish", "conversion", "track"), lots=2 * PATIENCE)
    assert order[:PATIENCE] == ["publish"] * PATIENCE
    assert {"conversion", "track"} <= set(order)


@given(
    held=st.dictionaries(st.sampled_from("abcd"), st.integers(min_value=0, max_value=500)),
    patience=st.integers(min_value=1, max_value=20),
)
def test_it_looks_at_every_queue_within_its_patience(held: dict[str, int], patience: int) -> None:
    turns = Turns("abcd", patience=patience)
    unseen = dict.fromkeys("abcd", 0)
    left = dict(held)
    for _ in range(300):
        for queue in turns.order():
            unseen[queue] = 0
            if left.get(queue):
                left[queue] -= 1
                turns.took(queue)
                unseen = {name: unseen[name] + (name != queue) for name in unseen}
                break
            turns.looked(queue)
        assert max(unseen.values()) <= patience + 4


def test_it_looks_for_what_dead_workers_left_every_quarter_of_the_lease(
    storage: StreamStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = [100.0]
    looks: list[float] = []
    take, reclaim = storage.take, storage.reclaim

    def quick(queues: Sequence[str], consumer: str, *, most: int, block_ms: int | None = None) -> list[Lot]:
        time[0] += (block_ms or 0) / 1000
        return take(queues, consumer, most=most, block_ms=None)

    def noted(queue: str, consumer: str, *, most: int) -> Lot | None:
        looks.append(time[0])
        return reclaim(queue, consumer, most=most)

    monkeypatch.setattr(storage, "take", quick)
    monkeypatch.setattr(storage, "reclaim", noted)
    for storage.lease in (1, 2, 15, 60):
        reader = Reader(storage, lane=("track",), consumer="one", largest={}, clock=lambda: time[0])
        looks.clear()
        for _ in range(100):
            assert reader.take() is None
        waits = [later - before for before, later in itertools.pairwise(looks)]
        assert len(waits) > 1
        assert max(waits) <= storage.lease / 4 + 0.001


def test_pool_track_takes_clicks_alone(storage: StreamStorage, valkey: redis.Redis) -> None:
    for queue in keys.QUEUES:
        storage.add(queue, [b"x"])
    assert [queue for lane in LANES["track"] for queue in read(storage, lane, lots=5)] == ["track"]
    assert {queue: valkey.xlen(keys.stream(queue)) for queue in keys.QUEUES} == {
        "publish": 1,
        "conversion": 1,
        "system": 1,
        "track": 0,
    }


def test_each_pool_has_a_lane_that_ends_with_each_of_its_queues() -> None:
    assert POOLS["default"] == ("publish", "conversion", "system", "track")
    for pool, queues in POOLS.items():
        assert {lane[-1] for lane in LANES[pool]} == set(queues)
        assert {queue for lane in LANES[pool] for queue in lane} == set(queues)
    assert not any("system" in lane and lane != ("system",) for lane in LANES["default"])
    assert SCHEDULING_POOL == "default"


def test_it_begins_nothing_of_a_paused_queue(storage: StreamStorage, valkey: redis.Redis) -> None:
    """Looked at once a second; other queues of the lane go on, and a lane without any waits."""
    now, slept = [0.0], []
    reader = Reader(
        storage,
        lane=("publish", "track"),
        consumer="one",
        largest={"track": 5},
        clock=lambda: now[0],
        sleep=slept.append,
    )
    storage.add("publish", [b"p"])
    storage.add("track", [b"t"])
    valkey.sadd(keys.PAUSED, "publish")
    lot = reader.take()
    assert lot is not None
    assert lot.queue == "track"
    valkey.sadd(keys.PAUSED, "track")
    now[0] = 1.0
    assert (reader.take(), slept) == (None, [1.0])
    valkey.delete(keys.PAUSED)
    now[0] = 2.0
    lot = reader.take()
    assert lot is not None
    assert lot.queue == "publish"


def test_it_takes_over_nothing_of_a_paused_queue(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add("system", [b"a"])
    (lot,) = storage.take(["system"], "dead", most=1)
    storage.release(lot)
    valkey.sadd(keys.PAUSED, "system")
    reader = Reader(storage, lane=("system",), consumer="one", largest={}, sleep=lambda _: None)
    assert reader.take() is None
    valkey.delete(keys.PAUSED)
    reader = Reader(storage, lane=("system",), consumer="one", largest={})
    assert reader.take() is not None
