"""Which click a conversion is credited to, and how long after it. Pure."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.domain.sources import FIRST, LAST

RETRIES = (2, 10, 60, 300, 1800, 3600)
"""Seconds until a postback that waits for its click is looked at again, the last one for ever after."""

WAITS = timedelta(days=1)
"""How long a postback waits for its click."""

YOUNG = timedelta(days=3)
"""A click that is older and not stored will not come any more."""

AHEAD = timedelta(days=1)
"""How far ahead of us the clock of a tracker may be."""

_LAST_MS = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Touch:
    """A click (or a coupon, which has none) by which a customer came, at a time."""

    click_id: uuid.UUID | None
    link_id: int
    rule: int
    variant: int
    at: datetime


def choose(touches: Iterable[Touch], *, at: datetime, window_days: int, model: str = LAST) -> Touch | None:
    """The touch that a conversion `at` a time is credited to: of those before it and within the window the last one, or
    the first one where `model` is FIRST. None where there is none."""
    fitting = [touch for touch in touches if touch.at <= at and is_within(touch.at, at, window_days)]
    if not fitting:
        return None
    pick = min if model == FIRST else max
    return pick(fitting, key=lambda touch: (touch.at, touch.click_id or uuid.UUID(int=0)))


def is_within(clicked_at: datetime, at: datetime, window_days: int) -> bool:
    """Whether a conversion came within the window of its click; 0 days are without end."""
    return window_days == 0 or at - clicked_at <= timedelta(days=window_days)


def next_try(clicked_at: datetime, *, received: datetime, attempts: int, now: datetime) -> datetime | None:
    """When to look again for a click that is not stored; None where it will not come any more. `attempts` were made
    before this one."""
    may_come = now - YOUNG < clicked_at <= now + AHEAD and now - received < WAITS
    if not may_come:
        return None
    return now + timedelta(seconds=RETRIES[min(attempts, len(RETRIES) - 1)])


def time_of(click_id: uuid.UUID) -> datetime:
    """When a click was made, by its id (UUIDv7); the end of the year 9999 where it says later."""
    return datetime.fromtimestamp(min(click_id.int >> 80, _LAST_MS) / 1000, UTC)
