"""`./rastro bench [NAME] [--quick]`: how fast, measured here and beside something known.

Starts servers of its own, durable like those of `rastro up`, in a folder that it removes. Only ratios within one run
say something; figures of two runs, or of two machines, do not compare. `capacity` reckons with figures that were
measured, and starts nothing.
"""

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Callable

from tests.bench import capacity, ingest, postbacks, redirect, sizes
from tests.bench.contestants import CORE
from tests.bench.run import PARTS
from tests.bench.stand import Stand, print_table, stand

BENCHMARKS: dict[str, Callable[[Stand, argparse.Namespace], None]] = {
    "redirect": redirect.measure,
    "ingest": ingest.measure,
    "postbacks": postbacks.measure,
    "sizes": sizes.measure,
}

_ON_ONE_CORE = ("redirect", "postbacks")


def main(argv: list[str]) -> int:
    """Run the benchmark that is named, or all that measure. Prints a table for each."""
    parser = argparse.ArgumentParser(
        prog="rastro bench", description="Measures redirects, ingest, postbacks and sizes; plans capacity."
    )
    parser.add_argument(
        "name", nargs="?", choices=(*BENCHMARKS, "capacity"), help="which one (default: all that measure)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds, to see that it runs; no figures to keep"
    )
    parser.add_argument("--seconds", type=float, default=None, help="redirect: length of a round (default 5)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds for each program (default 3)")
    parser.add_argument("--connections", type=int, default=64, help="redirect: connections (default 64)")
    parser.add_argument(
        "--part",
        choices=dict.fromkeys((*PARTS, *ingest.PARTS, *postbacks.PARTS)),
        help=f"this part alone (default: all); of ingest: {', '.join(ingest.PARTS)}; "
        f"of postbacks: {', '.join(postbacks.PARTS)}",
    )
    parser.add_argument(
        "--clicks",
        type=int,
        default=None,
        help="ingest: clicks to store in a part (default 200000; processes: 600000, memory: 1000000)",
    )
    parser.add_argument("--backlog", type=int, default=None, help="ingest: how long it is (default 300000)")
    parser.add_argument("--links", type=int, default=2000, help="ingest: links, by Zipf (default 2000)")
    parser.add_argument("--workers", type=int, default=1, help="ingest: worker processes (default 1)")
    options = parser.parse_args(argv)
    if options.name == "capacity":
        for title, head, rows in capacity.tables():
            print_table(title, head, rows)
        return 0
    print(f"Machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.")
    for name in [options.name] if options.name else BENCHMARKS:
        with stand(apart_from=CORE if name in _ON_ONE_CORE else None) as servers:
            BENCHMARKS[name](servers, options)
    print(f"\nAgain: ./rastro bench {shlex.join(argv)}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
