"""Clicks on their way into Redis: one script call for a whole group."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from core.contracts import click_event, keys
from tracker_quart.pipeline import Pipeline, Reply, Script

_HOUR_MS = 3_600_000
_KEYS = (b"2", keys.stream("track").encode("ascii"), keys.ACCEPTED.encode("ascii"))


class Click(msgspec.Struct, frozen=True, gc=False):
    """An encoded ClickEvent and its id."""

    id: bytes
    data: bytes


class ClickStream:
    """Adds groups to the stream of clicks, and to the books' count of accepted clicks, by the commit script."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._script = Script(pipeline, "commit_clicks.lua")

    async def add(self, clicks: Sequence[Click]) -> None:
        """Return once Redis has acknowledged every click of the group.

        Raises RedisError or OSError; then it is unknown whether they were added, and adding them again does no harm.
        """
        await self._script.run(_words(clicks))

    def send(self, clicks: Sequence[Click], then: Reply) -> bool:
        """As `add`, without waiting: `then` is called once they are, or with what `add` would raise. With NoScriptError
        nothing was added. False where only `add` can do it."""
        return self._script.send(_words(clicks), then)


def _words(clicks: Sequence[Click]) -> list[bytes]:
    hours = _hours([click.id for click in clicks])
    words = [*_KEYS, b"%d" % len(hours)]
    for hour, count in hours.items():
        words += (_hour_name(hour), b"%d" % count)
    words += [click.data for click in clicks]
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
