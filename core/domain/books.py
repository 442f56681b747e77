"""The books of clicks: whether the sums of an hour, and of all hours together, come out. Pure.

What trackers have answered and what Redis has accepted must have been stored, counted as too old (expired), set aside
(dead), or must still wait. A click that was sent or delivered twice is stored once and counted as a duplicate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Literal

JUDGED_AFTER = timedelta(hours=1)
"""After its end, before an hour is judged: what lay on a tracker's disk has come by then."""

State = Literal["balanced", "settling", "unbalanced"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Clicks of one or several hours, by what became of them."""

    answered: int = 0
    accepted: int = 0
    stored: int = 0
    duplicate: int = 0
    expired: int = 0
    dead: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Counts)))

    @property
    def ended(self) -> int:
        """Different clicks whose way has ended: in a table, or where a person can see them."""
        return self.stored + self.expired + self.dead

    @property
    def lost(self) -> int:
        """Accepted clicks of which nothing is known, unless they still wait; 0 where none is missing."""
        return max(self.accepted - self.duplicate - self.ended, 0)

    @property
    def missing(self) -> int:
        """Clicks that were answered or accepted, and have not ended; 0 where none is missing."""
        return max(self.accepted - self.duplicate, self.answered, self.ended) - self.ended

    @property
    def surplus(self) -> int:
        """Clicks that have ended without having been answered or accepted: Redis lost its count."""
        return max(self.ended - max(self.accepted, self.answered), 0)


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of clicks, begun at `start` (UTC), and whether it comes out."""

    start: datetime
    counts: Counts
    state: State


@dataclass(frozen=True, slots=True)
class Books:
    """Hours, newest first, all of them together, what waits and runs, and whether everything comes out.

    `sent_twice` is the part of `total.duplicate` that Redis had accepted twice; `moving` are clicks that went from one
    place to the next while they were counted."""

    hours: tuple[Hour, ...]
    total: Counts
    waiting: int
    running: int
    state: State

    @property
    def sent_twice(self) -> int:
        return min(max(self._open, 0), self.total.duplicate)

    @property
    def moving(self) -> int:
        return self._open - self.sent_twice

    @property
    def unbalanced(self) -> tuple[Hour, ...]:
        """The hours that were judged and do not come out."""
        return tuple(hour for hour in self.hours if hour.state == "unbalanced")

    @property
    def missing(self) -> int:
        """Clicks that are neither stored, set aside nor known to wait."""
        return max(self.total.missing - self.waiting - self.running, 0)

    @property
    def _open(self) -> int:
        return self.total.accepted - self.total.ended - self.waiting - self.running


def judge(start: datetime, counts: Counts, *, queued: int, now: datetime) -> State:
    """Whether an hour comes out. Until a while after its end, and while its missing clicks may be among the `queued`
    ones, it settles."""
    if not counts.missing and not counts.surplus:
        return "balanced"
    is_young = now < start + timedelta(hours=1) + JUDGED_AFTER
    return "settling" if is_young or 0 < counts.missing <= queued else "unbalanced"


def close(hours: Sequence[tuple[datetime, Counts]], *, waiting: int, running: int, now: datetime) -> Books:
    """Judge hours, and all of them together.

    `accepted` must have been read together with what waits and runs, and before all other counts: then no click that
    moves meanwhile seems to be lost."""
    queued = waiting + running
    judged = tuple(
        Hour(start, counts, judge(start, counts, queued=queued, now=now))
        for start, counts in sorted(hours, key=lambda pair: pair[0], reverse=True)
    )
    total = sum((counts for _, counts in hours), Counts())
    state: State = "balanced"
    if total.missing > queued or any(hour.state != "balanced" and hour.counts.surplus for hour in judged):
        state = "settling"
    if total.lost > queued or any(hour.state == "unbalanced" for hour in judged):
        state = "unbalanced"
    return Books(judged, total, waiting, running, state)
