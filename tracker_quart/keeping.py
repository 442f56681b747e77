"""Where clicks end up before their answers leave: in Redis, on disk, or lost; and the accounts of it.

Redis slow or away: the clicks go to the spool on disk instead. An answered click is a kept click; where even the disk
refuses, the visitor is still led on, and the loss is counted and logged.
"""

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import TypeVar

from core.observe import CLICKS, COMMIT_SECONDS, GROUP_CLICKS, logger
from tracker_quart.answered import Answered
from tracker_quart.click_stream import Click
from tracker_quart.contact import Breaker
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
    """What all of a process's clicks are kept by. Belongs to one event loop."""

    def __init__(self, *, spool: Spool, breaker: Breaker, answered: Answered) -> None:
        self._spool = spool
        self._breaker = breaker
        self._answered = answered
        self._in_redis, self._on_disk, self._lost = (
            CLICKS.labels(name) for name in ("redis", "spool", "lost")
        )
        self._losing = False

    @property
    def asks_redis(self) -> bool:
        """False while a failure of Redis is so fresh that clicks go to disk at once."""
        return self._breaker.allows

    async def in_redis(self, clicks: int, commit: Callable[[], Awaitable[T]]) -> T:
        """What Redis replied to a group of so many clicks. `commit` must not wait for ever. Raises NotInRedis."""
        if not self.asks_redis:
            raise NotInRedis
        began = perf_counter()
        try:
            reply = await commit()
        except Exception as error:  # whatever it was, the clicks must go somewhere
            self.refused(error)
            raise NotInRedis from error
        self.acknowledged(clicks, seconds=perf_counter() - began)
        return reply

    def acknowledged(self, clicks: int, *, seconds: float) -> None:
        """Redis took a group of so many clicks."""
        COMMIT_SECONDS.observe(seconds)
        self._breaker.worked()
        self._in_redis.inc(clicks)
        self._losing = False

    def refused(self, error: Exception) -> None:
        """Redis did not take a group, as far as is known."""
        self._breaker.failed(error)

    async def on_disk(self, clicks: Sequence[Click]) -> None:
        """Keep a group on disk; what the disk refuses is counted as lost."""
        try:
            await self._spool.append(clicks)
        except (SpoolFull, OSError) as error:
            self._lose(len(clicks), str(error))
        else:
            self._on_disk.inc(len(clicks))
            self._losing = False

    def turn_away(self, click_id: bytes) -> None:
        """Lose a click that comes while MOST_PENDING wait; its answer may leave."""
        self._lose(1, "too many clicks wait for a slow disk")
        self.answered([click_id])

    def _lose(self, clicks: int, reason: str) -> None:
        """Count clicks that could not be kept."""
        self._lost.inc(clicks)
        if not self._losing:
            self._losing = True
            log.error(
                "clicks.lost",
                reason=reason,
                note="further losses are only counted, until clicks are kept again",
            )

    def answered(self, ids: Sequence[bytes]) -> None:
        """Put a group down in the books, after it was kept (or lost) and before its answers leave."""
        self._answered.count(ids)
        GROUP_CLICKS.observe(len(ids))
