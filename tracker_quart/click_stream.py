"""Clicks on their way into Redis: one script call for a whole group."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from core.contracts import click_event, keys
from core.observe import GROUPS

_HOUR_MS = 3_600_000


class Click(msgspec.Struct, frozen=True, gc=False):
    """An encoded ClickEvent and its id."""

    id: bytes
    data: bytes


class ClickStream:
    """Adds groups to the stream of clicks, and to the books' count of accepted clicks, by the commit script."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._script = files("core.contracts").joinpath("commit_clicks.lua").read_text(encoding="utf-8")
        self._sha = hashlib.sha1(self._script.encode("utf-8"), usedforsecurity=False).hexdigest()

    async def add(self, clicks: Sequence[Click]) -> None:
        """Return once Redis has acknowledged every click of the group.

        Raises what the client raises; then it is unknown whether they were added, and adding them again does no harm.
        """
        hours = _hours([click.id for click in clicks])
        arguments: list[bytes | str | int] = [len(hours)]
        for hour, count in hours.items():
            arguments += (click_event.hour_name(hour * _HOUR_MS), count)
        arguments += [click.data for click in clicks]
        names = (keys.stream("track"), keys.ACCEPTED)
        try:
            await self._client.evalsha(self._sha, 2, *names, *arguments)
        except NoScriptError:  # a new or emptied server; EVAL keeps the script there
            await self._client.eval(self._script, 2, *names, *arguments)
        GROUPS.inc()


def _hours(ids: Sequence[bytes]) -> dict[int, int]:
    """How many ids lie in each hour since 1970. Ids sort by their time, and nearly always all lie in one hour."""
    first, last = (click_event.unix_ms(edge) // _HOUR_MS for edge in (min(ids), max(ids)))
    if first == last:
        return {first: len(ids)}
    return Counter(click_event.unix_ms(one) // _HOUR_MS for one in ids)
