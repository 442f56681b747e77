"""Clicks of links with a click cap on their way into Redis: one script counts them, keeps them, and says who is led."""

from collections.abc import Sequence

import msgspec

from core.contracts import click_event, keys
from tracker_quart.pipeline import Pipeline, Script

PERSON, ROBOT, LED = b"person", b"robot", b"led"
"""Who clicked: someone who counts, someone who never does, a person who was led while nobody could count."""

FULL, BEYOND = 0, 2
"""Verdicts: the cap is reached; led, beyond the cap. Any other: led."""

_KEYS = tuple(name.encode("ascii") for name in (keys.stream("track"), keys.ACCEPTED, keys.CAP_COUNTS))


class CappedClick(msgspec.Struct, frozen=True, gc=False):
    """A click before it is known what it is answered, encoded for both answers. Only people count."""

    id: bytes
    link_id: int
    cap: int
    is_person: bool
    led: bytes
    capped: bytes


class CapStream:
    """Adds groups by the script for capped clicks."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._script = Script(pipeline, "commit_capped.lua")

    async def add(self, clicks: Sequence[CappedClick], *, who: Sequence[bytes]) -> list[int]:
        """A verdict for each click, once Redis has acknowledged all of them.

        Raises RedisError or OSError; then it is unknown whether they counted, and adding them again does no harm.
        """
        names, words = list(_KEYS), [b"%d" % keys.COUNTED_TTL_S]
        for click, person in zip(clicks, who, strict=True):
            names.append(keys.counted(click.id).encode("ascii"))
            hour = click_event.hour_name(click_event.unix_ms(click.id)).encode("ascii")
            words += (hour, b"%d" % click.link_id, b"%d" % click.cap, person, click.led, click.capped)
        verdicts: list[int] = await self._script.run([b"%d" % len(names), *names, *words])
        return verdicts
