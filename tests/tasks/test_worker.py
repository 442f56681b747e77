"""Whose fault decides what counts: what a worker does with entries that fail, kill, or meet an outage."""

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Thread

import msgspec
import psycopg
import pytest
import redis
import sqlalchemy.exc

from core.config import Settings
from core.contracts import keys, task_message
from core.contracts.task_message import TaskMessage
from core.observe import current_request
from tasks.registry import Context, Handler, Registry, batch, task
from tasks.streams import now_ms
from tasks.worker import DEATHS_ALONE, LaneWorker
from tests.tasks.conftest import FIRST_WAIT, LEASE, MakeWorker

QUEUE = "system"


def outage() -> Exception:
    return sqlalchemy.exc.OperationalError("insert", {}, psycopg.OperationalError("connection refused"))


def message(name: str, *args: int | str) -> bytes:
    return task_message.encode(TaskMessage(id="7", task=name, args=args))


def letters(valkey: redis.Redis, queue: str) -> list[dict[bytes, bytes]]:
    return [letter for _, letter in valkey.xrange(keys.dead(queue))]


def left(valkey: redis.Redis, queue: str) -> int:
    return int(valkey.xlen(keys.stream(queue)))


def batches(handle: Handler, *, largest: int = 5000) -> Registry:
    registry = Registry()

    @batch(queue="track", largest=largest, registry=registry)
    def make(settings: Settings, engine: object, *, process_name: str) -> Handler:
        return handle

    return registry


def tasks(run: Callable[..., None], *, retries: int = 0, delay: float = 0.0) -> Registry:
    registry = Registry()
    task(queue=QUEUE, name="test.run", retries=retries, delay=delay, registry=registry)(run)
    return registry


def make_all_due(worker: LaneWorker) -> int:
    return int(worker.huey.storage.move_due(QUEUE, now_ms=now_ms() + 10**9))


def test_it_handles_a_backlog_in_one_call(make_worker: MakeWorker, valkey: redis.Redis) -> None:
    calls: list[int] = []

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        calls.append(len(payloads))
        return {}

    worker = make_worker(batches(handle, largest=1000), ("track",))
    worker.huey.storage.add("track", [b"x"] * 1500)
    worker.loop()
    worker.loop()
    assert calls == [1000, 500]
    assert left(valkey, "track") == 0


def test_it_buries_what_the_handler_rejects_and_keeps_the_rest(
    make_worker: MakeWorker, valkey: redis.Redis
) -> None:
    worker = make_worker(batches(lambda payloads: {1: "clock"}), ("track",))
    worker.huey.storage.add("track", [b"a", b"b", b"c"])
    worker.loop()
    (letter,) = letters(valkey, "track")
    assert (letter[b"e"], letter[b"reason"]) == (b"b", b"clock")
    assert left(valkey, "track") == 0


def test_it_halves_a_failing_batch_until_the_poison_stands_alone(
    make_worker: MakeWorker, valkey: redis.Redis
) -> None:
    stored: list[bytes] = []

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        if b"poison" in payloads:
            raise ValueError("what is this")
        stored.extend(payloads)
        return {}

    worker = make_worker(batches(handle), ("track",))
    clicks = [b"%d" % number for number in range(300)]
    worker.huey.storage.add("track", [*clicks[:123], b"poison", *clicks[123:]])
    worker.loop()
    assert stored == clicks
    (letter,) = letters(valkey, "track")
    assert (letter[b"e"], letter[b"reason"], letter[b"error"]) == (
        b"poison",
        b"failed",
        b"ValueError: what is this",
    )
    assert b"in handle" in letter[b"traceback"]
    assert left(valkey, "track") == 0


def test_it_waits_out_an_outage_with_the_batch_in_hand(make_worker: MakeWorker, valkey: redis.Redis) -> None:
    calls: list[Sequence[bytes]] = []

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        calls.append(payloads)
        if len(calls) < 6:
            raise outage()
        return {}

    worker = make_worker(batches(handle), ("track",))
    worker.huey.storage.add("track", [b"a", b"b"])
    worker.loop()
    assert calls == [[b"a", b"b"]] * 6
    assert (left(valkey, "track"), letters(valkey, "track")) == (0, [])


