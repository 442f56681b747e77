"""How the queues are: what waits, runs, is put off or set aside, how fast it goes, and who works.

Everything here costs a fixed number of commands, whatever lies in the queues.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from redis import Redis, ResponseError

from core.contracts import keys
from core.contracts.keys import GROUP, QUEUES

_HOUR_MINUTES = 60


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue. `waiting` counts what is `held` while the queue is paused too; `oldest_s` is the age in seconds of the
    oldest entry that waits or runs, `waits_s` of the oldest that no worker has begun, both 0 for none; `rate` is
    entries done a minute, lately."""

    name: str
    waiting: int
    running: int
    retrying: int
    dead: int
    oldest_s: float
    waits_s: float = 0.0
    paused: bool = False
    rate: float = 0.0
    held: int = 0

    @property
    def clears_s(self) -> float | None:
        """Seconds until all of it is done at the rate of now; None when nothing moves, or shall not."""
        depth = self.waiting + self.running
        if not depth:
            return 0.0
        return depth / self.rate * 60 if self.rate >= 1 and not self.paused else None


@dataclass(frozen=True, slots=True)
class Throughput:
    """What became of entries of all queues in the hour that ends now; `ms` is the time that calls took together."""

    done: int
    failed: int
    retried: int
    ms: int


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker thread does now."""

    queue: str
    task: str
    entries: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process by its last heartbeat. `queues` are the names that it takes from, `rate` the entries that it has
    done a minute, lately."""

    name: str
    host: str
    pid: int
    pool: str
    lanes: int
    started: datetime
    seen: datetime
    rss_bytes: int
    jobs: tuple[Job, ...]
    queues: tuple[str, ...] = ()
    rate: int = 0


def read_queues(redis: "Redis", *, now: datetime) -> list[QueueState]:
    """Every queue, in order of priority. Raises RedisError."""
    pipe = redis.pipeline(transaction=False)
    for queue in QUEUES:
        pipe.xlen(keys.stream(queue))
        pipe.xrange(keys.stream(queue), count=1)
        pipe.xpending(keys.stream(queue), GROUP)
        pipe.xlen(keys.held(queue))
        pipe.xrange(keys.held(queue), count=1)
        pipe.zcard(keys.later(queue))
        pipe.xlen(keys.dead(queue))
        pipe.eval(_first_unbegun(), 1, keys.stream(queue), GROUP)
    pipe.smembers(keys.PAUSED)
    minute = int(now.timestamp()) // 60
    pipe.hgetall(keys.stats(minute))
    pipe.hgetall(keys.stats(minute - 1))
    answers = pipe.execute(raise_on_error=False)
    this, last = (_counts(answer) for answer in answers[-2:])
    paused = _checked(answers[-3])
    passed = now.timestamp() % 60 / 60
    states = []
    for place, queue in enumerate(QUEUES):
        length, first, pending, held, first_held, later, dead, unbegun = answers[place * 8 : place * 8 + 8]
        running = 0 if isinstance(pending, ResponseError) else int(_checked(pending)["pending"])
        done = this.get(f"{queue}:done", 0) + last.get(f"{queue}:done", 0) * (1 - passed)
        states.append(
            QueueState(
                name=queue,
                waiting=max(_checked(length) - running, 0) + _checked(held),
                running=running,
                retrying=_checked(later),
                dead=_checked(dead),
                oldest_s=max(age_s(_checked(first), now), age_s(_checked(first_held), now)),
                waits_s=max(age_s(_checked(unbegun), now), age_s(_checked(first_held), now)),
                paused=queue.encode() in paused,
                rate=done,
                held=held,
            )
        )
    return states


def read_throughput(redis: "Redis", *, now: datetime) -> Throughput:
    """All queues in the last sixty minutes, the running one included. Raises RedisError."""
    minute = int(now.timestamp()) // 60
    pipe = redis.pipeline(transaction=False)
    for back in range(_HOUR_MINUTES):
        pipe.hgetall(keys.stats(minute - back))
    totals = {"done": 0, "failed": 0, "retried": 0, "ms": 0}
    for answer in pipe.execute():
        for name, count in _counts(answer).items():
            what = name.rpartition(":")[2]
            if what in totals:
                totals[what] += count
    return Throughput(**totals)


def read_processes(redis: "Redis") -> list[Process]:
    """Worker processes that are alive, by pool and name. Raises RedisError.

    Their names come from the consumers of the streams: a search through all names of Redis would pass every link."""
    pipe = redis.pipeline(transaction=False)
    for queue in QUEUES:
        pipe.xinfo_consumers(keys.stream(queue), GROUP)
    names: set[str] = set()
    for rows in pipe.execute(raise_on_error=False):
        if not isinstance(rows, ResponseError):
            names |= {row["name"].decode().rsplit(".", 2)[0] for row in _checked(rows)}
    if not names:
        return []
    ordered = sorted(names)
    pipe = redis.pipeline(transaction=False)
    for name in ordered:
        pipe.hgetall(keys.worker(name))
    beats = zip(ordered, pipe.execute(), strict=True)
    return sorted(
        (_process(name, beat) for name, beat in beats if beat), key=lambda one: (one.pool, one.name)
    )


def age_s(entries: Any, now: datetime) -> float:
    """Age in seconds of the first of `entries` of a stream, 0 where there are none."""
    return max(now.timestamp() - entry_ms(entries[0][0]) / 1000, 0.0) if entries else 0.0


def entry_ms(entry: bytes | str) -> int:
    """When an entry was added to its stream, in ms since 1970."""
    text = entry.decode() if isinstance(entry, bytes) else entry
    return int(text.partition("-")[0])


def moment_of(ms: int) -> datetime:
    """A time that is stored as ms since 1970, aware."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def after_delivered(groups: Any) -> bytes:
    """Where, in a stream, entries begin that were never delivered, from the answer about its groups."""
    rows = () if isinstance(groups, ResponseError) else _checked(groups)
    delivered = next((row["last-delivered-id"] for row in rows if row["name"] == GROUP.encode()), None)
    return b"(" + delivered if delivered else b"-"


@cache
def _first_unbegun() -> str:
    """A script, so that it takes no second round trip: what begins after the last delivered entry is known to Redis
    alone. Sent whole each time, since it is small and whoever asks has no connection of its own."""
    return files("core.services.queues").joinpath("first_unbegun.lua").read_text(encoding="utf-8")


def _process(name: str, beat: Mapping[bytes, bytes]) -> Process:
    def number(field: bytes) -> int:
        return int(beat.get(field) or 0)

    try:
        running: Sequence[dict[str, Any]] = json.loads(beat.get(b"running") or b"[]")
    except ValueError:
        running = []
    return Process(
        name=name,
        host=beat.get(b"host", b"").decode(),
        pid=number(b"pid"),
        pool=beat.get(b"pool", b"").decode(),
        lanes=number(b"lanes"),
        started=moment_of(number(b"started_ms")),
        seen=moment_of(number(b"seen_ms")),
        rss_bytes=number(b"rss_bytes"),
        jobs=tuple(
            Job(
                str(job.get("queue", "")),
                str(job.get("task") or ""),
                int(job.get("entries", 0)),
                moment_of(int(job.get("since_ms", 0))),
            )
            for job in running
        ),
        queues=tuple(beat.get(b"queues", b"").decode().split()),
        rate=number(b"done_a_minute"),
    )


def _counts(answer: Any) -> dict[str, int]:
    return {name.decode(): int(count) for name, count in _checked(answer).items()}


def _checked(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
