"""Events on their way into Redis: one script call for a whole group."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from core.contracts import click_event
from tracker_quart.channels import CLICKS, Channel
from tracker_quart.pipeline import Pipeline, Reply, Script

_HOUR_MS = 3_600_000


class Event(msgspec.Struct, frozen=True, gc=False):
    """An encoded click or postback, and its id."""

    id: bytes
    data: bytes


class EventStream:
    """Adds groups to the stream of a channel, and to the books' count of what was accepted, by the commit script."""

    def __init__(self, pipeline: Pipeline, channel: Channel = CLICKS) -> None:
        self._script = Script(pipeline, "commit_clicks.lua")
        self._keys = (b"2", channel.stream.encode("ascii"), channel.books.encode("ascii"))

    async def add(self, events: Sequence[Event]) -> None:
        """Return once Redis has acknowledged every event of the group.

        Raises RedisError or OSError; then it is unknown whether they were added, and adding them again does no harm.
        """
        await self._script.run(self._words(events))

    def send(self, events: Sequence[Event], then: Reply) -> bool:
        """As `add`, without waiting: `then` is called once they are, or with what `add` would raise. With NoScriptError
        nothing was added. False where only `add` can do it."""
        return self._script.send(self._words(events), then)

    def _words(self, events: Sequence[Event]) -> list[bytes]:
        hours = _hours([event.id for event in events])
        words = [*self._keys, b"%d" % len(hours)]
        for hour, count in hours.items():
            words += (_hour_name(hour), b"%d" % count)
        words += [event.data for event in events]
        return words


@lru_cache(maxsize=64)
def _hour_name(hour: int) -> bytes:
    return click_event.hour_name(hour * _HOUR_MS).encode("ascii")


def _hours(ids: Sequence[bytes]) -> dict[int, int]:
    """How many ids lie in each hour since 1970. Ids sort by their time, and nearly always all lie in one hour."""
    first, last = (click_event.unix_ms(edge) // _HOUR_MS for edge in (min(ids), max(ids)))
    if first == last:
        return {first: len(ids)}
    return Counter(click_event.unix_ms(one) // _HOUR_MS for one in ids)
