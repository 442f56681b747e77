"""Opening a link that asks for a password: the form's POST, from the link to the answer."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from core.contracts import click_event
from core.domain.decide import decide
from tracker_quart import pages, passwords
from tracker_quart.answers import Answer
from tracker_quart.compiled import without_password
from tracker_quart.passwords import Passwords
from tracker_quart.redirect import Redirector
from tracker_quart.steps import Found
from tracker_quart.visit import Visit

_SEE_OTHER = 303
_REFUSED = {
    passwords.TOO_MANY: pages.TOO_MANY,
    passwords.BUSY: pages.BUSY,
    passwords.UNCHECKED: pages.UNCHECKED,
}

ReadPassword = Callable[[], Awaitable[str]]
"""Reads what the visitor typed out of the request's body."""


class Opener:
    """Answers who sends a password for a link."""

    def __init__(
        self, redirector: Redirector, passwords: Passwords, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._redirector = redirector
        self._passwords = passwords
        self._clock = clock

    async def open(self, visit: Visit, read: ReadPassword) -> Answer | None:
        """The answer, after its click is kept; None where no link has a password: there is nothing to open.

        Who knows the password is led as by a GET, but with 303: the browser must not send it on to the destination.
        Tries that were not looked at leave no click. The body is only read, and may be refused, where it matters.
        """
        found = await self._redirector.find(visit)
        if not isinstance(found, Found):
            return found
        link = found.compiled.link
        if not link.password_hash:
            return None
        if not self._asks(found):  # it was paused, say, while the visitor typed
            return _not_again(await self._redirector.follow(visit, found))
        verdict = await self._passwords.judge(
            await read(), password_hash=link.password_hash, link_id=link.link_id, ip=visit.ip
        )
        if verdict == passwords.RIGHT:
            opened = replace(found, compiled=without_password(found.compiled))
            return _not_again(await self._redirector.follow(visit, opened))
        if verdict == passwords.WRONG:
            return await self._redirector.follow(visit, found, page=pages.WRONG_PASSWORD)
        return self._redirector.refuse(visit, found, _REFUSED[verdict])

    def _asks(self, found: Found) -> bool:
        """True when a password is what the link waits for now, not for its time or its owner."""
        now_ms = int(self._clock() * 1000)
        return decide(found.compiled.link, domain=found.domain, now_ms=now_ms).outcome == click_event.LOCKED


def _not_again(answer: Answer) -> Answer:
    """A redirect that the browser follows with GET, without what it has sent."""
    return Answer(_SEE_OTHER, answer.headers, answer.body) if 300 <= answer.status < 400 else answer
