"""What a visitor of a short link is answered: an ordered list of named steps, the first that decides wins."""

from collections.abc import Callable
from dataclasses import dataclass

from core.contracts import click_event, link_snapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.domain.facts import Facts
from core.domain.targeting import Choice, Plan

UNKNOWN = "unknown"
"""Outcome of a slug that nobody owns: answered 404, counted, but no click of any link."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer's status and why. `url` is set for a redirect; `outcome` is one of click_event.OUTCOMES or UNKNOWN;
    `rule` and `variant` are the ids of what chose the destination, 0 for none."""

    status: int
    outcome: str
    url: str = ""
    rule: int = 0
    variant: int = 0


@dataclass(frozen=True, slots=True)
class Targeted:
    """What a link with rules or a split needs to decide: both, compiled, and whom they are asked about."""

    plan: Plan
    facts: Facts


Step = Callable[[LinkSnapshot, Targeted | None], Decision | None]
"""A step decides, or returns None to leave it to the next one."""


def decide(link: LinkSnapshot, targeted: Targeted | None = None) -> Decision:
    """Walk STEPS; a link that none of them holds back redirects to its destination. `targeted` is None for a link
    without rules and split."""
    for step in STEPS:
        decision = step(link, targeted)
        if decision is not None:
            return decision
    return Decision(status=302, outcome=click_event.REDIRECT, url=link.url)


def known(link: LinkSnapshot, _: Targeted | None) -> Decision | None:
    """Somebody owns the slug."""
    return Decision(status=404, outcome=UNKNOWN) if link.is_tombstone else None


def active(link: LinkSnapshot, _: Targeted | None) -> Decision | None:
    """The link is neither paused (it may come back: 404) nor archived or deleted (it will not: 410). A state that
    this release does not know is held back like a pause: redirecting against the owner's will can not be undone."""
    if link.state == link_snapshot.LIVE:
        return None
    if link.state == link_snapshot.GONE:
        return Decision(status=410, outcome=click_event.GONE)
    return Decision(status=404, outcome=click_event.PAUSED)


def rule(_: LinkSnapshot, targeted: Targeted | None) -> Decision | None:
    """The first rule whose conditions all hold."""
    return None if targeted is None else _led(targeted.plan.by_rule(targeted.facts))


def variant(_: LinkSnapshot, targeted: Targeted | None) -> Decision | None:
    """The link's own split."""
    return None if targeted is None else _led(targeted.plan.by_split(targeted.facts))


def _led(choice: Choice | None) -> Decision | None:
    if choice is None:
        return None
    return Decision(302, click_event.REDIRECT, choice.url, rule=choice.rule, variant=choice.variant)


STEPS: tuple[Step, ...] = (known, active, rule, variant)
