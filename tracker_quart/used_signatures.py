"""Signatures that were used: each counts once, at whichever tracker it comes again.

Known in Redis, and in this process as well, which is what is left while Redis is away.
"""

import time
from collections.abc import Callable

from tracker_quart.contact import NOT_ANSWERED, Breaker
from tracker_quart.pipeline import Pipeline, packed

CLAIM_S = 10
"""How long a signature is taken whose postback is not yet kept: should this process die in between, whoever sends it
again is heard."""

LIMIT = 50_000


class UsedSignatures:
    """For one event loop. The `name` of a signature is that of its key in Redis; `lasts_s` is how many seconds it is
    remembered."""

    def __init__(
        self, pipeline: Pipeline, breaker: Breaker, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pipeline = pipeline
        self._breaker = breaker
        self._clock = clock
        self._until: dict[str, float] = {}

    async def claim(self, name: str, *, lasts_s: int) -> bool:
        """Take a signature; False where it was used before. Never fails, and waits no longer than the pipeline does."""
        now = self._clock()
        if self._until.get(name, 0.0) > now:
            return False
        if len(self._until) >= LIMIT:
            self._forget(now)
        self._until.pop(name, None)  # so that it stands last, as the newest
        self._until[name] = now + lasts_s
        if not self._breaker.allows:
            return True
        seconds = b"%d" % min(CLAIM_S, lasts_s)
        try:
            reply = await self._pipeline.ask(
                packed(b"SET", name.encode("ascii"), b"1", b"NX", b"EX", seconds)
            )
        except NOT_ANSWERED as error:
            self._breaker.failed(error)
            return True
        self._breaker.worked()
        if (
            reply is None
        ):  # whoever has it may yet let go of it: Redis is asked again, once that must have happened
            self._until[name] = now + min(CLAIM_S, lasts_s)
        return reply is not None

    def settle(self, name: str, *, lasts_s: int) -> None:
        """Its postback is kept: from now on it is used."""
        self._say(packed(b"SET", name.encode("ascii"), b"1", b"EX", b"%d" % lasts_s))

    def release(self, name: str) -> None:
        """Its postback could not be kept: it may come again."""
        self._until.pop(name, None)
        self._say(packed(b"DEL", name.encode("ascii")))

    def _say(self, command: bytes) -> None:
        if self._breaker.allows:
            self._pipeline.send(command, _ignore)

    def _forget(self, now: float) -> None:
        """Those whose time is over, or the older half where that is none: the oldest stand first."""
        self._until = {name: until for name, until in self._until.items() if until > now}
        if len(self._until) >= LIMIT:
            self._until = dict(list(self._until.items())[LIMIT // 2 :])


def _ignore(_reply: object) -> None:
    """A reply that nobody waits for."""
