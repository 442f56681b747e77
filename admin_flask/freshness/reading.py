"""How fresh reports are: the clicks that wait in the queue, and the age of the oldest."""

from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext, ngettext
from redis import Redis, RedisError

from core.contracts import keys
from core.services.queues.states import age_s

LATE_S = 10
"""Clicks that are younger than this are simply on their way."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the dot in the top bar says. `tone` is "" (fresh), "busy" (behind) or "away" (not known)."""

    tone: str
    text: str
    detail: str


def read_freshness(redis: "Redis", *, now: datetime) -> Freshness:
    """Ask the queue. Redis that does not answer gives "away", never an error."""
    try:
        pipe = redis.pipeline(transaction=False)
        for stream in (keys.stream("track"), keys.held("track")):
            pipe.xlen(stream)
            pipe.xrange(stream, count=1)
        waiting, oldest, held_back, oldest_held = pipe.execute()
    except RedisError:
        return Freshness(
            "away", gettext("Freshness not known"), gettext("The queue does not answer. No click is lost.")
        )
    waiting += held_back  # while the queue is paused
    late = int(max(age_s(oldest, now), age_s(oldest_held, now)))
    if not waiting or late < LATE_S:
        return Freshness("", gettext("Reports up to date"), gettext("Every click so far is in the reports."))
    detail = ngettext("%(num)s click waits. None is lost.", "%(num)s clicks wait. None is lost.", waiting)
    if late < 120:
        return Freshness("busy", gettext("Reports %(n)s s behind", n=late), detail)
    return Freshness("busy", gettext("Reports %(n)s min behind", n=late // 60), detail)


def signed_out() -> Freshness:
    """In place of an answer to a page whose session has ended."""
    detail = gettext("Save as usual: you sign in again, and what you typed is kept.")
    return Freshness("away", gettext("Signed out"), detail)
