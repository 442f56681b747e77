"""What a visitor of a short link is answered: an ordered list of named steps, the first that decides wins."""

from collections.abc import Callable
from dataclasses import dataclass

from core.contracts import click_event, link_snapshot
from core.contracts.link_snapshot import LinkSnapshot

UNKNOWN = "unknown"
"""Outcome of a slug that nobody owns: answered 404, counted, but no click of any link."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer's status and why. `url` is set for a redirect; `outcome` is one of click_event.OUTCOMES or UNKNOWN."""

    status: int
    outcome: str
    url: str = ""


Step = Callable[[LinkSnapshot], Decision | None]
"""A step decides, or returns None to leave it to the next one."""


def decide(link: LinkSnapshot) -> Decision:
    """Walk STEPS; a link that none of them holds back redirects to its destination."""
    for step in STEPS:
        decision = step(link)
        if decision is not None:
            return decision
    return Decision(status=302, outcome=click_event.REDIRECT, url=link.url)


def known(link: LinkSnapshot) -> Decision | None:
    """Somebody owns the slug."""
    return Decision(status=404, outcome=UNKNOWN) if link.is_tombstone else None


def active(link: LinkSnapshot) -> Decision | None:
    """The link is neither paused (it may come back: 404) nor archived or deleted (it will not: 410). A state that
    this release does not know is held back like a pause: redirecting against the owner's will can not be undone."""
    if link.state == link_snapshot.LIVE:
        return None
    if link.state == link_snapshot.GONE:
        return Decision(status=410, outcome=click_event.GONE)
    return Decision(status=404, outcome=click_event.PAUSED)


STEPS: tuple[Step, ...] = (known, active)
