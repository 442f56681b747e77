"""Events on disk while Redis is away, and their way back.

A process appends to one segment at a time; replay closes that one, sends it in groups, and deletes it once Redis has
acknowledged all of it, so a crash in between only sends the same ids again. Where Redis takes a part alone, the next
replay goes on behind it: a nearly full Redis would else be filled with the same beginning, again and again. Segments
of processes that are gone are adopted by any other. All file work happens in one thread: the loop never waits for a
disk.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from core.observe import logger
from tracker_quart.channels import CLICKS, Channel
from tracker_quart.event_stream import Event
from tracker_quart.segment import SUFFIX, Segment

SEGMENT_BYTES = 4 << 20
_GROUP = 500
_IDS_A_LINE = 200

T = TypeVar("T")

log = logger(__name__)


class SpoolFull(Exception):
    """The spool folder holds as much as it may."""


class SpoolStuck(Exception):
    """A file of the spool can not be read, or not be deleted after it was sent."""


class Spool:
    """The spool of one process for one channel, which has the folder for itself. `waiting` is how many events it holds,
    adopted ones included."""

    def __init__(self, folder: Path, *, limit_bytes: int, channel: Channel = CLICKS) -> None:
        self._folder = folder
        self._channel = channel
        self._limit = limit_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._current: Segment | None = None
        self._closed: list[Segment] = []
        self._number = 0
        self._name = f"{os.getpid()}-{secrets.token_hex(6)}"

    @property
    def waiting(self) -> int:
        """Events on disk that this process knows of."""
        return sum(segment.count for segment in self._segments)

    async def prepare(self) -> None:
        """Make the folder; one that can not be used is an error in the log now, and not in the first outage."""
        await self._in_thread(self._prepare)

    async def append(self, events: Sequence[Event]) -> None:
        """Return once the events are on disk, fsynced. Raises SpoolFull or OSError; then none of them is there."""
        await self._in_thread(lambda: self._append(events))

    async def adopt(self) -> None:
        """Take over what processes that are gone have left. A file that can not be opened is logged and left."""
        await self._in_thread(self._adopt)

    async def replay(self, send: Callable[[Sequence[Event]], Awaitable[None]]) -> None:
        """Send everything that waits, oldest first. What `send` raises is passed on; that segment is kept.

        Raises SpoolStuck when a file is not to be read or deleted; the others have their turn before it next time.
        """
        await self._in_thread(self._close_current)  # after all that a cancelled replay had begun
        while self._closed:
            segment = self._closed[0]
            events, torn = await self._of_file(segment, segment.read)
            if torn and not segment.sent:
                log.warning("spool.torn", file=segment.path.name, bytes=torn)
            while group := events[segment.sent : segment.sent + _GROUP]:
                await send(group)
                segment.sent += len(group)
            await self._of_file(segment, partial(self._finish, segment))
            self._channel.replayed.inc(len(events))
            log.info("spool.replayed", file=segment.path.name, **{self._channel.name: len(events)})

    async def close(self) -> None:
        """Let go of the files. What still waits is counted and logged by id; the next start sends it."""
        await self._in_thread(self._strand)
        self._thread.shutdown(wait=True)

    @property
    def _segments(self) -> list[Segment]:
        return [*self._closed, self._current] if self._current is not None else self._closed

    async def _of_file(self, segment: Segment, work: Callable[[], T]) -> T:
        try:
            return await self._in_thread(work)
        except OSError as error:
            self._closed.remove(segment)
            self._closed.append(segment)
            if not segment.is_stuck:
                segment.is_stuck = True
                log.error("spool.stuck", file=segment.path.name, sent=segment.sent, error=str(error))
            raise SpoolStuck(segment.path.name) from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _prepare(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(f"no right to write in {self._folder}")
        except OSError as error:
            log.error(
                "spool.unusable",
                error=str(error),
                note=f"{self._channel.name} will be lost while Redis is away",
            )

    def _append(self, events: Sequence[Event]) -> None:
        if self._folder_bytes() >= self._limit:
            raise SpoolFull(f"the spool holds {self._limit >> 20} MB, its limit")
        if self._current is not None and (self._current.is_broken or self._current.size >= SEGMENT_BYTES):
            self._close_current()
        if self._current is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._number += 1
            self._current = Segment.create(self._folder / f"{self._name}-{self._number}{SUFFIX}")
        self._current.append(events)

    def _folder_bytes(self) -> int:
        """What all processes that share the folder hold together."""
        total = 0
        for path in self._folder.glob(f"*{SUFFIX}"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total

    def _close_current(self) -> None:
        if self._current is not None:
            self._closed.append(self._current)
            self._current = None

    def _finish(self, segment: Segment) -> None:
        """Both in the thread, which goes on when whoever waits for it is cancelled."""
        segment.remove()
        self._closed.remove(segment)

    def _adopt(self) -> None:
        own = {segment.path for segment in self._segments}
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path in own:
                continue
            try:
                segment = Segment.adopt(path)
                if segment is not None:
                    segment.read()
                    self._closed.append(segment)
                    log.info("spool.adopted", file=path.name, **{self._channel.name: segment.count})
            except OSError as error:
                log.warning("spool.not_adopted", file=path.name, error=str(error))

    def _strand(self) -> None:
        for segment in self._segments:
            try:
                events, _ = segment.read()
            except OSError as error:
                log.error("spool.stuck", file=segment.path.name, sent=segment.sent, error=str(error))
                events = []
            left = events[segment.sent :]
            self._channel.stranded.inc(len(left))
            ids = [str(UUID(bytes=event.id)) for event in left]
            for start in range(0, len(ids), _IDS_A_LINE):
                log.error(
                    f"{self._channel.name}.stranded",
                    file=segment.path.name,
                    ids=ids[start : start + _IDS_A_LINE],
                )
            segment.release()
        self._closed, self._current = [], None
