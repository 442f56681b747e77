"""Where events end up before their answers leave: in Redis, on disk, or lost; and the accounts of it.

Redis slow or away: the events go to the spool on disk instead. An answered click is a kept click; where even the disk
refuses, the visitor is still led on, and the loss is counted and logged. Whoever sends a postback is told to send it
again.
"""

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import TypeVar

from core.observe import COMMIT_SECONDS, GROUP_CLICKS, logger
from tracker_quart.answered import Answered
from tracker_quart.channels import CLICKS, Channel
from tracker_quart.contact import Breaker
from tracker_quart.event_stream import Event
from tracker_quart.spool import Spool, SpoolFull

PATIENCE_S = 0.1
"""How long visitors wait for Redis before their clicks go to disk."""

LARGEST_GROUP = 500
MOST_PENDING = 20_000

log = logger(__name__)
T = TypeVar("T")


class NotInRedis(Exception):
    """Redis did not take a group in time, as far as is known."""


class Keeping:
    """What all events that a process takes from a channel are kept by. Belongs to one event loop. `answered` counts
    clicks for the books; None for what is no click."""

    def __init__(
        self, *, spool: Spool, breaker: Breaker, answered: Answered | None, channel: Channel = CLICKS
    ) -> None:
        self._spool = spool
        self._breaker = breaker
        self._answered = answered
        self._name = channel.name
        self._in_redis, self._on_disk, self._lost = (
            channel.kept.labels(where) for where in ("redis", "spool", "lost")
        )
        self._losing = False

    @property
    def asks_redis(self) -> bool:
        """False while a failure of Redis is so fresh that events go to disk at once."""
        return self._breaker.allows

    async def in_redis(self, events: int, commit: Callable[[], Awaitable[T]]) -> T:
        """What Redis replied to a group of so many events. `commit` must not wait for ever. Raises NotInRedis."""
        if not self.asks_redis:
            raise NotInRedis
        began = perf_counter()
        try:
            reply = await commit()
        except Exception as error:  # whatever it was, the events must go somewhere
            self.refused(error)
            raise NotInRedis from error
        self.acknowledged(events, seconds=perf_counter() - began)
        return reply

    def acknowledged(self, events: int, *, seconds: float) -> None:
        """Redis took a group of so many events."""
        COMMIT_SECONDS.observe(seconds)
        self._breaker.worked()
        self._in_redis.inc(events)
        self._losing = False

    def refused(self, error: Exception) -> None:
        """Redis did not take a group, as far as is known."""
        self._breaker.failed(error)

    async def on_disk(self, events: Sequence[Event]) -> bool:
        """Keep a group on disk; what the disk refuses is counted as lost, and False returned."""
        try:
            await self._spool.append(events)
        except (SpoolFull, OSError) as error:
            self._lose(len(events), str(error))
            return False
        self._on_disk.inc(len(events))
        self._losing = False
        return True

    def turn_away(self, event_id: bytes) -> None:
        """Lose an event that comes while MOST_PENDING wait; its answer may leave."""
        self._lose(1, f"too many {self._name} wait for a slow disk")
        self.answered([event_id])

    def _lose(self, events: int, reason: str) -> None:
        """Count events that could not be kept."""
        self._lost.inc(events)
        if not self._losing:
            self._losing = True
            log.error(
                f"{self._name}.lost",
                reason=reason,
                note=f"further losses are only counted, until {self._name} are kept again",
            )

    def answered(self, ids: Sequence[bytes]) -> None:
        """Put a group down in the books, after it was kept (or lost) and before its answers leave."""
        if self._answered is not None:
            self._answered.count(ids)
            GROUP_CLICKS.observe(len(ids))
