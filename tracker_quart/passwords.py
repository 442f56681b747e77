"""Whether a visitor knows a link's password: tries are counted first, then one is checked, away from the event loop.

A check costs 20 ms of processor and 19 MiB. One thread makes them one by one; few may wait for it, so that nobody can
fill memory or keep redirects from their processor by sending passwords.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

from core.contracts import keys
from core.domain.link_passwords import LONGEST, as_typed
from core.domain.networks import counted_as
from tracker_quart.contact import NOT_ANSWERED, Breaker

RIGHT, WRONG, TOO_MANY, BUSY, UNCHECKED = "right", "wrong", "too_many", "busy", "unchecked"

TRIES_OF_ONE = 10
"""Wrong passwords a minute from one address at one link: enough for some people behind one address who mistype."""

TRIES_OF_ALL = 100
"""Wrong passwords a minute at one link, whoever sends them: a botnet gets no more, and 2 s of the thread at most."""

MOST_WAITING = 8
"""Checks that wait for the thread, 0.2 s in all; who comes then is told to come back."""

DEADLINE_S = 0.5
"""How long Redis may take to count a try. What is not counted is not checked."""

_LIMITS = (TRIES_OF_ONE, TRIES_OF_ALL, keys.PASSWORD_TRIES_TTL_S)
_MINUTE = 60

Verify = Callable[[str, str], bool]
"""Whether a hash (argon2id) is that of a password. Runs in the thread."""


def verify(password_hash: str, password: str) -> bool:
    """True for the right password. argon2 is loaded by the first one that is checked; most trackers never see one."""
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


class Passwords:
    """Judges passwords of links. `clock` gives seconds since 1970."""

    def __init__(
        self,
        client: Any,
        *,
        breaker: Breaker,
        verify: Verify = verify,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        script = files("core.contracts").joinpath("count_try.lua").read_text(encoding="utf-8")
        self._count = client.register_script(script)
        self._breaker = breaker
        self._verify = verify
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        self._in_hand = 0

    async def judge(self, password: str, *, password_hash: str, link_id: int, ip: str) -> str:
        """RIGHT or WRONG; TOO_MANY, BUSY or UNCHECKED where it was not looked at. Never raises.

        A right try is given back: a link that a thousand people open in a minute stays open to them.
        """
        typed = as_typed(password)
        if not 1 <= len(typed) <= LONGEST:
            return WRONG
        minute = int(self._clock()) // _MINUTE
        counters = (
            keys.password_tries(link_id, minute, counted_as(ip) or "-"),
            keys.password_tries(link_id, minute),
        )
        if not self._breaker.allows:
            return UNCHECKED
        try:
            async with asyncio.timeout(DEADLINE_S):
                allowed = await self._count(keys=counters, args=_LIMITS)
        except NOT_ANSWERED as error:
            self._breaker.failed(error)
            return UNCHECKED
        self._breaker.worked()
        if not allowed:
            return TOO_MANY
        verdict = await self._checked(password_hash, typed)
        if verdict != WRONG:
            await self._give_back(counters)
        return verdict

    def close(self) -> None:
        """End the thread; a check that still waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _checked(self, password_hash: str, typed: str) -> str:
        if self._in_hand > MOST_WAITING:  # one is being checked
            return BUSY
        self._in_hand += 1
        checking = asyncio.get_running_loop().run_in_executor(
            self._thread, self._verify, password_hash, typed
        )
        checking.add_done_callback(self._checked_one)
        # A visitor who leaves does not stop the thread, and must not make room for another one before it is done.
        return RIGHT if await asyncio.shield(checking) else WRONG

    def _checked_one(self, _: "asyncio.Future[bool]") -> None:
        self._in_hand -= 1

    async def _give_back(self, counters: tuple[str, str]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S), self._client.pipeline(transaction=False) as pipe:
                for counter in counters:
                    pipe.decr(counter)
                    pipe.expire(counter, keys.PASSWORD_TRIES_TTL_S)
                await pipe.execute()
        except NOT_ANSWERED as error:
            self._breaker.failed(error)
