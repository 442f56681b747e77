"""Hears which snapshots changed, so that an edit is obeyed at once."""

import asyncio
from typing import Any

from redis.exceptions import ReadOnlyError

from core.contracts import keys
from core.observe import logger
from tracker_quart.contact import NOT_ANSWERED, end
from tracker_quart.snapshots import Snapshots

_SILENCE_S = 1.0
_LOST_S = 3.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

log = logger(__name__)


class Listener:
    """Subscribed to the channel of changes from `start` to `stop`; a lost connection is made again. The client is its
    own: a connection out of a pool could lead to a server that others have left."""

    def __init__(self, client: Any, *caches: Snapshots) -> None:
        self._client = client
        self._caches = caches
        self._hears = False
        self._task: asyncio.Task[None] | None = None
        self._leaves = False

    def start(self) -> None:
        """Begin to listen, in a task of its own."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop listening, and close the client."""
        if self._task is not None:
            await end(self._task)
        await self._client.aclose()

    def leave(self) -> None:
        """Another server may have taken over: listen to the one that stands at the address now, within a second."""
        self._leaves = True

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                await self._listen()
            except NOT_ANSWERED as error:
                if self._hears:
                    log.warning("changes.not_heard", error=f"{type(error).__name__}: {error}"[:300])
                    pause = _FIRST_PAUSE_S
            finally:
                self._hear(False)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _listen(self) -> None:
        """Returns never; raises when the connection is lost or to be left, or silent although it was asked to say
        something."""
        self._leaves = False
        async with self._client.pubsub() as channel:
            await channel.subscribe(keys.CHANGED)
            silent_s = 0.0
            while silent_s < _LOST_S:
                if self._leaves:
                    raise ReadOnlyError("another server may have taken over")
                message = await channel.get_message(timeout=_SILENCE_S)
                if message is None:
                    silent_s += _SILENCE_S
                    await asyncio.wait_for(channel.ping(), _SILENCE_S)
                    continue
                silent_s = 0.0
                if message["type"] == "message":
                    for cache in self._caches:
                        cache.mark_stale(message["data"].decode("utf-8", "replace"))
                elif message["type"] == "subscribe":
                    # changes before this moment were not heard
                    self._hear(True)
                    log.info("changes.heard")
            raise TimeoutError(f"Redis has been silent for {silent_s:g} s")

    def _hear(self, hears: bool) -> None:
        """Announcements are heard from now on, or no more: what was held may be old by now."""
        self._hears = hears
        for cache in self._caches:
            cache.mark_all_stale()
            cache.listening = hears
