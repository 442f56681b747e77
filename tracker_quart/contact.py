"""How the tracker speaks to Redis: one client whose every wait is bounded, and breakers that remember a failure."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from core.observe import logger
from core.redis_url import CLUSTER, SERVER, read_redis_url
from tracker_quart.pipeline import GONE_BY
from tracker_quart.whereabouts import Cluster, pool

NOT_ANSWERED = (RedisError, OSError, TimeoutError)
"""What a call may raise when Redis is away, slow, full or read-only."""

PAUSE_S = 0.5
_CONNECT_S = 0.5
_READ_S = 2.0  # the outermost bound; each caller sets its own, shorter one
_AGAIN_S = 0.1

log = logger(__name__)


class _Client(Redis):
    """Leaves a server that may not be written to, or serves us no more: after a failover the same address leads to
    another one, while connections to the demoted server last as long as that server."""

    async def parse_response(self, connection: Any, command_name: str | bytes, **options: Any) -> Any:
        try:
            return await super().parse_response(connection, command_name, **options)
        except GONE_BY:
            await connection.disconnect()
            await self.connection_pool.disconnect(inuse_connections=False)
            raise


def make_client(url: str) -> Redis:
    """A client over a pool of persistent connections; it connects when first used, never retries, replies in bytes.

    `url` has a form of Settings.redis_url; of a cluster it is the server of our slot. Retries are the caller's
    decision: the client's own would add seconds to a redirect and run a command twice. A server that turned read-only,
    or serves our slot no more, is left.
    """
    place = read_redis_url(url)
    if place.kind == SERVER:
        client: Redis = _Client.from_url(url, **_options(connections=16))
        return client
    return _Client.from_pool(pool(place, **_options(connections=16)))


def cluster_of(url: str) -> Cluster | None:
    """The cluster that `url` names; None where it names something else."""
    place = read_redis_url(url)
    return Cluster(place, **_options(connections=1)) if place.kind == CLUSTER else None


def _options(*, connections: int) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_connect_timeout": _CONNECT_S,
        "socket_timeout": _READ_S,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": connections,
        "driver_info": None,
    }


def hold(tasks: "set[asyncio.Task[None]]", work: Coroutine[Any, Any, None]) -> None:
    """Start work, and keep its task in `tasks` until it is done: the event loop itself would let go of it."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and return once they have ended.

    One cancellation is not enough: on Python 3.11 `asyncio.wait_for`, in which redis-py sends, forgets one that comes
    while the sending ends, and the task goes on for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_S)


class Breaker:
    """Remembers that Redis failed, so that visitors do not wait for it one by one.

    Open for PAUSE_S after a failure; then calls are let through again until one of them reports how it went.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.failing = False
        self.worked_once = False
        self.outages = 0
        """How often it began to fail."""
        self._name = name
        self._clock = clock
        self._closed_until = 0.0

    @property
    def allows(self) -> bool:
        """False while a failure is so fresh that a further call would only wait."""
        return not self.failing or self._clock() >= self._closed_until

    def worked(self) -> None:
        """Redis did what was asked."""
        self.worked_once = True
        if self.failing:
            self.failing = False
            log.info("redis.back", contact=self._name)

    def failed(self, error: BaseException) -> None:
        """Redis did not answer, or refused."""
        self._closed_until = self._clock() + PAUSE_S
        if not self.failing:
            self.failing = True
            self.outages += 1
            log.warning("redis.away", contact=self._name, error=f"{type(error).__name__}: {error}"[:300])
