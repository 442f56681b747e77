"""Group commit: the answer leaves after its click is safe, and a hundred clicks at once cost one round trip.

While groups travel to Redis the next one gathers; there is no timer and no added wait.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter

from redis.exceptions import NoScriptError

from core.observe import logger
from tracker_quart.click_stream import Click, ClickStream
from tracker_quart.contact import hold
from tracker_quart.keeping import LARGEST_GROUP, MOST_PENDING, Keeping, NotInRedis

MOST_TRAVELLING = 8
"""Groups on their way at a time: one, whatever its size, and more as long as each is of LARGE clicks. With one alone,
this process would rest while Redis writes to its disk; with many small ones, Redis would be busy with nothing else."""

LARGE = 8
_LOOK_S = 0.005

log = logger(__name__)

Group = list[tuple[Click, Callable[[], None]]]


class ClickLog:
    """Takes clicks one by one from all requests, and keeps them in groups. For one event loop, which runs."""

    def __init__(self, *, stream: ClickStream, keeping: Keeping) -> None:
        self._stream = stream
        self._keeping = keeping
        self._pending: Group = []
        self._travelling = 0
        self._is_gathering = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def submit(self, click: Click) -> asyncio.Future[None]:
        """Take a click. The future is done once it is in Redis, on disk, or counted as lost; it never fails.

        Whoever stops waiting for the future does not take the click back.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self.keep(click, lambda: None if future.done() else future.set_result(None))
        return future

    def keep(self, click: Click, then: Callable[[], None]) -> None:
        """Take a click, and call `then` once it is in Redis, on disk, or counted as lost. `then` must not raise."""
        if len(self._pending) >= MOST_PENDING:
            self._keeping.turn_away(click.id)
            then()
            return
        self._pending.append((click, then))
        self._gather()

    async def close(self) -> None:
        """Return once every click that was taken is kept."""
        while self._travelling or self._pending:
            await asyncio.sleep(_LOOK_S)

    def _gather(self) -> None:
        """Send a group, if it is time for one, after everything that has come by now was read."""
        travelling = self._travelling
        if self._is_gathering or travelling >= MOST_TRAVELLING:
            return
        if not travelling or len(self._pending) >= LARGE:
            self._is_gathering = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_gathering = False
        group, self._pending = self._pending[:LARGEST_GROUP], self._pending[LARGEST_GROUP:]
        clicks = [click for click, _ in group]
        self._travelling += 1
        replied = partial(self._replied, group, clicks, perf_counter())
        if not (self._keeping.asks_redis and self._stream.send(clicks, replied)):
            hold(self._tasks, self._carry(group, clicks))

    def _replied(self, group: Group, clicks: list[Click], began: float, reply: object) -> None:
        if not isinstance(reply, Exception):
            self._keeping.acknowledged(len(clicks), seconds=perf_counter() - began)
            self._answer(group, clicks)
        elif isinstance(reply, NoScriptError):
            hold(self._tasks, self._carry(group, clicks))
        else:
            self._keeping.refused(reply)
            hold(self._tasks, self._put_down(group, clicks))

    async def _carry(self, group: Group, clicks: list[Click]) -> None:
        """The way of a group where a connection has to be made, or the script sent; or Redis is known to be away."""
        try:
            await self._keeping.in_redis(len(clicks), partial(self._stream.add, clicks))
        except NotInRedis:
            await self._put_down(group, clicks)
        else:
            self._answer(group, clicks)

    async def _put_down(self, group: Group, clicks: list[Click]) -> None:
        await self._keeping.on_disk(clicks)
        self._answer(group, clicks)

    def _answer(self, group: Group, clicks: list[Click]) -> None:
        self._keeping.answered([click.id for click in clicks])
        for _, then in group:
            try:
                then()
            except Exception:  # one visitor's trouble must not keep the others waiting
                log.exception("answer.failed")
        self._travelling -= 1
        if self._pending:
            self._gather()
