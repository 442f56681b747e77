"""How long the clicks of a worker that was killed wait for another one."""

import argparse
import os
import signal
import time

import redis

from core.contracts import keys
from tests.bench.clicks import STREAM, Clicks
from tests.bench.run import Finding
from tests.bench.stand import print_table, wait_until

_GRACE = 0.25
_CLICKS = 30_000


def measure(clicks: Clicks, options: argparse.Namespace) -> list[Finding]:
    """Kill -9 one of two workers while it holds a batch, and time until others have stored all of it."""
    lease = 2 if options.quick else 15
    rounds = 1 if options.quick else options.rounds or 3
    waits = [_kill_one(clicks, lease=lease) for _ in range(rounds)]
    print_table(
        f"Redelivery after kill -9 of a worker that holds a batch, lease {lease} s",
        ("entries held", "seconds until taken over, first", "last", "until all are stored"),
        [(str(held), f"{first:.2f}", f"{last:.2f}", f"{stored:.2f}") for held, first, last, stored in waits],
    )
    longest, limit = max(stored for *_, stored in waits), lease * (1 + _GRACE)
    return [
        Finding(
            "redelivered and stored after kill -9",
            f"{longest:.1f} s",
            f"lease + 25%: at most {limit:g} s",
            longest <= limit,
        )
    ]


def _kill_one(clicks: Clicks, *, lease: int) -> tuple[int, float, float, float]:
    """How many entries it held; seconds until the first and the last were taken over, and until all were stored."""
    with clicks.workers(2, WORKER_LEASE=str(lease)) as (victim, _):
        clicks.send(_CLICKS, most_waiting=_CLICKS)
        wait_until(lambda: bool(_held_by(clicks.client, victim)), limit=60, what="a batch")
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        ids = _held_by(clicks.client, victim)
        held = len(ids)
        first = last = 0.0
        while ids:
            still = _held_by(clicks.client, victim)
            if not first and len(still) < held:
                first = time.monotonic() - killed
            if not last and not still:
                last = time.monotonic() - killed
            ids = ids if still else [one for one in ids if clicks.client.xrange(STREAM, one, one)]
            time.sleep(0.01)
        stored = time.monotonic() - killed
        clicks.wait_until_stored()
    return held, first, last, stored


def _held_by(client: "redis.Redis", pid: int) -> list[bytes]:
    """Ids of the entries that the threads of a worker process hold."""
    try:
        consumers = client.xinfo_consumers(STREAM, keys.GROUP)
    except redis.ResponseError:  # no worker has come yet
        return []
    names = [row["name"] for row in consumers if row["pending"] and f"-{pid}-".encode() in row["name"]]
    rows = [client.xpending_range(STREAM, keys.GROUP, "-", "+", 100_000, consumername=name) for name in names]
    return [row["message_id"] for found in rows for row in found]
