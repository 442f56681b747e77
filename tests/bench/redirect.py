"""Everything that is promised of a redirect, measured in one run: rates, answer times at a load, memory, the books."""

import argparse
from contextlib import ExitStack

import redis

from tests.bench import links, nginx_redirect
from tests.bench.at_load import measure_at_load
from tests.bench.books import Books
from tests.bench.compare import compare, start
from tests.bench.footprint import measure_footprint
from tests.bench.run import LOAD_PART, MEMORY_PART, MISSES_PART, PARTS, Finding, Run, Size
from tests.bench.stand import Stand, print_table


def measure(stand: Stand, options: argparse.Namespace) -> None:
    """Measure the part that is asked for, or all. Prints a table for each, then what was aimed at, then the books.

    Raises ValueError when a tracker answered more redirects than there are clicks, or fewer.
    """
    parts = PARTS if options.part is None else (options.part,)
    size = Size.of(options)
    client = redis.Redis.from_url(stand.settings.redis_url)
    client.config_set("auto-aof-rewrite-percentage", 0)  # it would fall on one contestant
    links.publish(client, many=size.links if {MISSES_PART, MEMORY_PART} & set(parts) else 0)
    run = Run(stand, client, Books(client), size)
    findings: list[Finding] = []
    books: list[str] = []
    if parts != (MEMORY_PART,):
        with ExitStack() as stack:
            there = start(run, stack, parts)
            findings += compare(run, there)
            if LOAD_PART in parts:
                findings += measure_at_load(run, there)
            books += [run.books.balance(tracker) for tracker in there.trackers]
    if MEMORY_PART in parts:
        found, kept = measure_footprint(run)
        findings += found
        books += kept
    client.close()
    print_table(
        "What was aimed at", ("what", "measured", "aim", "reached"), [finding.row() for finding in findings]
    )
    print()
    if not nginx_redirect.is_installed():
        packages = nginx_redirect.PACKAGES
        print(f"nginx with Lua is not on this machine, so it was not measured: apt-get install {packages}")
    print("\n".join(books))
