"""A backlog that clears, and what new clicks and whoever asks for its depth notice of it."""

import argparse
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from core.contracts import keys
from tasks.metrics import QUEUES
from tests.bench.clicks import STREAM, Clicks
from tests.bench.run import Finding
from tests.bench.stand import print_table, wait_until

_WORKERS = 2
_EVERY_S = 0.02
_SLOWED_MS = 50.0
"""What nobody notices who waits for a page or a redirect."""


@dataclass(slots=True)
class _Times:
    """Milliseconds that each thing took."""

    kept: list[float] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)


def measure(clicks: Clicks, options: argparse.Namespace) -> list[Finding]:
    """Ask and click at leisure, then while a backlog of `--backlog` clicks clears, then again."""
    number = options.backlog or (10_000 if options.quick else 300_000)
    leisure = 1.0 if options.quick else 5.0
    QUEUES.watch(clicks.client, keys.QUEUES)
    with clicks.workers(_WORKERS):
        clicks.send(1)
        clicks.wait_until_stored()
        before = _watch(clicks, seconds=leisure)
    clicks.send(number)
    start = time.monotonic()
    with clicks.workers(_WORKERS):
        wait_until(lambda: clicks.waiting() < number, limit=60, what="the first batch")
        start = time.monotonic()
        during = _watch(clicks, until_below=1000)
        seconds = time.monotonic() - start
        clicks.wait_until_stored()
        after = _watch(clicks, seconds=leisure)
    clicks.wait_until_stored()
    QUEUES.watch(clicks.client, ())
    print_table(
        f"A backlog of {number:,} clicks, {_WORKERS} worker processes: cleared in {seconds:.0f} s, "
        f"{number / seconds:,.0f} clicks/s",
        ("ms, middle / p99 / longest", "before", "while it clears", "after"),
        (
            ("Redis keeps a new click", *(_shown(one.kept) for one in (before, during, after))),
            ("the depth of all queues is asked", *(_shown(one.depth) for one in (before, during, after))),
            ("a new click is stored", *(_shown(one.stored) for one in (before, during, after))),
        ),
    )
    kept, depth, wait = _p99(during.kept), _p99(during.depth), max(during.stored, default=0.0) / 1000
    aim = f"not noticed: p99 at most {_SLOWED_MS:.0f} ms"
    return [
        Finding(f"a new click kept, behind {number:,}", f"p99 {kept:.1f} ms", aim, kept <= _SLOWED_MS),
        Finding(f"the depth asked, of {number:,}", f"p99 {depth:.1f} ms", aim, depth <= _SLOWED_MS),
        Finding(
            f"longest wait of a new click behind {number:,}",
            f"{wait:.1f} s",
            f"what is ahead of it: {seconds:.1f} s",
            wait <= seconds * 1.1 + 1,
        ),
    ]


def _watch(clicks: Clicks, *, seconds: float = float("inf"), until_below: int = 0) -> _Times:
    """Send a click and ask for the depth again and again, for so long or until the stream is short."""
    times = _Times()
    followers: list[threading.Thread] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and (not until_below or clicks.waiting() > until_below):
        (payload,) = clicks.payloads(1)
        begun = time.monotonic()
        entry = clicks.client.xadd(STREAM, {keys.EVENT_FIELD: payload})
        times.kept.append(_since(begun))
        if len(times.kept) % 10 == 1:
            asked = time.monotonic()
            list(QUEUES.collect())
            times.depth.append(_since(asked))
        if len(times.kept) % 25 == 1:
            follower = threading.Thread(target=_follow, args=(clicks.client, entry, begun, times.stored))
            follower.start()
            followers.append(follower)
        time.sleep(_EVERY_S)
    for follower in followers:
        follower.join()
    return times


def _follow(client: "redis.Redis", entry: bytes, begun: float, stored: list[float]) -> None:
    """Note when a click has left the stream: it is stored, and counted, just before."""
    while client.xrange(STREAM, entry, entry):
        time.sleep(min(0.25, max(0.002, (time.monotonic() - begun) / 50)))
    stored.append(_since(begun))


def _since(begun: float) -> float:
    return (time.monotonic() - begun) * 1000


def _shown(times: Sequence[float]) -> str:
    ordered = sorted(times) or [0.0]
    return f"{ordered[len(ordered) // 2]:,.1f} / {_p99(ordered):,.1f} / {ordered[-1]:,.1f}"


def _p99(times: Sequence[float]) -> float:
    ordered = sorted(times) or [0.0]
    return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
