"""Real worker processes: start, work, drain, and what becomes of what they held."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from core.contracts import keys, task_message
from core.contracts.task_message import TaskMessage
from tasks.consumer import Rate
from tests.tasks.sample_worker import EVENTS, HANDLED

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(environment: dict[str, str], valkey: redis.Redis, tmp_path: Path) -> Iterator[Start]:
    """`start(pool="default", module=..., **settings)`: a worker process, ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(pool: str = "default", **settings: str) -> "subprocess.Popen[str]":
        log = tmp_path / f"worker{len(running)}.log"
        with log.open("w") as output:
            program = subprocess.Popen(
                [sys.executable, "-m", "tests.tasks.sample_worker", pool],
                env={**environment, "WORKER_LEASE": "1", **settings},
                stderr=output,
                text=True,
            )
        running.append(program)
        before = len(workers(valkey))
        until(lambda: len(workers(valkey)) > before or program.poll() is not None)
        assert program.poll() is None, log.read_text()
        return program

    yield begin
    for program in running:
        program.kill()
        program.wait(timeout=20)


def until(condition: Callable[[], object], limit: float = 30.0) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def workers(valkey: redis.Redis) -> list[dict[bytes, bytes]]:
    return [valkey.hgetall(name) for name in valkey.scan_iter(match=keys.worker("*"))]


def events(valkey: redis.Redis) -> list[str]:
    return [event.decode() for event in valkey.lrange(EVENTS, 0, -1)]


def send(valkey: redis.Redis, queue: str, task: str, *args: str | float) -> None:
    data = task_message.encode(TaskMessage(id="1", task=task, args=args))
    valkey.xadd(keys.stream(queue), {keys.TASK_FIELD: data})


def click(valkey: redis.Redis, name: str, seconds: float = 0) -> None:
    valkey.xadd(keys.stream("track"), {keys.EVENT_FIELD: f"{name}:{seconds}"})


def is_empty(valkey: redis.Redis) -> bool:
    return not any(valkey.xlen(keys.stream(queue)) for queue in keys.QUEUES)


def stop(program: "subprocess.Popen[str]") -> int:
    program.send_signal(signal.SIGTERM)
    return program.wait(timeout=30)


def test_it_works_says_so_and_leaves_nothing_behind(start: Start, valkey: redis.Redis) -> None:
    click(valkey, "early")
    program = start()
    click(valkey, "late")
    send(valkey, "publish", "sample.note", "published")
    until(lambda: is_empty(valkey) and len(valkey.hgetall(HANDLED)) == 2)
    (worker,) = workers(valkey)
    assert (worker[b"pool"], worker[b"pid"]) == (b"default", str(program.pid).encode())
    assert valkey.hgetall(HANDLED) == {b"early": b"1", b"late": b"1"}
    assert events(valkey) == ["published"]
    assert stop(program) == 0
    assert workers(valkey) == []
    assert [valkey.xinfo_consumers(keys.stream(queue), keys.GROUP) for queue in keys.QUEUES] == [[]] * 4


def test_it_takes_a_lone_click_without_delay(start: Start, valkey: redis.Redis) -> None:
    start("track")
    for number in range(5):
        click(valkey, str(number))
        until(lambda n=number: valkey.hexists(HANDLED, str(n)))  # type: ignore[misc]


def test_it_publishes_while_a_long_task_runs(start: Start, valkey: redis.Redis) -> None:
    start()
    send(valkey, "system", "sample.sleep", "export", 60)
    until(lambda: events(valkey) == ["export begins"])
    send(valkey, "publish", "sample.note", "published")
    click(valkey, "click")
    until(lambda: events(valkey) == ["export begins", "published"] and valkey.hexists(HANDLED, "click"))


def test_pool_track_leaves_other_queues_alone(start: Start, valkey: redis.Redis) -> None:
    for queue in ("publish", "conversion", "system"):
        send(valkey, queue, "sample.note", queue)
    click(valkey, "click")
    program = start("track")
    until(lambda: valkey.hexists(HANDLED, "click"))
    assert stop(program) == 0
    assert [valkey.xlen(keys.stream(queue)) for queue in keys.QUEUES] == [1, 1, 1, 0]


def test_it_finishes_what_runs_when_told_to_stop(start: Start, valkey: redis.Redis) -> None:
    program = start()
    send(valkey, "system", "sample.sleep", "first", 2)
    send(valkey, "system", "sample.sleep", "second", 2)
    click(valkey, "slow", 2)
    until(lambda: events(valkey) == ["first begins"])
    assert stop(program) == 0
    assert events(valkey) == ["first begins", "first ends"]
    assert valkey.hgetall(HANDLED) == {b"slow": b"1"}
    assert valkey.xlen(keys.stream("system")) == 1


