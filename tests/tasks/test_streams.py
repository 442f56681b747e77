"""The storage's promises, one test each: what was added is delivered until it was settled."""

import time

import pytest
import redis

from core.contracts import keys
from tasks.streams import Lot, StreamStorage, now_ms
from tests.tasks.conftest import LEASE

QUEUE = "system"


def take(storage: StreamStorage, consumer: str = "one", most: int = 10, queue: str = QUEUE) -> Lot:
    (lot,) = storage.take([queue], consumer, most=most)
    return lot


def lose(storage: StreamStorage, lot: Lot) -> None:
    """What a kill -9 does: nobody renews the lease, and it ends."""
    storage.drop(lot)
    time.sleep(LEASE + 0.05)


def waiting(valkey: redis.Redis, queue: str = QUEUE) -> int:
    return int(valkey.xlen(keys.stream(queue)))


def test_it_delivers_what_was_added_before_any_worker_started(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"a", b"b"])
    assert take(storage).payloads == [b"a", b"b"]


def test_it_delivers_an_entry_to_one_consumer_alone(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"a", b"b"])
    assert take(storage, "one", most=1).payloads == [b"a"]
    assert take(storage, "two").payloads == [b"b"]
    assert storage.take([QUEUE], "three", most=10) == []


def test_it_keeps_an_entry_until_it_was_acknowledged(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add(QUEUE, [b"a", b"b"])
    lot = take(storage)
    assert waiting(valkey) == 2
    assert storage.acknowledge(lot, lot.ids[:1]) == 1
    assert waiting(valkey) == 1
    assert storage.acknowledge(lot, lot.ids[1:]) == 1
    assert waiting(valkey) == 0
    assert valkey.xpending(keys.stream(QUEUE), keys.GROUP)["pending"] == 0


def test_it_acknowledges_batches_beyond_what_one_script_takes(
    storage: StreamStorage, valkey: redis.Redis
) -> None:
    storage.add("track", [b"%d" % number for number in range(5000)])
    lot = take(storage, most=5000, queue="track")
    assert storage.renew() == 5000
    assert storage.acknowledge(lot, lot.ids) == 5000
    assert waiting(valkey, "track") == 0


@pytest.mark.parametrize(
    ("added", "most", "taken"), [(2500, 5000, 2500), (3000, 5000, 3000), (3000, 2200, 2200)]
)
def test_it_takes_in_one_lot_more_than_it_reads_at_once(
    storage: StreamStorage, added: int, most: int, taken: int
) -> None:
    storage.add("track", [b"%d" % number for number in range(added)])
    (lot,) = storage.take(["track"], "one", most=most)
    assert lot.payloads == [b"%d" % number for number in range(taken)]
    assert storage.acknowledge(lot, lot.ids) == taken


def test_it_keeps_what_it_has_read_when_redis_goes_away_meanwhile(
    storage: StreamStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.add("track", [b"%d" % number for number in range(1500)])
    read, calls = storage.client.execute_command, 0

    def once(*command: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise redis.ConnectionError("gone")
        return read(*command)  # type: ignore[no-untyped-call]

    storage.take(["track"], "first", most=1)
    with monkeypatch.context() as patch:
        patch.setattr(storage.client, "execute_command", once)
        (lot,) = storage.take(["track"], "one", most=5000)
    assert (len(lot), calls) == (1000, 2)
    assert storage.acknowledge(lot, lot.ids) == 1000


def test_it_gives_a_lost_workers_entries_to_another_when_the_lease_ends(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"a", b"b"])
    lost = take(storage)
    assert storage.reclaim(QUEUE, "two", most=10) is None
    lose(storage, lost)
    found = storage.reclaim(QUEUE, "two", most=10)
    assert found is not None
    assert (found.payloads, found.deliveries) == ([b"a", b"b"], 1)


def test_it_leaves_entries_alone_while_their_lease_is_renewed(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"a"])
    take(storage)
    end = time.monotonic() + 3 * LEASE
    while time.monotonic() < end:
        assert storage.renew() == 1
        assert storage.reclaim(QUEUE, "two", most=10) is None
        time.sleep(LEASE / 10)


def test_it_does_not_renew_what_another_consumer_owns_by_now(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"a"])
    frozen = take(storage)
    time.sleep(LEASE + 0.05)
    taken_over = storage.reclaim(QUEUE, "two", most=10)
    assert taken_over is not None
    storage.drop(taken_over)
    assert storage.renew() == 0
    assert storage.acknowledge(taken_over, taken_over.ids) == 1
    assert storage.acknowledge(frozen, frozen.ids) == 0


