"""What a worker counts, for Prometheus. The names are part of the interface."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.contracts import keys
from core.observe import logger

log = logger(__name__)

DONE = Counter("rastro_worker_done", "Entries whose work is done", ["queue"])
DEAD = Counter("rastro_worker_dead", "Entries moved to the dead letters", ["queue", "reason"])
RETRIED = Counter("rastro_worker_retried", "Messages put aside for a further attempt", ["queue"])
REDELIVERED = Counter(
    "rastro_worker_redelivered", "Entries taken over from a consumer that fell silent", ["queue"]
)
CLICKS = Counter("rastro_worker_clicks", "Clicks handed to the store, by what became of them", ["fate"])
WAITED = Counter("rastro_worker_waited", "Times that a worker waited for PostgreSQL or Redis", ["queue"])
SECONDS = Histogram(
    "rastro_worker_seconds",
    "Time that one call of a task or batch handler took",
    ["queue"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600),
)


_GAUGES = {
    "waiting": "Entries that no worker has taken yet",
    "running": "Entries that workers hold",
    "later": "Messages that wait for their time",
    "held": "Entries that wait while their queue is paused",
    "dead": "Dead letters",
    "oldest_seconds": "Age of the oldest entry that waits or runs",
    "throughput": "Entries done a second by all workers, in the last one to two minutes",
    "clear_seconds": "Time to clear what waits and runs at that throughput; +Inf when nothing is done",
    "paused": "1 while the queue is paused",
}


class QueueGauges(Collector):
    """How the queues are, asked of Redis for each look at the metrics: one round trip, whatever the backlog is."""

    def __init__(self) -> None:
        self._client: redis.Redis | None = None
        self._queues: tuple[str, ...] = ()
        REGISTRY.register(self)

    def watch(self, client: "redis.Redis", queues: Sequence[str]) -> None:
        """From now on show these queues."""
        self._client, self._queues = client, tuple(queues)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Called by prometheus_client for each look at the metrics. Without Redis there are no samples."""
        families = {
            name: GaugeMetricFamily(f"rastro_queue_{name}", about, labels=["queue"])
            for name, about in _GAUGES.items()
        }
        if self._client is not None:
            try:
                found = _ask(self._client, self._queues, now=time.time())
            except redis.RedisError as error:
                log.warning("metrics.no_queues", reason=str(error))
                found = {}
            for queue, gauges in found.items():
                for name, value in gauges.items():
                    families[name].add_metric([queue], value)
        yield from families.values()


QUEUES = QueueGauges()


def _ask(client: "redis.Redis", queues: Sequence[str], *, now: float) -> dict[str, dict[str, float]]:
    minute = int(now // 60)
    pipeline = client.pipeline(transaction=False)
    for number in (minute - 1, minute):
        pipeline.hmget(keys.stats(number), [f"{queue}:done" for queue in queues])
    pipeline.smembers(keys.PAUSED)
    for queue in queues:
        pipeline.xlen(keys.stream(queue))
        pipeline.xpending(keys.stream(queue), keys.GROUP)
        pipeline.xrange(keys.stream(queue), count=1)
        pipeline.zcard(keys.later(queue))
        pipeline.xlen(keys.held(queue))
        pipeline.xlen(keys.dead(queue))
    before, current, paused, *answers = pipeline.execute(raise_on_error=False)
    for answer in (before, current, paused, *answers):
        if isinstance(answer, Exception) and "NOGROUP" not in str(answer):
            raise answer
    span = 60 + now % 60
    found = {}
    for place, queue in enumerate(queues):
        rate = (int(before[place] or 0) + int(current[place] or 0)) / span
        found[queue] = _gauges(answers[6 * place : 6 * place + 6], rate=rate, now=now)
        found[queue]["paused"] = float(queue.encode() in paused)
    return found


def _gauges(answers: Sequence[Any], *, rate: float, now: float) -> dict[str, float]:
    length, pending, first, later, held, dead = answers
    running = 0 if isinstance(pending, Exception) else min(int(pending["pending"]), length)
    age = now - int(first[0][0].partition(b"-")[0]) / 1000 if first else 0.0
    return {
        "waiting": length - running,
        "running": running,
        "later": later,
        "held": held,
        "dead": dead,
        "oldest_seconds": max(age, 0.0),
        "throughput": rate,
        "clear_seconds": length / rate if rate else float("inf") if length else 0.0,
    }