def test_it_gives_back_what_outlasts_the_drain(start: Start, valkey: redis.Redis) -> None:
    program = start(DRAIN_LIMIT="1", WORKER_LEASE="600")
    send(valkey, "system", "sample.sleep", "long", 120)
    until(lambda: events(valkey) == ["long begins"])
    assert stop(program) == 0
    (pending,) = valkey.xpending_range(keys.stream("system"), keys.GROUP, "-", "+", 10)
    assert pending["times_delivered"] == 0
    start(WORKER_LEASE="600")
    until(lambda: events(valkey) == ["long begins", "long begins"])


def test_it_keeps_a_task_that_runs_longer_than_the_lease(start: Start, valkey: redis.Redis) -> None:
    start()
    start()
    send(valkey, "system", "sample.sleep", "long", 4)
    until(lambda: is_empty(valkey))
    assert events(valkey) == ["long begins", "long ends"]


@pytest.mark.faults
def test_it_runs_a_task_again_whose_worker_was_killed(start: Start, valkey: redis.Redis) -> None:
    killed = start()
    send(valkey, "system", "sample.sleep", "task", 1)
    until(lambda: events(valkey) == ["task begins"])
    killed.kill()
    start()
    until(lambda: is_empty(valkey))
    assert events(valkey) == ["task begins", "task begins", "task ends"]


@pytest.mark.faults
def test_it_keeps_a_retry_whose_worker_was_killed(start: Start, valkey: redis.Redis) -> None:
    killed = start()
    send(valkey, "system", "sample.fail")
    until(lambda: valkey.zcard(keys.later("system")))
    killed.kill()
    start()
    until(lambda: valkey.xlen(keys.dead("system")))
    assert events(valkey) == ["tried", "tried"]
    ((_, letter),) = valkey.xrange(keys.dead("system"))
    assert (letter[b"reason"], letter[b"attempts"]) == (b"failed", b"2")


def test_it_tells_what_it_runs(start: Start, valkey: redis.Redis) -> None:
    start()
    send(valkey, "system", "sample.sleep", "export", 60)

    def running() -> list[dict[str, str | int]]:
        return [run for worker in workers(valkey) for run in json.loads(worker[b"running"])]

    until(running)
    (run,) = running()
    assert (run["queue"], run["task"], run["entries"]) == ("system", "sample.sleep", 1)
    assert abs(int(run["since_ms"]) - time.time() * 1000) < 60_000
    (worker,) = workers(valkey)
    assert int(worker[b"rss_bytes"]) > 10_000_000
    assert int(worker[b"lanes"]) == 4
    assert worker[b"queues"] == b"publish conversion system track"


def test_it_tells_how_much_it_did_in_the_last_minute() -> None:
    rate = Rate()
    said = [rate.of(total, now_ms=at) for total, at in ((5, 0), (65, 30_000), (105, 60_000), (105, 90_001))]
    assert said == [0, 60, 100, 0]


def test_it_pauses_and_resumes_without_losing_or_doubling_a_click(start: Start, valkey: redis.Redis) -> None:
    start(WORKER_LEASE="5")
    start("track", WORKER_LEASE="5")
    names: list[str] = []

    def click_until_held() -> bool:
        names.append(str(len(names)))
        click(valkey, names[-1], 0.001)
        return int(valkey.xlen(keys.held("track"))) > 20

    for _ in range(3):
        valkey.sadd(keys.PAUSED, "track")
        until(click_until_held)
        valkey.delete(keys.PAUSED)
    until(lambda: valkey.xlen(keys.held("track")) + valkey.xlen(keys.stream("track")) == 0)
    assert valkey.hgetall(HANDLED) == {name.encode(): b"1" for name in names}


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("DATABASE_URL", "", "DATABASE_URL is not set."),
        ("REDIS_URL", "http://x", "REDIS_URL must start with one of redis://"),
        ("WORKER_LEASE", "soon", "WORKER_LEASE must be a whole number, not 'soon'."),
        ("WORKER_POOL", "everything", "WORKER_POOL must be one of default, track, not 'everything'."),
    ],
)
def test_it_refuses_a_bad_setting_in_one_line(
    environment: dict[str, str], setting: str, value: str, line: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks"],
        env={**environment, setting: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
