"""The queues over time: a sample of every queue each fifteen seconds, kept for a day, and their peaks for a week."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis, ResponseError

from core.contracts import keys
from core.contracts.keys import QUEUES, SAMPLE_EVERY_S
from core.services.queues.states import entry_ms, moment_of, read_processes

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """All queues at one moment: entries that waited or ran, entries done in the minute before, worker processes."""

    at: datetime
    depth: Mapping[str, int]
    done: Mapping[str, int]
    processes: int


def take_sample(redis: "Redis", *, now: datetime) -> bool:
    """Keep a sample for the fifteen seconds that hold `now`, and every five minutes the peaks since the last ones.
    False when another process did. Raises RedisError."""
    slot = int(now.timestamp()) // SAMPLE_EVERY_S * SAMPLE_EVERY_S
    pipe = redis.pipeline(transaction=False)
    for queue in QUEUES:
        pipe.xlen(keys.stream(queue))
        pipe.xlen(keys.held(queue))
    pipe.hgetall(keys.stats(slot // 60 - 1))
    *lengths, stats = pipe.execute()
    fields: dict[str, int] = {"processes": len(read_processes(redis))}
    for place, queue in enumerate(QUEUES):
        fields[f"{queue}:depth"] = lengths[2 * place] + lengths[2 * place + 1]
        fields[f"{queue}:done"] = int(stats.get(f"{queue}:done".encode(), 0))
    if not _keep(redis, keys.DEPTHS, fields, slot, kept=keys.SAMPLES_KEPT):
        return False
    if slot % keys.WEEK_SAMPLE_EVERY_S < SAMPLE_EVERY_S:
        peaks = _peaks(redis, since=slot - keys.WEEK_SAMPLE_EVERY_S + 1)
        _keep(redis, keys.DEPTHS_OF_WEEK, peaks, slot, kept=keys.WEEK_SAMPLES_KEPT)
    return True


def read_samples(redis: "Redis", *, since: datetime, now: datetime) -> list[Sample]:
    """The samples since then, oldest first; peaks of five minutes where that is more than a day ago. Raises
    RedisError."""
    name = keys.DEPTHS if now - since <= _DAY else keys.DEPTHS_OF_WEEK
    rows: Any = redis.xrange(name, min=str(int(since.timestamp() * 1000)))
    return [_sample(entry, fields) for entry, fields in rows]


def _keep(redis: "Redis", name: str, fields: dict[str, int], slot: int, *, kept: int) -> bool:
    """False when somebody kept a sample of that time, or a later one."""
    try:
        redis.xadd(name, fields, id=f"{slot * 1000}-0", maxlen=kept, approximate=True)  # type: ignore[arg-type]
    except ResponseError as error:
        if "equal or smaller" in str(error):
            return False
        raise
    return True


def _peaks(redis: "Redis", *, since: int) -> dict[str, int]:
    rows: Any = redis.xrange(keys.DEPTHS, min=str(since * 1000))
    peaks: dict[str, int] = {}
    for _, fields in rows:
        for field, number in fields.items():
            name = field.decode()
            peaks[name] = max(peaks.get(name, 0), int(number))
    return peaks


def _sample(entry: bytes, fields: Mapping[bytes, bytes]) -> Sample:
    def of(what: str) -> dict[str, int]:
        return {queue: int(fields.get(f"{queue}:{what}".encode(), 0)) for queue in QUEUES}

    return Sample(moment_of(entry_ms(entry)), of("depth"), of("done"), int(fields.get(b"processes", 0)))
