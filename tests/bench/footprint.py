"""What a tracker process takes: memory with every link in its cache and after a million requests, seconds to start."""

import time
from contextlib import ExitStack

from tests.bench import links, visitors
from tests.bench.books import redirects_answered
from tests.bench.contestants import Contestant, start_tracker
from tests.bench.load import ask_each
from tests.bench.run import Entry, Finding, Run
from tests.bench.stand import memory_mb, print_table, wait_until

MOST_MB, MOST_SECONDS = 180, 3
_FLAT = 0.05
"""Growth that still counts as none: the smallest thing that Python could keep of each request is twice as much."""

_DRAWN = 50_000


def measure_footprint(run: Run) -> tuple[list[Finding], list[str]]:
    """Start trackers, fill one, ask it for a million links. Prints a table; returns what was found, and the books."""
    seconds = sorted(_cold_start(run) for _ in range(run.size.starts))
    size = run.size
    with ExitStack() as stack:
        who = _tracker(run, stack)
        wait_until(lambda: _is_ready(who), limit=30, what="a ready tracker")
        empty = memory_mb(who.pid)
        paths = [links.path_of(rank) for rank in range(size.links)]
        ask_each(who.port, visitors.make_requests(run.rng, host=who.host, paths=paths))
        run.books.saw(who.host, size.links)
        full = memory_mb(who.pid)
        drawn = visitors.zipf(run.rng, ranks=size.links, number=min(_DRAWN, 10 * size.links))
        load = run.load("memory", host=who.host, paths=map(links.path_of, drawn))
        entry = Entry(who.name, who, load)
        few, early = _memory_after(run, entry, requests=size.requests // 5)
        many, late = _memory_after(run, entry, requests=size.requests)
        books = [run.books.balance(who)]
    middle = seconds[(len(seconds) - 1) // 2]
    print_table(
        "A tracker process: memory in MB, and seconds from its start to the first 200 of /readyz "
        f"({size.starts} start(s), files in the page cache)",
        (
            "ready",
            f"{size.links:,} links held",
            f"after {few:,} requests",
            f"after {many:,} requests",
            "seconds to ready, middle",
            "longest",
        ),
        [(*(f"{mb:.1f}" for mb in (empty, full, early, late)), f"{middle:.2f}", f"{seconds[-1]:.2f}")],
    )
    held, growth = max(full, early, late), late / early - 1
    return [
        Finding(
            f"memory with {size.links:,} links held", f"{held:.0f} MB", f"under {MOST_MB} MB", held < MOST_MB
        ),
        Finding(
            f"its growth from {few:,} to {many:,} requests",
            f"{late - early:+.1f} MB",
            f"flat: at most {_FLAT:.0%}",
            growth <= _FLAT,
        ),
        Finding("start to ready", f"{middle:.2f} s", f"under {MOST_SECONDS} s", middle < MOST_SECONDS),
    ], books


def _tracker(run: Run, stack: ExitStack) -> Contestant:
    """One whose cache has room for all links, the domain beside them."""
    room = str(run.size.links + 100)
    name = "Rastro's tracker, the one that was filled"
    return start_tracker(
        run.stand, stack, name, host="memory.bench.example", SNAPSHOT_CACHE=room, DRAIN_HOLD="0"
    )


def _cold_start(run: Run) -> float:
    with ExitStack() as stack:
        start = time.monotonic()
        who = _tracker(run, stack)
        wait_until(lambda: _is_ready(who), limit=30, what="a ready tracker")
        return time.monotonic() - start


def _is_ready(who: Contestant) -> bool:
    answer = who.get("/readyz")
    return answer is not None and answer.status == 200


def _memory_after(run: Run, entry: Entry, *, requests: int) -> tuple[int, float]:
    """Ask until so many are answered, or a few more; how many, and what the process takes then."""
    while (answered := redirects_answered(entry.who)) < requests:
        run.ask(entry, seconds=min(2.0, run.size.seconds))
    return answered, memory_mb(entry.who.pid)
