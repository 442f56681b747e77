"""Queues, pools and lanes, and nothing else.

A pool is what one worker process takes from, in order of priority. A lane is one thread (or WORKER_THREADS of them)
with the queues that it takes from, in order of priority: since each queue of a pool ends a lane of its own, a long task
on `system` delays nothing else; the lane of the clicks first helps where people wait. The pool `track` has two lanes:
one prepares its batch while PostgreSQL stores that of the other, which makes a fifth more clicks a process.
"""

from core.contracts.keys import QUEUES

Lane = tuple[str, ...]

POOLS: dict[str, tuple[str, ...]] = {
    "default": QUEUES,
    "track": ("track",),
}

LANES: dict[str, tuple[Lane, ...]] = {
    "default": (("publish",), ("conversion",), ("system",), ("publish", "conversion", "track")),
    "track": (("track",), ("track",)),
}

SCHEDULING_POOL = "default"
"""Processes of this pool run the schedule and empty the outbox."""
