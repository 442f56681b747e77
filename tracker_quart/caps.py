"""Clicks of links with a click cap: one script counts them and keeps them, and its reply chooses the answer.

They travel in groups of their own, as others do in `clicklog`: while one group travels the next one gathers. Redis slow
or away: the visitor is led to the destination, the click goes to disk, and counts once it is replayed, perhaps beyond
the cap. A tracker remembers no count: what was not counted in Redis can not be told to the other trackers.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from typing import Any

import msgspec
from msgspec.structs import replace

from core.contracts import click_event, keys
from core.contracts.click_event import ClickEvent
from core.domain.decide import Decision
from core.observe import CAP_OVERSHOOT, GROUPS
from tracker_quart.click_stream import Click
from tracker_quart.keeping import LARGEST_GROUP, MOST_PENDING, Keeping, NotInRedis

_PERSON, _ROBOT, _LED = "person", "robot", "led"
_FULL, _BEYOND = 0, 2


class CappedClick(msgspec.Struct, frozen=True, gc=False):
    """A click before it is known what it is answered, encoded for both answers. Only people count."""

    id: bytes
    link_id: int
    cap: int
    is_person: bool
    led: bytes
    capped: bytes


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

    def __init__(self, client: Any, *, keeping: Keeping) -> None:
        script = files("core.contracts").joinpath("commit_capped.lua").read_text(encoding="utf-8")
        self._script = client.register_script(script)
        self._keeping = keeping
        self._pending: deque[tuple[CappedClick, asyncio.Future[bool]]] = deque()
        self._flusher: asyncio.Task[None] | None = None

    def submit(self, click: CappedClick) -> asyncio.Future[bool]:
        """Take a click. The future is done once it is kept, and never fails: True to lead the visitor to the
        destination, False where the cap is reached."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if len(self._pending) >= MOST_PENDING:
            self._keeping.lose(1, "too many clicks wait for a slow disk")
            self._keeping.answered([click.id])
            future.set_result(True)
            return future
        self._pending.append((click, future))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return future

    async def replay(self, clicks: Sequence[Click]) -> list[Click]:
        """Count and keep those clicks from disk that count for a cap; the others are returned. Raises what the client
        raises; then it is unknown whether they counted, and replaying them again does no harm."""
        others, led = [], []
        for click in clicks:
            event = _read(click)
            if event is not None and event.cap:
                led.append(CappedClick(click.id, event.link_id, event.cap, True, click.data, b""))
            else:
                others.append(click)
        if led:
            verdicts = await self._commit(led, who=[_LED] * len(led))
            CAP_OVERSHOOT.inc(verdicts.count(_BEYOND))
        return others

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
        who = [_PERSON if click.is_person else _ROBOT for click in clicks]
        try:
            verdicts = await self._keeping.in_redis(len(clicks), partial(self._commit, clicks, who=who))
        except NotInRedis:
            await self._keeping.on_disk([Click(click.id, click.led) for click in clicks])
            return [True] * len(clicks)
        return [verdict != _FULL for verdict in verdicts]

    async def _commit(self, clicks: Sequence[CappedClick], *, who: Sequence[str]) -> list[int]:
        names = [keys.stream("track"), keys.ACCEPTED, keys.CAP_COUNTS]
        arguments: list[bytes | str | int] = [keys.COUNTED_TTL_S]
        for click, person in zip(clicks, who, strict=True):
            names.append(keys.counted(click.id))
            hour = click_event.hour_name(click_event.unix_ms(click.id))
            arguments += (hour, click.link_id, click.cap, person, click.led, click.capped)
        verdicts: list[int] = await self._script(keys=names, args=arguments)
        GROUPS.inc()
        return verdicts


def _read(click: Click) -> ClickEvent | None:
    """The event; None for bytes that are none, which the worker will bury."""
    try:
        return click_event.decode(click.data)
    except msgspec.DecodeError:
        return None
