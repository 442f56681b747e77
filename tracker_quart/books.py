"""Takes the counts of answered clicks to where the books are kept: into Redis, from where a worker copies them.

Each process tells all of its hours again and again, so that one message more, or a Redis that was emptied, does no
harm. What a process that is gone has left is told, and then removed, by any other.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.contracts import click_event, keys
from core.observe import logger
from tracker_quart.answered import SUFFIX, Answered, Inherited
from tracker_quart.contact import NOT_ANSWERED

HOURS_HELD = 24
"""For how long an hour is told again."""

_PATIENCE_S = 1.0
_HOUR_S = 3600

log = logger(__name__)


class Books:
    """The tracker's side of the books. `answered` counts from the start on, and in a file once this is open."""

    def __init__(self, folder: Path, client: Any, *, clock: Callable[[], float] = time.time) -> None:
        self.answered = Answered()
        self._folder = folder
        self._client = client
        self._clock = clock
        self._name = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._unreadable: set[str] = set()

    async def open(self) -> None:
        """Keep the counts in a file from now on. Where that can not be, they stay in memory, and the log says so."""
        try:
            await asyncio.to_thread(self._open)
        except OSError as error:
            log.error("answered.in_memory", error=str(error), note="a killed process takes its counts along")

    async def publish(self) -> bool:
        """Tell Redis the counts of this process, and of those that are gone. False when it did not take them: the
        next call tells all again."""
        try:
            await self._tell_own()
            for path in await asyncio.to_thread(self._others):
                left = await asyncio.to_thread(self._adopt, path)
                if left is not None:
                    try:
                        await self._tell(path.stem, left.hours or {})
                        await asyncio.to_thread(left.remove)
                    finally:
                        left.release()
        except NOT_ANSWERED:
            return False
        return True

    async def close(self) -> None:
        """Tell the last counts. The file goes, or stays for others to tell when Redis did not take them."""
        try:
            await self._tell_own()
            if self.answered.path is not None:
                await asyncio.to_thread(self.answered.path.unlink, missing_ok=True)
        except NOT_ANSWERED as error:
            log.warning("answered.left", file=self._name, error=f"{type(error).__name__}: {error}"[:300])
        self.answered.close()

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.answered.keep_in(self._folder / f"{self._name}{SUFFIX}")

    async def _tell_own(self) -> None:
        hours = self.answered.hours()
        await self._tell(self._name, hours)
        oldest = int(self._clock()) // _HOUR_S - HOURS_HELD
        self.answered.forget({hour: clicks for hour, clicks in hours.items() if hour < oldest})

    async def _tell(self, source: str, hours: Mapping[int, int]) -> None:
        if not hours:
            return
        counts = {
            keys.answered_field(click_event.hour_name(hour * _HOUR_S * 1000), source): clicks
            for hour, clicks in hours.items()
        }
        async with asyncio.timeout(_PATIENCE_S):
            await self._client.hset(keys.ANSWERED, mapping=counts)

    def _others(self) -> list[Path]:
        return [path for path in sorted(self._folder.glob(f"*{SUFFIX}")) if path != self.answered.path]

    def _adopt(self, path: Path) -> Inherited | None:
        """What a process that is gone has left. A file that can not be read stays where it is."""
        try:
            left = Inherited.adopt(path)
        except OSError as error:
            self._warn(path.name, str(error))
            return None
        if left is not None and left.hours is None:
            self._warn(path.name, "it is damaged, or of a newer release")
            left.release()
            return None
        return left

    def _warn(self, name: str, error: str) -> None:
        if name not in self._unreadable:
            self._unreadable.add(name)
            log.warning("answered.not_adopted", file=name, error=error)
