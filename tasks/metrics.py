"""What a worker counts, for Prometheus. The names are part of the interface."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import redis
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.observe import logger
from core.services.queues.states import QueueState, read_queues

log = logger(__name__)

DONE = Counter("rastro_worker_done", "Entries whose work is done", ["queue"])
DEAD = Counter("rastro_worker_dead", "Entries moved to the dead letters", ["queue", "reason"])
RETRIED = Counter("rastro_worker_retried", "Messages put aside for a further attempt", ["queue"])
REDELIVERED = Counter(
    "rastro_worker_redelivered", "Entries taken over from a consumer that fell silent", ["queue"]
)
CLICKS = Counter("rastro_worker_clicks", "Clicks handed to the store, by what became of them", ["fate"])
POSTBACKS = Counter(
    "rastro_worker_postbacks", "Postbacks handed to the inbox, by what became of them", ["fate"]
)
VERDICTS = Counter("rastro_worker_verdicts", "Verdicts given on postbacks, those given anew too", ["verdict"])
WAITED = Counter("rastro_worker_waited", "Times that a worker waited for PostgreSQL or Redis", ["queue"])
SECONDS = Histogram(
    "rastro_worker_seconds",
    "Time that one call of a task or batch handler took",
    ["queue"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600),
)
SENT = Counter(
    "rastro_sending_attempts", "Attempts to send a conversion on, by what came of them", ["result"]
)
SENDING_SECONDS = Histogram(
    "rastro_sending_seconds",
    "Time that a receiver took to answer an attempt",
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SENDING_WAITING = Gauge("rastro_sending_waiting", "What is to be sent on, now or later")


_GAUGES = {
    "waiting": "Entries that no worker has taken yet",
    "running": "Entries that workers hold",
    "later": "Messages that wait for their time",
    "held": "Entries that wait while their queue is paused",
    "dead": "Dead letters",
    "oldest_seconds": "Age of the oldest entry that waits or runs",
    "throughput": "Entries done a second by all workers, in the last minute",
    "clear_seconds": "Time to clear what waits and runs at that throughput; +Inf when nothing moves, or shall not",
    "paused": "1 while the queue is paused",
}


class QueueGauges(Collector):
    """How the queues are, asked of Redis for each look at the metrics, as the console asks: two round trips, whatever
    the backlog is."""

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
                states = read_queues(self._client, now=datetime.now(UTC))
            except redis.RedisError as error:
                log.warning("metrics.no_queues", reason=str(error))
                states = []
            for state in states:
                if state.name in self._queues:
                    for name, value in _gauges(state).items():
                        families[name].add_metric([state.name], value)
        yield from families.values()


QUEUES = QueueGauges()


def _gauges(state: QueueState) -> dict[str, float]:
    clears = state.clears_s
    return {
        "waiting": state.waiting - state.held,
        "running": state.running,
        "later": state.retrying,
        "held": state.held,
        "dead": state.dead,
        "oldest_seconds": state.oldest_s,
        "throughput": state.rate / 60,
        "clear_seconds": float("inf") if clears is None else clears,
        "paused": float(state.paused),
    }
