"""Redirects per second, round by round in turn: ours, nginx + Lua, plain Flask; a link with rules; cache misses."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.bench import links, visitors
from tests.bench.books import redirects_answered, snapshots_asked_for
from tests.bench.contestants import Contestant, start_flask, start_nginx, start_tracker
from tests.bench.load import client_name
from tests.bench.metrics_cost import metrics_cost
from tests.bench.run import LOAD_PART, MISSES_PART, PLAIN_PART, RULES_PART, Entry, Finding, Run
from tests.bench.stand import print_table, wait_until

_DRAWN = 50_000


@dataclass(slots=True)
class Field:
    """Who takes part; only what the wanted parts need is there."""

    fast: Entry
    nginx: Entry | None = None
    ruled: Entry | None = None
    misses: Entry | None = None
    others: list[Entry] = field(default_factory=list)
    nginx_is_missing: bool = False

    @property
    def entries(self) -> list[Entry]:
        """In the order in which they are asked."""
        named = (self.fast, self.nginx, self.ruled, self.misses)
        return [*(entry for entry in named if entry is not None), *self.others]

    @property
    def trackers(self) -> list[Contestant]:
        """Those of ours, each once."""
        return list(dict.fromkeys(entry.who for entry in self.entries if entry.who.metrics_port))


def start(run: Run, stack: ExitStack, parts: Sequence[str]) -> Field:
    """Start the programs; they run all the time, and are asked in turn."""
    who = start_tracker(
        run.stand,
        stack,
        "Rastro's tracker, fast lane, click kept before the answer",
        host="fast.bench.example",
    )
    there = Field(_plain(run, who))
    if PLAIN_PART in parts or LOAD_PART in parts:
        nginx = start_nginx(run.stand, stack, run.client)
        there.nginx = None if nginx is None else _plain(run, nginx)
        there.nginx_is_missing = nginx is None
    if RULES_PART in parts:
        load = run.same_path("ruled", host=who.host, path=links.RULED)
        there.ruled = Entry("the fast lane, a link with ten rules and a split", who, load)
    if MISSES_PART in parts:
        there.misses = _misses(run, stack)
    if PLAIN_PART in parts:
        name = "Rastro's tracker, Quart route (FAST_LANE=0)"
        quart = start_tracker(run.stand, stack, name, host="quart.bench.example", FAST_LANE="0")
        there.others = [_plain(run, quart), _plain(run, start_flask(run.stand, stack))]
    for entry in there.entries:
        path = entry.load.requests[0].split(b" ")[1].decode()
        wait_until(
            lambda who=entry.who, path=path: who.redirects(path), limit=30, what=f"an answer of {entry.name}"
        )
    return there


def compare(run: Run, there: Field) -> list[Finding]:
    """Measure everybody in turn, so that a busy moment of the machine hits all of them. Prints a table."""
    if run.size.warm:
        for entry in there.entries:
            run.ask(entry, seconds=run.size.warm)
    before = _reads(there.misses)
    for _ in range(run.size.rounds):
        for entry in there.entries:
            run.measure(entry)
    size = run.size
    print_table(
        f"Redirects: one core, {size.connections} connections, {size.rounds} round(s) of {size.seconds:g} s each in "
        f"turn, measured by {client_name()}; middle round, middle ratio to nginx",
        (
            "what",
            "redirects/s",
            "ratio",
            "p50 ms",
            "p99 ms",
            "µs of CPU each: web",
            "Valkey",
            "client",
            "failed",
        ),
        [_row(entry, there.nginx) for entry in there.entries],
    )
    what = "a plain link against nginx + Lua"
    missing = [Finding(what, "nginx with Lua is not here", "at least 1", None)]
    return [
        *(missing if there.nginx_is_missing else _finding(what, there.fast, there.nginx, aim=1.0)),
        *_of_metrics(there),
        *_finding("ten rules and a split against a plain link", there.ruled, there.fast, aim=0.8),
        *_finding(_of_misses(run, there, before), there.misses, there.fast, aim=0.6),
    ]


def _plain(run: Run, who: Contestant) -> Entry:
    name = who.host.partition(".")[0]
    return Entry(who.name, who, run.same_path(name, host=who.host, path=links.PLAIN))


def _misses(run: Run, stack: ExitStack) -> Entry:
    size = run.size
    name = f"a tracker that holds {size.cache:,} links, {size.links:,} links by Zipf"
    who = start_tracker(run.stand, stack, name, host="misses.bench.example", SNAPSHOT_CACHE=str(size.cache))
    drawn = visitors.zipf(run.rng, ranks=size.links, number=min(_DRAWN, 10 * size.links))
    return Entry(name, who, run.load("misses", host=who.host, paths=map(links.path_of, drawn)))


def _reads(entry: Entry | None) -> tuple[int, int]:
    return (0, 0) if entry is None else (redirects_answered(entry.who), snapshots_asked_for(entry.who))


def _of_misses(run: Run, there: Field, before: tuple[int, int]) -> str:
    answered, asked = (now - then for now, then in zip(_reads(there.misses), before, strict=True))
    share = 1 - asked / answered if answered else 0
    cache = f"a cache of {run.size.cache:,} ({share:.0%} found in it)"
    return f"{run.size.links:,} links by Zipf with {cache} against a plain link"


def _of_metrics(there: Field) -> list[Finding]:
    """Nothing where only another part was asked for."""
    if there.nginx is None and not there.nginx_is_missing:
        return []
    cost = metrics_cost()
    share = cost * there.fast.answered / max(1e-9, there.fast.web)
    return [
        Finding(
            "metrics, of the processor time of a redirect",
            f"{cost * 1e6:.2f} µs, {share:.1%}",
            "small: at most 5 %",
            share <= 0.05,
        )
    ]


def _finding(what: str, entry: Entry | None, base: Entry | None, *, aim: float) -> list[Finding]:
    """Nothing where it was not asked for."""
    if entry is None or base is None:
        return []
    ratio = entry.against(base)
    return [Finding(what, f"{ratio:.3f}", f"at least {aim:g}", ratio >= aim)]


def _row(entry: Entry, base: Entry | None) -> tuple[str, ...]:
    middle, each = entry.middle, 1e6 / max(1, entry.answered)
    return (
        entry.name,
        f"{middle.per_second:,.0f}",
        f"{entry.against(base):.2f}" if base else "",
        f"{middle.p50:.1f}",
        f"{middle.p99:.1f}",
        f"{entry.web * each:.1f}",
        f"{entry.valkey * each:.1f}",
        f"{sum(one.cpu for one in entry.rounds) * each:.1f}",
        str(sum(one.failed for one in entry.rounds)),
    )