@pytest.mark.parametrize("settle", ["acknowledge", "retry", "bury", "release"])
def test_it_lets_only_the_owner_settle_an_entry(
    storage: StreamStorage, valkey: redis.Redis, settle: str
) -> None:
    storage.add(QUEUE, [b"a"])
    frozen = take(storage)
    time.sleep(LEASE + 0.05)
    owner = storage.reclaim(QUEUE, "two", most=10)
    assert owner is not None
    entry = frozen.ids[0]
    done = {
        "acknowledge": lambda: storage.acknowledge(frozen, [entry]),
        "retry": lambda: storage.retry(frozen, entry, message=b"a", due_ms=0),
        "bury": lambda: storage.bury(frozen, entry, letter={"m": b"a"}, now_ms=now_ms()),
        "release": lambda: storage.release(frozen),
    }[settle]()
    assert not done
    assert (waiting(valkey), valkey.zcard(keys.later(QUEUE)), valkey.xlen(keys.dead(QUEUE))) == (1, 0, 0)
    assert storage.acknowledge(owner, owner.ids) == 1


def test_it_counts_deliveries(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"a"])
    lose(storage, take(storage))
    for deliveries in (1, 2, 3):
        lot = storage.reclaim(QUEUE, "two", most=10)
        assert lot is not None
        assert lot.deliveries == deliveries
        lose(storage, lot)


@pytest.mark.parametrize(("deliveries", "most"), [(0, 500), (1, 500), (2, 62), (3, 7), (4, 1), (100, 1)])
def test_it_takes_what_keeps_coming_back_in_ever_smaller_lots(
    storage: StreamStorage, deliveries: int, most: int
) -> None:
    storage.add("track", [b"x"] * 600)
    lot = take(storage, most=600, queue="track")
    lot.deliveries = deliveries  # what `release` writes down
    storage.release(lot)
    again = storage.reclaim("track", "two", most=5000)
    assert again is not None
    assert (len(again), again.deliveries) == (most, deliveries)


def test_it_takes_healthy_entries_before_suspects(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"poison", b"healthy"])
    poison = take(storage, most=1)
    poison.deliveries = 4
    storage.release(poison)
    storage.release(take(storage, most=1))
    lot = storage.reclaim(QUEUE, "two", most=10)
    assert lot is not None
    assert lot.payloads == [b"healthy"]


def test_it_gives_back_at_once_and_uncharged(storage: StreamStorage) -> None:
    storage.add(QUEUE, [b"a", b"b"])
    lot = take(storage)
    storage.acknowledge(lot, lot.ids[:1])
    assert storage.release_all() == 1
    again = storage.reclaim(QUEUE, "two", most=10)
    assert again is not None
    assert (again.payloads, again.deliveries) == ([b"b"], 0)


def test_it_gives_back_to_who_has_just_looked_in_vain(client: redis.Redis) -> None:
    storage = StreamStorage("rastro", client=client, lease=600)
    storage.add(QUEUE, [b"a"])
    lot = take(storage)
    assert storage.reclaim(QUEUE, "two", most=10) is None
    assert storage.release(lot) == 1
    again = storage.reclaim(QUEUE, "two", most=10)
    assert again is not None
    assert again.payloads == [b"a"]


def test_it_looks_for_ended_leases_once_for_all_processes(
    storage: StreamStorage, valkey: redis.Redis
) -> None:
    """What is held may be much, and every look passes all of it."""
    storage.add(QUEUE, [b"a"])
    lose(storage, take(storage))
    valkey.set(keys.looked(QUEUE), "", px=60_000)
    assert storage.reclaim(QUEUE, "two", most=10) is None
    valkey.delete(keys.looked(QUEUE))
    assert storage.reclaim(QUEUE, "two", most=10) is not None
    assert not valkey.exists(keys.looked(QUEUE))  # there may be more
    assert storage.reclaim(QUEUE, "two", most=10) is None
    assert 0 < valkey.pttl(keys.looked(QUEUE)) <= LEASE * 1000 / 16


