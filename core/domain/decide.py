"""What a visitor of a short link is answered: an ordered list of named steps, the first that decides wins."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from core.contracts import click_event, link_snapshot
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.domain.decision import FOUND, UNKNOWN, Decision
from core.domain.facts import Facts
from core.domain.targeting import Plan


class Targeted(msgspec.Struct, frozen=True, gc=False):
    """What a link with rules or a split needs to decide: both, compiled, and whom they are asked about."""

    plan: Plan
    facts: Facts


Step = Callable[[LinkSnapshot, DomainSnapshot, int, Targeted | None], Decision | None]
"""A step decides, or returns None to leave it to the next one. It sees the link, its domain, the click's time, and what
a link with rules or a split needs."""


def decide(
    link: LinkSnapshot,
    *,
    domain: DomainSnapshot,
    now_ms: int,
    targeted: Targeted | None = None,
    steps: tuple[Step, ...] | None = None,
) -> Decision:
    """Walk the steps; a link that none of them holds back redirects to its destination; then `cap`. `now_ms` is the
    click's own time, in ms since 1970; `targeted` is None for a link without rules and split; `steps` are STEPS, or as
    many as `steps_of` gives."""
    for step in STEPS if steps is None else steps:
        decision = step(link, domain, now_ms, targeted)
        if decision is not None:
            break
    else:
        decision = Decision(link.status, click_event.REDIRECT, link.url)
    return cap(decision, link, domain) if link.click_cap else decision


def steps_of(link: LinkSnapshot) -> tuple[Step, ...]:
    """Those of STEPS that can decide about a link, whoever comes, and whenever."""
    may_decide: dict[Step, bool] = {
        known: link.is_tombstone,
        active: link.state != link_snapshot.LIVE,
        started: link.starts_ms is not None,
        unexpired: link.expires_ms is not None,
        password: bool(link.password_hash),
        rule: bool(link.rules),
        variant: bool(link.split),
    }
    return tuple(step for step in STEPS if may_decide[step])


def known(link: LinkSnapshot, domain: DomainSnapshot, now_ms: int, _: Targeted | None) -> Decision | None:
    """Somebody owns the slug."""
    return Decision(status=404, outcome=UNKNOWN) if link.is_tombstone else None


def active(link: LinkSnapshot, domain: DomainSnapshot, now_ms: int, _: Targeted | None) -> Decision | None:
    """The link is neither paused (it may come back: 404) nor archived or deleted (it will not: 410). A state that
    this release does not know is held back like a pause: redirecting against the owner's will can not be undone."""
    if link.state == link_snapshot.LIVE or (link.state == link_snapshot.LOCKED and link.password_hash):
        return None
    if link.state == link_snapshot.GONE:
        return Decision(status=410, outcome=click_event.GONE)
    return Decision(status=404, outcome=click_event.PAUSED)


def started(link: LinkSnapshot, domain: DomainSnapshot, now_ms: int, _: Targeted | None) -> Decision | None:
    """The link's time has come; before it: the link's fallback, else 404, as it may work later."""
    if link.starts_ms is None or now_ms >= link.starts_ms:
        return None
    return _elsewhere(404, click_event.SCHEDULED, link.fallback_url)


def unexpired(link: LinkSnapshot, domain: DomainSnapshot, now_ms: int, _: Targeted | None) -> Decision | None:
    """The link's time is not over; after it: the link's fallback, else the domain's, else 410."""
    if link.expires_ms is None or now_ms < link.expires_ms:
        return None
    return _elsewhere(410, click_event.EXPIRED, link.fallback_url or domain.expired_url)


def password(link: LinkSnapshot, domain: DomainSnapshot, now_ms: int, _: Targeted | None) -> Decision | None:
    """The visitor need not give a password, or has given it: then the link is an `opened` one. 423, as it opens to
    whoever knows the password: no robot takes the page for the link's content, and browsers show its form."""
    return Decision(status=423, outcome=click_event.LOCKED) if link.password_hash else None


def rule(
    link: LinkSnapshot, domain: DomainSnapshot, now_ms: int, targeted: Targeted | None
) -> Decision | None:
    """The first rule whose conditions all hold."""
    return None if targeted is None else targeted.plan.by_rule(targeted.facts)


def variant(
    link: LinkSnapshot, domain: DomainSnapshot, now_ms: int, targeted: Targeted | None
) -> Decision | None:
    """The link's own split."""
    return None if targeted is None else targeted.plan.by_split(targeted.facts)


def cap(decision: Decision, link: LinkSnapshot, domain: DomainSnapshot) -> Decision:
    """The last step: wherever a link with a cap would lead, it leads only so many people; after them the link's
    fallback, else the domain's for links that are over, else 410."""
    if decision.outcome != click_event.REDIRECT:
        return decision
    over = _elsewhere(410, click_event.CAPPED, link.fallback_url or domain.expired_url)
    return replace(decision, if_capped=over)


STEPS: tuple[Step, ...] = (known, active, started, unexpired, password, rule, variant)


def opened(link: LinkSnapshot) -> LinkSnapshot:
    """The link as it is for a visitor who has given its password."""
    state = link_snapshot.LIVE if link.state == link_snapshot.LOCKED else link.state
    return replace(link, state=state, password_hash="")


def _elsewhere(status: int, outcome: str, url: str) -> Decision:
    """To `url` where there is one, else a page with `status`."""
    return (
        Decision(status=FOUND, outcome=outcome, url=url) if url else Decision(status=status, outcome=outcome)
    )
