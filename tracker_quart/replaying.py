"""Events from disk on their way into Redis, on a connection of their own: they are in no hurry, and visitors are."""

from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis

from core.contracts import click_event
from core.contracts.click_event import ClickEvent
from core.observe import CAP_OVERSHOOT
from tracker_quart.cap_stream import BEYOND, LED, CappedClick, CapStream
from tracker_quart.channels import POSTBACKS
from tracker_quart.event_stream import Event, EventStream
from tracker_quart.pipeline import Pipeline

PATIENCE_S = 5.0


class Replay:
    """Sends groups of what was spooled."""

    def __init__(self, client: Redis) -> None:
        self._pipeline = Pipeline(client, patience=PATIENCE_S)
        self._clicks, self._caps = EventStream(self._pipeline), CapStream(self._pipeline)
        self._postbacks = EventStream(self._pipeline, POSTBACKS)

    async def send(self, clicks: Sequence[Event]) -> None:
        """Return once all clicks are kept, and counted where they count for a cap. Raises RedisError or OSError; then
        it is unknown which were, and sending them again does no harm."""
        others: list[Event] = []
        led: list[CappedClick] = []
        for click in clicks:
            event = _read(click)
            if event is not None and event.cap:
                led.append(CappedClick(click.id, event.link_id, event.cap, True, click.data, b""))
            else:
                others.append(click)
        if led:
            verdicts = await self._caps.add(led, who=[LED] * len(led))
            CAP_OVERSHOOT.inc(verdicts.count(BEYOND))
        if others:
            await self._clicks.add(others)

    async def send_postbacks(self, postbacks: Sequence[Event]) -> None:
        """As `send`, for postbacks."""
        await self._postbacks.add(postbacks)

    def close(self) -> None:
        """End the connection."""
        self._pipeline.close()


def _read(click: Event) -> ClickEvent | None:
    """The event; None for bytes that are none, which the worker will bury."""
    try:
        return click_event.decode(click.data)
    except msgspec.DecodeError:
        return None