def test_it_waits_ever_longer_for_a_server_and_begins_anew_once_it_is_back(
    make_worker: MakeWorker, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = [5, 2]
    waits: list[float] = []

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        if outages[0]:
            outages[0] -= 1
            raise outage()
        outages.pop(0)
        return {}

    worker = make_worker(batches(handle), ("track",))
    monkeypatch.setattr("tasks.worker.LONGEST_WAIT", 8 * FIRST_WAIT)
    monkeypatch.setattr(worker.stop_flag, "wait", lambda seconds: waits.append(seconds / FIRST_WAIT))
    for payload in (b"a", b"b"):
        worker.huey.storage.add("track", [payload])
        worker.loop()
    assert waits == [1, 2, 4, 8, 8, 1, 2]
    assert left(valkey, "track") == 0


def test_it_gives_back_what_an_outage_kept_when_it_must_stop(
    make_worker: MakeWorker, valkey: redis.Redis
) -> None:
    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        raise outage()

    worker = make_worker(batches(handle), ("track",))
    worker.huey.storage.add("track", [b"a"])
    thread = Thread(target=worker.loop)
    thread.start()
    time.sleep(0.1)
    worker.stop_flag.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
    lot = worker.huey.storage.reclaim("track", "other", most=10)
    assert lot is not None
    assert (lot.payloads, lot.deliveries) == ([b"a"], 0)
    assert letters(valkey, "track") == []


def test_it_never_charges_an_entry_for_outages(
    make_worker: MakeWorker, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        nonlocal calls
        calls += 1
        if calls <= 3 * DEATHS_ALONE:
            raise outage()
        return {}

    worker = make_worker(batches(handle), ("track",))
    storage = worker.huey.storage
    storage.add("track", [b"a"])
    (lot,) = storage.take(["track"], "dead", most=1)
    storage.drop(lot)
    time.sleep(LEASE + 0.05)
    monkeypatch.setattr(worker.stop_flag, "wait", lambda seconds: False)  # an outage of minutes, at once
    worker.loop()
    assert (left(valkey, "track"), letters(valkey, "track")) == (0, [])
    assert valkey.hlen(keys.suspects("track")) == 0


@pytest.mark.parametrize("settle", ["acknowledge", "retry"])
def test_it_leaves_no_suspicion_of_what_was_settled_right_before_a_kill(
    make_worker: MakeWorker, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch, settle: str
) -> None:
    def run(context: Context) -> None:
        if settle == "retry":
            raise ValueError("not today")

    worker = make_worker(tasks(run, retries=1), (QUEUE,))
    storage = worker.huey.storage
    storage.add(QUEUE, [message("test.run")])
    (lot,) = storage.take([QUEUE], "dead", most=1)
    storage.drop(lot)
    time.sleep(LEASE + 0.05)
    done = getattr(storage, settle)

    def killed(*args: object, **named: object) -> None:
        done(*args, **named)
        raise SystemExit  # as far as the storage can tell, the process died here

    monkeypatch.setattr(storage, settle, killed)
    with pytest.raises(SystemExit):
        worker.loop()
    assert left(valkey, QUEUE) == 0
    assert valkey.hgetall(keys.suspects(QUEUE)) == {}


def test_it_buries_an_entry_that_killed_enough_processes_alone(
    make_worker: MakeWorker, valkey: redis.Redis
) -> None:
    handled: list[bytes] = []

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        if b"killer" in payloads:
            raise SystemExit  # as far as the storage can tell, the process died here
        handled.extend(payloads)
        return {}

    registry = batches(handle)
    healthy = [b"%d" % number for number in range(100)]
    storage = make_worker(registry, ("track",)).huey.storage
    storage.add("track", [*healthy[:40], b"killer", *healthy[40:]])
    deaths = 0
    while left(valkey, "track") and deaths < 100:
        worker = make_worker(registry, ("track",))
        try:
            worker.loop()
        except SystemExit:
            deaths += 1
            time.sleep(LEASE + 0.05)
    (letter,) = letters(valkey, "track")
    assert (letter[b"e"], letter[b"reason"]) == (b"killer", b"deadly")
    assert sorted(handled) == sorted(healthy)
    assert valkey.hlen(keys.suspects("track")) == 0


def test_it_runs_a_task_with_its_arguments(make_worker: MakeWorker, valkey: redis.Redis) -> None:
    ran: list[tuple[object, ...]] = []
    worker = make_worker(tasks(lambda context, *args: ran.append((type(context), *args))), (QUEUE,))
    worker.huey.storage.add(QUEUE, [message("test.run", 7, "slug")])
    worker.huey.send("test.run", 8, None)
    worker.loop()
    worker.loop()
    assert ran == [(Context, 7, "slug"), (Context, 8, None)]
    assert left(valkey, QUEUE) == 0


def test_it_tries_a_failing_task_again_and_then_buries_it(
    make_worker: MakeWorker, valkey: redis.Redis
) -> None:
    calls: list[int] = []

    def run(context: Context, number: int) -> None:
        calls.append(number)
        raise ValueError("not today")

    worker = make_worker(tasks(run, retries=2, delay=60), (QUEUE,))
    worker.huey.storage.add(QUEUE, [message("test.run", 5)])
    dues = []
    for _ in range(2):
        worker.loop()
        assert (left(valkey, QUEUE), letters(valkey, QUEUE)) == (0, [])
        ((_, due),) = valkey.zrange(keys.later(QUEUE), 0, -1, withscores=True)
        dues.append(due - now_ms())
        assert make_all_due(worker) == 1
    worker.loop()
    assert calls == [5, 5, 5]
    assert [round(due / 60_000) for due in dues] == [1, 2]
    (letter,) = letters(valkey, QUEUE)
    assert letter[b"reason"] == b"failed"
    assert letter[b"task"] == b"test.run"
    assert letter[b"args"] == b"[5]"
    assert letter[b"attempts"] == b"3"
    assert b"not today" in letter[b"traceback"]
    assert task_message.decode(letter[b"m"]).task == "test.run"


def test_it_counts_no_attempt_for_an_outage(make_worker: MakeWorker, valkey: redis.Redis) -> None:
    calls = 0

    def run(context: Context) -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise redis.ConnectionError("gone")

    worker = make_worker(tasks(run, retries=0), (QUEUE,))
    worker.huey.storage.add(QUEUE, [message("test.run")])
    worker.loop()
    assert calls == 4
    assert (left(valkey, QUEUE), letters(valkey, QUEUE)) == (0, [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xc1 garbage", b"poison"),
        (b"", b"poison"),
        (b"\x93\x01\x02\x03", b"poison"),
        (message("####").replace(b"####", b"\xff##\xff"), b"poison"),
        (message("no.such.task"), b"unknown"),
        (msgspec.msgpack.encode(TaskMessage(id="1", task="test.run", version=99)), b"newer"),
    ],
)
def test_it_buries_at_once_what_it_can_not_read(
    make_worker: MakeWorker, valkey: redis.Redis, data: bytes, reason: bytes
) -> None:
    worker = make_worker(tasks(lambda context: None, retries=5), (QUEUE,))
    worker.huey.storage.add(QUEUE, [data])
    worker.loop()
    (letter,) = letters(valkey, QUEUE)
    assert (letter[b"m"], letter[b"reason"]) == (data, reason)
    assert left(valkey, QUEUE) == 0


def test_it_buries_an_entry_with_foreign_fields(make_worker: MakeWorker, valkey: redis.Redis) -> None:
    handled: list[bytes] = []

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        handled.extend(payloads)
        return {}

    worker = make_worker(batches(handle), ("track",))
    worker.huey.storage.add("track", [b"a"])
    valkey.xadd(keys.stream("track"), {"foreign": "field"})
    worker.huey.storage.add("track", [b"b"])
    worker.loop()
    assert handled == [b"a", b"b"]
    (letter,) = letters(valkey, "track")
    assert letter[b"reason"] == b"poison"
    assert b"foreign" in letter[b"e"]


def test_it_works_on_after_an_error_of_its_own(make_worker: MakeWorker, valkey: redis.Redis) -> None:
    results: list[Mapping[int, str]] = [{99: "no such index"}, {}]
    worker = make_worker(batches(lambda payloads: results.pop(0)), ("track",))
    worker.huey.storage.add("track", [b"a"])
    worker.loop()
    assert left(valkey, "track") == 1
    time.sleep(LEASE + 0.05)
    worker.loop()
    assert left(valkey, "track") == 0


def test_it_names_the_request_in_all_that_is_logged_for_a_task(make_worker: MakeWorker) -> None:
    seen: list[str] = []
    worker = make_worker(tasks(lambda context: seen.append(current_request()), retries=1), (QUEUE,))
    data = task_message.encode(TaskMessage(id="7", task="test.run", request="r-12"))
    worker.huey.storage.add(QUEUE, [data, message("test.run")])
    worker.loop()
    worker.loop()
    assert seen == ["r-12", ""]
    assert current_request() == ""


def test_it_keeps_the_request_of_a_task_that_is_tried_again(make_worker: MakeWorker) -> None:
    seen: list[str] = []

    def run(context: Context) -> None:
        seen.append(current_request())
        raise ValueError("not yet")

    worker = make_worker(tasks(run, retries=1), (QUEUE,))
    worker.huey.storage.add(
        QUEUE, [task_message.encode(TaskMessage(id="7", task="test.run", request="r-12"))]
    )
    worker.loop()
    assert make_all_due(worker) == 1
    worker.loop()
    assert seen == ["r-12", "r-12"]
