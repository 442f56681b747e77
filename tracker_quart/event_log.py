"""Group commit: the answer leaves after its click (or postback) is safe, and a hundred at once cost one round trip.

While groups travel to Redis the next one gathers; there is no timer and no added wait.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter

from redis.exceptions import NoScriptError

from core.observe import logger
from tracker_quart.contact import hold
from tracker_quart.event_stream import Event, EventStream
from tracker_quart.keeping import LARGEST_GROUP, MOST_PENDING, Keeping, NotInRedis

MOST_TRAVELLING = 8
"""Groups on their way at a time: one, whatever its size, and more as long as each is of LARGE events. With one alone,
this process would rest while Redis writes to its disk; with many small ones, Redis would be busy with nothing else."""

LARGE = 8
_LOOK_S = 0.005

log = logger(__name__)

Then = Callable[[], None]
Group = list[tuple[Event, Then, Then]]


class EventLog:
    """Takes events one by one from all requests, and keeps them in groups. For one event loop, which runs."""

    def __init__(self, *, stream: EventStream, keeping: Keeping) -> None:
        self._stream = stream
        self._keeping = keeping
        self._pending: Group = []
        self._travelling = 0
        self._is_gathering = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def submit(self, event: Event) -> asyncio.Future[bool]:
        """Take an event. The future is done once it is in Redis or on disk, with True, or counted as lost, with False;
        it never fails.

        Whoever stops waiting for the future does not take the event back.
        """
        future: asyncio.Future[bool] = self._loop.create_future()

        def done(is_kept: bool) -> None:
            if not future.done():
                future.set_result(is_kept)

        self.keep(event, partial(done, True), partial(done, False))
        return future

    def keep(self, event: Event, then: Then, otherwise: Then | None = None) -> None:
        """Take an event, and call `then` once it is in Redis or on disk. Where it is lost, `otherwise` is called in its
        place, or `then` too where there is none: a visitor is led on all the same. Neither must raise."""
        if len(self._pending) >= MOST_PENDING:
            self._keeping.turn_away(event.id)
            (otherwise or then)()
            return
        self._pending.append((event, then, otherwise or then))
        self._gather()

    async def close(self) -> None:
        """Return once every event that was taken is kept."""
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
        events = [event for event, _, _ in group]
        self._travelling += 1
        replied = partial(self._replied, group, events, perf_counter())
        if not (self._keeping.asks_redis and self._stream.send(events, replied)):
            hold(self._tasks, self._carry(group, events))

    def _replied(self, group: Group, events: list[Event], began: float, reply: object) -> None:
        if not isinstance(reply, Exception):
            self._keeping.acknowledged(len(events), seconds=perf_counter() - began)
            self._answer(group, events)
        elif isinstance(reply, NoScriptError):
            hold(self._tasks, self._carry(group, events))
        else:
            self._keeping.refused(reply)
            hold(self._tasks, self._put_down(group, events))

    async def _carry(self, group: Group, events: list[Event]) -> None:
        """The way of a group where a connection has to be made, or the script sent; or Redis is known to be away."""
        try:
            await self._keeping.in_redis(len(events), partial(self._stream.add, events))
        except NotInRedis:
            await self._put_down(group, events)
        else:
            self._answer(group, events)

    async def _put_down(self, group: Group, events: list[Event]) -> None:
        is_kept = await self._keeping.on_disk(events)
        self._answer(group, events, is_kept=is_kept)

    def _answer(self, group: Group, events: list[Event], *, is_kept: bool = True) -> None:
        self._keeping.answered([event.id for event in events])
        for _, then, otherwise in group:
            try:
                then() if is_kept else otherwise()
            except Exception:  # one visitor's trouble must not keep the others waiting
                log.exception("answer.failed")
        self._travelling -= 1
        if self._pending:
            self._gather()
