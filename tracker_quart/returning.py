"""Who was here before, for links with a rule that asks for it.

One command tests and marks a visitor, and while one group of visitors travels to Redis the next one gathers: the pool
has few connections, and a hundred at once cost one round trip. Redis slow or away: everybody is new.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from core.domain.visitors import seen_hash
from tracker_quart.contact import Breaker
from tracker_quart.visit import Visit

PATIENCE_S = 0.1
"""How long a visitor waits to be known again."""

_LARGEST_GROUP = 200

Mark = Callable[[Sequence[str]], Awaitable[Sequence[bool]]]
"""Marks visitors as seen, in order; says of each whether it was before."""


def name_of(visit: Visit, link: LinkSnapshot) -> str:
    """What a visitor of a link is remembered by."""
    return keys.seen(link.link_id, seen_hash(visit.ip, visit.user_agent, key=link.split_key))


class Visitors:
    """Tests and marks visitors."""

    def __init__(self, *, mark: Mark, breaker: Breaker) -> None:
        self._mark = mark
        self._breaker = breaker
        self._waiting: deque[tuple[str, asyncio.Future[bool]]] = deque()
        self._asker: asyncio.Task[None] | None = None

    async def return_of(self, name: str) -> bool:
        """True for one who was marked before; marks it. Never fails: false when Redis does not say in PATIENCE_S."""
        if not self._breaker.allows:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, future))
        if self._asker is None:
            self._asker = asyncio.create_task(self._ask())
        await asyncio.wait([future], timeout=PATIENCE_S)
        return future.done() and future.result()

    async def _ask(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), _LARGEST_GROUP)
                group = [self._waiting.popleft() for _ in range(count)]
                for (_, future), was_here in zip(group, await self._round_trip(group), strict=True):
                    future.set_result(was_here)
        finally:
            self._asker = None

    async def _round_trip(self, group: Sequence[tuple[str, asyncio.Future[bool]]]) -> Sequence[bool]:
        if self._breaker.allows:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    marked = await self._mark([name for name, _ in group])
            except Exception as error:  # whatever it was: those who wait must be told
                self._breaker.failed(error)
            else:
                self._breaker.worked()
                return marked
        return [False] * len(group)


def marker(client: Any) -> Mark:
    """How Visitors marks in Redis: one SET each, which gives the old value and lets the time run anew."""

    async def mark(names: Sequence[str]) -> Sequence[bool]:
        async with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.set(name, b"1", ex=keys.SEEN_TTL_S, get=True)
            return [old is not None for old in await pipe.execute()]

    return mark
