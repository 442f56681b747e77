"""Clicks of links with a click cap: what Redis counts chooses the answer.

They travel in groups of their own: while one group travels the next one gathers. Redis slow or away: the visitor is led
to the destination, the click goes to disk, and counts once it is replayed, perhaps beyond the cap. A tracker remembers
no count: what was not counted in Redis can not be told to the other trackers.
"""

import asyncio
from collections import deque
from functools import partial

from msgspec.structs import replace

from core.contracts import click_event
from core.contracts.click_event import ClickEvent
from core.domain.decision import Decision
from tracker_quart.cap_stream import FULL, PERSON, ROBOT, CappedClick, CapStream
from tracker_quart.event_stream import Event
from tracker_quart.keeping import LARGEST_GROUP, MOST_PENDING, Keeping, NotInRedis


def capped_click(event: ClickEvent, *, cap: int, over: Decision) -> CappedClick:
    """The click of a visitor who is led as `event` says, or answered `over` once the link's cap is reached."""
    is_person = not event.door_bot
    led = replace(event, cap=cap if is_person else 0)
    capped = replace(
        event, outcome=over.outcome, rule=over.rule, variant=over.variant, landing_utm=None, app=""
    )
    return CappedClick(
        event.id, event.link_id, cap, is_person, click_event.encode(led), click_event.encode(capped)
    )


class Caps:
    """Takes clicks of capped links one by one, and says what each is answered."""

    def __init__(self, *, stream: CapStream, keeping: Keeping) -> None:
        self._stream = stream
        self._keeping = keeping
        self._pending: deque[tuple[CappedClick, asyncio.Future[bool]]] = deque()
        self._flusher: asyncio.Task[None] | None = None

    def submit(self, click: CappedClick) -> asyncio.Future[bool]:
        """Take a click. The future is done once it is kept, and never fails: True to lead the visitor to the
        destination, False where the cap is reached."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if len(self._pending) >= MOST_PENDING:
            self._keeping.turn_away(click.id)
            future.set_result(True)
            return future
        self._pending.append((click, future))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return future

    async def close(self) -> None:
        """Return once every click that was taken is kept."""
        while self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        try:
            while self._pending:
                group = [self._pending.popleft() for _ in range(min(len(self._pending), LARGEST_GROUP))]
                verdicts = await self._decide([click for click, _ in group])
                self._keeping.answered([click.id for click, _ in group])
                for (_, future), is_led in zip(group, verdicts, strict=True):
                    if not future.done():  # whoever waited may have given up; the click stays
                        future.set_result(is_led)
        finally:
            self._flusher = None

    async def _decide(self, clicks: list[CappedClick]) -> list[bool]:
        who = [PERSON if click.is_person else ROBOT for click in clicks]
        try:
            verdicts = await self._keeping.in_redis(len(clicks), partial(self._stream.add, clicks, who=who))
        except NotInRedis:
            await self._keeping.on_disk([Event(click.id, click.led) for click in clicks])
            return [True] * len(clicks)
        return [verdict != FULL for verdict in verdicts]