def test_it_renews_only_leases_that_are_old_enough(client: redis.Redis, valkey: redis.Redis) -> None:
    now = 1_000_000
    storage = StreamStorage("rastro", client=client, lease=15, clock=lambda: now)
    storage.add(QUEUE, [b"a", b"b"])
    take(storage, most=1)
    now += 3000
    take(storage, most=1)
    now += 1000
    assert storage.renew(after_ms=4000) == 1
    assert storage.renew(after_ms=4000) == 0
    now += 3000
    assert storage.renew(after_ms=4000) == 1


def test_it_puts_a_message_aside_and_moves_it_when_due(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add(QUEUE, [b"first"])
    lot = take(storage)
    assert storage.retry(lot, lot.ids[0], message=b"second", due_ms=1000)
    assert (waiting(valkey), storage.schedule_size()) == (0, 1)
    assert storage.move_due(QUEUE, now_ms=999) == 0
    assert storage.move_due(QUEUE, now_ms=1000) == 1
    assert storage.move_due(QUEUE, now_ms=1000) == 0
    assert take(storage).payloads == [b"second"]


def test_it_buries_with_everything_that_explains_it(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add(QUEUE, [b"a"])
    lot = take(storage)
    storage.suspect(lot, lot.ids[0])
    assert storage.bury(lot, lot.ids[0], letter={"m": b"a", "reason": "failed"}, now_ms=now_ms())
    ((_, letter),) = valkey.xrange(keys.dead(QUEUE))
    assert letter == {b"m": b"a", b"reason": b"failed"}
    assert waiting(valkey) == 0
    assert valkey.hlen(keys.suspects(QUEUE)) == 0


def test_it_works_on_when_redis_was_emptied(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add(QUEUE, [b"gone"])
    lot = take(storage)
    valkey.flushdb()
    assert storage.renew() == 0
    assert storage.acknowledge(lot, lot.ids) == 0
    assert storage.take([QUEUE, "track"], "one", most=1) == []
    assert storage.reclaim(QUEUE, "one", most=1) is None
    valkey.flushdb()
    assert storage.forget_idle(QUEUE, idle_ms=0) == 0
    storage.add(QUEUE, [b"new"])
    assert take(storage).payloads == [b"new"]


def test_it_drops_a_deleted_entry_from_what_is_pending(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add(QUEUE, [b"a", b"b"])
    lot = take(storage)
    valkey.xdel(keys.stream(QUEUE), lot.ids[0])
    lose(storage, lot)
    again = storage.reclaim(QUEUE, "two", most=10)
    assert again is not None
    assert again.payloads == [b"b"]
    assert valkey.xpending(keys.stream(QUEUE), keys.GROUP)["pending"] == 1


def test_it_keeps_entries_with_foreign_fields_whole(storage: StreamStorage, valkey: redis.Redis) -> None:
    valkey.xadd(keys.stream(QUEUE), {"what": "ever"})
    lot = take(storage)
    assert lot.malformed == {0}
    assert b"what" in lot.payloads[0]
    assert b"ever" in lot.payloads[0]


def test_it_forgets_consumers_only_when_they_hold_nothing(
    storage: StreamStorage, valkey: redis.Redis
) -> None:
    storage.add(QUEUE, [b"a", b"b"])
    idle, holding = take(storage, "idle", most=1), take(storage, "holding", most=1)
    storage.acknowledge(idle, idle.ids)
    time.sleep(0.02)
    assert storage.forget_idle(QUEUE, idle_ms=60_000) == 0
    assert storage.forget_idle(QUEUE, idle_ms=10) == 1
    storage.forget(QUEUE, "holding")
    names = [row["name"] for row in valkey.xinfo_consumers(keys.stream(QUEUE), keys.GROUP)]
    assert names == [b"holding"]
    assert storage.acknowledge(holding, holding.ids) == 1


def test_it_counts_only_deaths_against_a_suspect(storage: StreamStorage, valkey: redis.Redis) -> None:
    storage.add(QUEUE, [b"a"])
    lot = take(storage)
    entry = lot.ids[0]
    assert storage.suspect(lot, entry) == 0  # this process dies
    assert storage.suspect(lot, entry) == 1  # this one stops in order
    storage.clear(lot)
    assert storage.suspect(lot, entry) == 1
    storage.acquit(lot)
    assert valkey.hlen(keys.suspects(QUEUE)) == 0


def test_it_leaves_nothing_of_a_suspicion_that_was_cleared(
    storage: StreamStorage, valkey: redis.Redis
) -> None:
    """Whoever takes the entry next may have no reason to suspect it, and so none to acquit it."""
    storage.add(QUEUE, [b"a"])
    lot = take(storage)
    storage.suspect(lot, lot.ids[0])
    storage.clear(lot)
    assert valkey.hgetall(keys.suspects(QUEUE)) == {}


def test_it_holds_what_waits_in_a_paused_queue_and_gives_it_back_in_order(
    storage: StreamStorage, valkey: redis.Redis
) -> None:
    """Out of the length that the autoscaler reads; what was delivered stays and can be acknowledged."""
    storage.add("system", [b"%d" % number for number in range(10)])
    (lot,) = storage.take(["system"], "one", most=3)
    valkey.sadd(keys.PAUSED, "system")
    assert [storage.hold("system", most=4) for _ in range(3)] == [4, 3, 0]
    assert (valkey.xlen(keys.stream("system")), valkey.xlen(keys.held("system"))) == (3, 7)
    storage.add("system", [b"10"])
    assert storage.hold("system") == 1
    assert storage.acknowledge(lot, lot.ids) == 3
    valkey.srem(keys.PAUSED, "system")
    storage.add("system", [b"came meanwhile"])
    assert [storage.hold("system", most=5) for _ in range(3)] == [5, 3, 0]
    (rest,) = storage.take(["system"], "one", most=100)
    assert rest.payloads == [b"came meanwhile", *(b"%d" % number for number in range(3, 11))]
    assert valkey.xlen(keys.held("system")) == 0


def test_it_holds_what_no_worker_has_ever_looked_at(storage: StreamStorage, valkey: redis.Redis) -> None:
    assert storage.hold("track") == 0
    valkey.sadd(keys.PAUSED, "track")
    assert storage.hold("track") == 0
    storage.add("track", [b"a", b"b"])
    assert (storage.hold("track"), valkey.xlen(keys.stream("track"))) == (2, 0)


def test_it_leaves_other_queues_alone_while_one_is_paused(
    storage: StreamStorage, valkey: redis.Redis
) -> None:
    valkey.sadd(keys.PAUSED, "system")
    storage.add("track", [b"a"])
    assert (storage.hold("track"), valkey.xlen(keys.stream("track"))) == (0, 1)


def test_it_counts_what_became_of_entries_by_the_minute(client: redis.Redis, valkey: redis.Redis) -> None:
    minute = 29_000_000
    storage = StreamStorage("rastro", client=client, lease=1, clock=lambda: minute * 60_000 + 59_999)
    storage.add("track", [b"%d" % number for number in range(2500)])
    (lot,) = storage.take(["track"], "one", most=5000)
    assert storage.bury(lot, lot.ids[0], letter={"e": b"0"}, now_ms=now_ms(), ran_ms=5)
    assert storage.acknowledge(lot, lot.ids[1:], ran_ms=70) == 2499
    assert storage.acknowledge(lot, lot.ids, ran_ms=1000) == 0
    storage.add("system", [b"a"])
    (other,) = storage.take(["system"], "one", most=1)
    assert storage.retry(other, other.ids[0], message=b"b", due_ms=0)
    assert valkey.hgetall(keys.stats(minute)) == {
        b"track:done": b"2499",
        b"track:failed": b"1",
        b"track:ms": b"75",
        b"system:retried": b"1",
    }
    assert 0 < valkey.ttl(keys.stats(minute)) <= keys.STATS_TTL_S


def test_it_says_what_it_holds(storage: StreamStorage) -> None:
    storage.add("track", [b"a", b"b"])
    (lot,) = storage.take(["track"], "one", most=10)
    (running,) = storage.running()
    assert (running["queue"], running["task"], running["entries"]) == ("track", "", 2)
    storage.drop(lot)
    assert storage.running() == []
