"""Group commit: the answer leaves after its click is safe, and a hundred clicks at once cost one round trip.

While groups travel to Redis the next one gathers; there is no timer and no added wait. Redis slow or away: the
group goes to the spool on disk instead. An answered click is a kept click; where even the disk refuses, the visitor
is still redirected, and the loss is counted and logged.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from core.observe import CLICKS, logger
from tracker_quart.click_stream import Click, ClickStream
from tracker_quart.contact import Breaker
from tracker_quart.spool import Spool, SpoolFull

PATIENCE_S = 0.1
"""How long visitors wait for Redis before their clicks go to disk."""

LARGEST_GROUP = 500
MOST_TRAVELLING = 4
"""Groups on their way at a time. With one, the process would rest while Redis writes to its disk; with many, groups are
small, and each costs Redis a write of its own."""

MOST_PENDING = 20_000

log = logger(__name__)


class ClickLog:
    """Takes clicks one by one from all requests, and keeps them in groups."""

    def __init__(self, *, stream: ClickStream, spool: Spool, breaker: Breaker) -> None:
        self._stream = stream
        self._spool = spool
        self._breaker = breaker
        self._pending: deque[tuple[Click, Callable[[], None]]] = deque()
        self._travelling: set[asyncio.Task[None]] = set()
        self._is_gathering = False
        self._loop = asyncio.get_running_loop()
        self._in_redis, self._on_disk, self._lost = (
            CLICKS.labels(name) for name in ("redis", "spool", "lost")
        )
        self._losing = False

    def submit(self, click: Click) -> asyncio.Future[None]:
        """Take a click. The future is done once it is in Redis, on disk, or counted as lost; it never fails.

        Whoever stops waiting for the future does not take the click back.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.keep(click, lambda: None if future.done() else future.set_result(None))
        return future

    def keep(self, click: Click, then: Callable[[], None]) -> None:
        """Take a click, and call `then` once it is in Redis, on disk, or counted as lost. `then` must not raise."""
        if len(self._pending) >= MOST_PENDING:
            self.lose(1, "too many clicks wait for a slow disk")
            then()
            return
        self._pending.append((click, then))
        if not self._is_gathering and len(self._travelling) < MOST_TRAVELLING:
            self._gather()

    async def close(self) -> None:
        """Return once every click that was taken is kept."""
        while self._travelling or self._pending:
            await (asyncio.wait(self._travelling) if self._travelling else asyncio.sleep(0))

    def _gather(self) -> None:
        """Send a group after everything that has come by now was read."""
        self._is_gathering = True
        self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_gathering = False
        pending = self._pending
        if len(pending) <= LARGEST_GROUP:
            group = list(pending)
            pending.clear()
        else:
            group = [pending.popleft() for _ in range(LARGEST_GROUP)]
        task = self._loop.create_task(self._carry(group))
        self._travelling.add(task)
        task.add_done_callback(self._arrived)

    def _arrived(self, task: "asyncio.Task[None]") -> None:
        self._travelling.discard(task)
        if self._pending and not self._is_gathering:
            self._gather()

    async def _carry(self, group: "list[tuple[Click, Callable[[], None]]]") -> None:
        await self._keep([click for click, _ in group])
        for _, then in group:
            try:
                then()
            except Exception:  # one visitor's trouble must not keep the others waiting
                log.exception("answer.failed")

    async def _keep(self, clicks: list[Click]) -> None:
        if self._breaker.allows:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._stream.add(clicks)
            except Exception as error:  # whatever it was, the clicks must go somewhere
                self._breaker.failed(error)
            else:
                self._breaker.worked()
                self._in_redis.inc(len(clicks))
                return
        await self.spill(clicks)

    async def spill(self, clicks: list[Click]) -> None:
        """Keep clicks on disk; what the disk refuses is counted as lost."""
        try:
            await self._spool.append(clicks)
        except (SpoolFull, OSError) as error:
            self.lose(len(clicks), str(error))
        else:
            self._on_disk.inc(len(clicks))
            self._losing = False

    def lose(self, clicks: int, reason: str) -> None:
        """Count clicks that could not be kept."""
        self._lost.inc(clicks)
        if not self._losing:
            self._losing = True
            log.error(
                "clicks.lost", reason=reason, note="further losses are only counted, until the spool works"
            )
