"""`./rastro bench capacity`: what a rate of clicks needs, and what autoscalers make of a peak. Measures nothing.

Every figure comes from INPUTS, and those from measurements that docs/benchmarks.md and docs/capacity.md describe.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.registry import LARGEST_BATCH
from tests.bench.autoscaler import Keda, Rules
from tests.bench.simulation import Outcome, Plan, Profile, Trackers, Workers, reaction_s, simulate

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, head, rows."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was measured, and what is supposed beside it."""

    tracker_us: float = 19.0
    tracker_rate: int = 40_000
    tracker_mb: int = 119
    redirect_us: float = 5.4
    store_us: float = 11.0
    worker_us: float = 22.0
    worker_rate: int = 10_000
    base_rate: int = 8_000
    worker_mb: int = 200
    postgres_us: float = 22.0
    waiting_bytes: int = 284
    link_bytes: int = 139
    commands: float = 0.018
    row_bytes: int = 313
    rollup_bytes: int = 83
    visitor_bytes: int = 108
    log_bytes: int = 1_207
    load: float = 0.7
    links: int = 100_000
    outage_min: int = 30
    base_pods: int = 2
    tracker_pods: int = 3
    tracker_request: float = 0.5
    tracker_target: float = 0.6


INPUTS = Inputs()
RATES = (1_000, 10_000, 100_000)
POSTGRES_VCPU = 2

_SAID = {
    "tracker_us": "µs of CPU a redirect, tracker: a link with ten rules (a plain one 14.0)",
    "tracker_rate": "redirects/s of a tracker process: measured 61,270 plain, 48,457 with rules, 37,843 past its cache",
    "tracker_mb": "MB of a tracker process with 100,000 links held",
    "redirect_us": "µs of Valkey's CPU to keep a click",
    "store_us": "µs of Valkey's CPU to hand a click to a worker and let it go: half of the worker's (`bench sizes`)",
    "worker_us": "µs of CPU a click, worker (25 beside other programs)",
    "worker_rate": "clicks/s of a pod of the pool `track`: measured 8,081 to 27,712; what is aimed at, at least",
    "base_rate": "clicks/s of a pod of the pool `default`: one thread of clicks where `track` has two",
    "worker_mb": "MB of a worker process",
    "postgres_us": "µs of CPU a click, PostgreSQL",
    "waiting_bytes": "bytes of Redis' memory for a click that waits (`bench sizes`)",
    "link_bytes": "bytes of Redis' memory for a plain link (`bench sizes`)",
    "commands": "commands to Redis a click, worker, with full batches (`bench sizes`)",
    "row_bytes": "bytes of disk a click, rows and index (`bench sizes`)",
    "rollup_bytes": "bytes of disk a click, rollups, 100 clicks a link (`bench sizes`); fewer with more clicks a link",
    "visitor_bytes": "bytes of disk a click for visitors of the day, kept three days (`bench sizes`)",
    "log_bytes": "bytes of write-ahead log a click (`bench sizes`)",
    "load": "supposed: how busy a core may be in the plan",
    "links": "supposed: links",
    "outage_min": "supposed: minutes for which PostgreSQL may be away",
    "base_pods": "supposed: pods of the pool `default`",
    "tracker_pods": "supposed: tracker pods at least, one a zone",
    "tracker_request": "supposed: vCPU that a tracker pod requests; it has no limit, and uses one core at most",
    "tracker_target": "supposed: share of its request at which the HPA aims",
}


def plan_of(one: Inputs = INPUTS, *, kept: int = 0, activation: int = LARGEST_BATCH) -> Plan:
    """The deployment that docs/capacity.md proposes, with so many pods of the pool `track` at least,
    woken by more than so many clicks."""
    most = math.ceil(one.load * 1e6 / one.store_us / one.worker_rate)
    scaled = Keda(
        rules=Rules(least=kept, most=most, up_pods=8),
        target=20_000,
        activation=activation,
        polling_s=5,
        cooldown_s=300,
    )
    workers = Workers(
        scaled=scaled,
        base=one.base_pods,
        a_base_pod=one.base_rate,
        a_pod=one.worker_rate,
        lot=LARGEST_BATCH,
        postgres=int(POSTGRES_VCPU * one.load * 1e6 / one.postgres_us),
        redis_us=int(one.load * 1e6),
        redirect_us=one.redirect_us,
        store_us=one.store_us,
    )
    trackers = Trackers(
        rules=Rules(least=one.tracker_pods, most=12),
        a_pod=one.tracker_rate,
        cpu_us=one.tracker_us,
        target_cpu=one.tracker_request * one.tracker_target,
    )
    return Plan(trackers=trackers, workers=workers)


def curve(points: Sequence[tuple[float, int]]) -> Profile:
    """Visitors a second between points (minute, visitors a second), by straight lines; level before and after them."""
    minutes = [minute for minute, _ in points]

    def at(second: int) -> int:
        minute = second / 60
        place = bisect.bisect_right(minutes, minute)
        if place in (0, len(points)):
            return points[max(place - 1, 0)][1]
        (start, low), (end, high) = points[place - 1], points[place]
        return round(low + (high - low) * (minute - start) / (end - start))

    return at


def steady(rate: int) -> Profile:
    """As many in each second."""
    return lambda _: rate


def spike(rate: int, *, peak: int, start: int, length: int) -> Profile:
    """`rate`, but `peak` in the seconds from `start` on."""
    return lambda second: peak if start <= second < start + length else rate


BLACK_FRIDAY = curve(
    [
        *((0, 2_000), (59, 4_000), (60, 60_000), (70, 60_000), (90, 20_000), (180, 8_000), (360, 3_000)),
        *((480, 8_000), (600, 15_000), (719, 15_000), (720, 30_000), (750, 18_000), (1080, 15_000)),
        *((1200, 26_000), (1320, 26_000), (1440, 6_000)),
    ]
)
"""25 hours around a Black Friday that opens at midnight: mails at noon, the most of the day in the evening."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What visitors do, when PostgreSQL is away, and what differs from the plan."""

    name: str
    profile: Profile
    seconds: int
    away: tuple[range, ...] = ()
    kept: int = 0
    activation: int = LARGEST_BATCH


SCENARIOS = (
    Scenario("steady, 10,000/s", steady(10_000), 1800),
    Scenario(
        "spike, 2,000/s to 24,000/s for 10 minutes", spike(2_000, peak=24_000, start=120, length=600), 1800
    ),
    Scenario(
        "spike, 2,000/s to 100,000/s for a minute", spike(2_000, peak=100_000, start=120, length=60), 1800
    ),
    Scenario("Black Friday, 60,000/s for ten minutes", BLACK_FRIDAY, 25 * 3600),
    Scenario("the same, `minReplicaCount` 2", BLACK_FRIDAY, 25 * 3600, kept=2),
    Scenario("the same, `activationLagCount` 20,000", BLACK_FRIDAY, 25 * 3600, activation=20_000),
    Scenario("10,000/s, PostgreSQL away for 30 minutes", steady(10_000), 5400, (range(300, 2100),)),
)


def tables() -> list[Table]:
    """All that the command prints."""
    plan = plan_of()
    outcomes = [
        simulate(
            plan_of(kept=one.kept, activation=one.activation), one.profile, seconds=one.seconds, away=one.away
        )
        for one in SCENARIOS
    ]
    return [
        ("Inputs", ("input", "value", "what"), _inputs()),
        ("A million clicks", ("program", "CPU seconds", "memory", "disk", "log"), _million(INPUTS)),
        (
            "Needs, at " + f"{INPUTS.load:.0%} of each core",
            ("clicks/s", *(f"{r:,}" for r in RATES)),
            _needs(INPUTS),
        ),
        ("What is full first", ("part", "clicks/s at most"), _ceilings(INPUTS)),
        ("The autoscalers' numbers", ("setting", "value"), _settings(plan)),
        (
            "Simulated",
            (
                "visitors",
                "clicks",
                "deepest backlog",
                "of Redis' memory",
                "longest wait",
                "tracker pods",
                "track pods",
                "decisions",
            ),
            [_scenario(one, outcome) for one, outcome in zip(SCENARIOS, outcomes, strict=True)],
        ),
        ("Decisions of the first spike", ("second", "who", "pods", "saw"), _decisions(outcomes[1])),
        (
            "Seconds from a spike of 2,000/s until, at worst",
            ("to clicks/s", "the first pod is asked for", "enough are asked for", "they work"),
            [
                (f"{to:,}", *map(str, reaction_s(plan, before=2_000, after=to)))
                for to in (24_000, 40_000, 100_000)
            ],
        ),
    ]


def text_of(table: Table) -> str:
    """A table as docs/capacity.md has it."""
    _, head, rows = table
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, tuple("---" for _ in head), *rows))


def _inputs() -> list[tuple[str, ...]]:
    return [(f"`{name}`", f"{getattr(INPUTS, name):,}", said) for name, said in _SAID.items()]


def _million(one: Inputs) -> list[tuple[str, ...]]:
    """A microsecond a click is a second a million clicks, and a byte a click is a megabyte."""
    return [
        (
            "tracker",
            f"{one.tracker_us:.0f}",
            f"{one.tracker_mb} MB a process",
            "its spool, while Redis is away",
            "",
        ),
        (
            "Valkey",
            f"{one.redirect_us:.1f} to keep + {one.store_us:.1f} to hand over",
            f"{one.waiting_bytes} MB while all wait",
            "those that wait",
            "append-only file, rewritten as it grows",
        ),
        ("worker", f"{one.worker_us:.0f}", f"{one.worker_mb} MB a process", "", ""),
        (
            "PostgreSQL",
            f"{one.postgres_us:.0f}",
            "its own setting",
            f"{one.row_bytes} MB rows, {one.rollup_bytes} MB rollups, {one.visitor_bytes} MB for three days",
            f"{one.log_bytes:,} MB",
        ),
    ]


def _needs(one: Inputs) -> list[tuple[str, ...]]:
    trackers = {rate: tracker_pods(one, rate) for rate in RATES}
    track = {rate: track_pods(one, rate) for rate in RATES}

    def row(what: str, values: Sequence[str]) -> tuple[str, ...]:
        return (what, *values)

    day = 86_400
    return [
        row("tracker pods", [str(trackers[rate]) for rate in RATES]),
        row("their vCPU in use", [f"{rate * one.tracker_us / 1e6:.2f}" for rate in RATES]),
        row("their memory, MB", [f"{trackers[rate] * one.tracker_mb:,}" for rate in RATES]),
        row("worker pods, `default` + `track`", [f"{one.base_pods} + {track[rate]}" for rate in RATES]),
        row("their vCPU in use", [f"{rate * one.worker_us / 1e6:.2f}" for rate in RATES]),
        row("their memory, MB", [f"{(one.base_pods + track[rate]) * one.worker_mb:,}" for rate in RATES]),
        row("Valkey: of its one core", [f"{rate * redis_us(one) / 1e6:.0%}" for rate in RATES]),
        row("of that, for redirects alone", [f"{rate * one.redirect_us / 1e6:.0%}" for rate in RATES]),
        row("workers' commands/s", [f"{rate * one.commands:,.0f}" for rate in RATES]),
        row(
            f"Redis' memory: {one.links:,} links and {one.outage_min} minutes of clicks, GB",
            [f"{redis_gb(one, rate):.1f}" for rate in RATES],
        ),
        row("PostgreSQL, vCPU to have", [f"{rate * one.postgres_us / 1e6 / one.load:.2f}" for rate in RATES]),
        row("write-ahead log, MB/s", [f"{rate * one.log_bytes / 1e6:.1f}" for rate in RATES]),
        row("the same, GB a day", [f"{rate * one.log_bytes * day / 1e9:,.0f}" for rate in RATES]),
        row("rows of clicks, GB a day", [f"{rate * one.row_bytes * day / 1e9:,.0f}" for rate in RATES]),
        row("rollups, GB a day at most", [f"{rate * one.rollup_bytes * day / 1e9:,.0f}" for rate in RATES]),
        row(
            "visitors of three days, GB",
            [f"{rate * one.visitor_bytes * 3 * day / 1e9:,.0f}" for rate in RATES],
        ),
    ]


def tracker_pods(one: Inputs, rate: int) -> int:
    """Pods at which the HPA comes to rest."""
    return max(
        one.tracker_pods, math.ceil(rate * one.tracker_us / 1e6 / one.tracker_request / one.tracker_target)
    )


def track_pods(one: Inputs, rate: int) -> int:
    """Pods of the pool `track` beside those of `default`, were Redis no limit."""
    return max(0, math.ceil((rate - one.base_pods * one.base_rate) / one.worker_rate))


def redis_us(one: Inputs) -> float:
    """Of Valkey's core, for a click from the redirect to the store."""
    return one.redirect_us + one.store_us


def redis_gb(one: Inputs, rate: int) -> float:
    """Memory for all links and for the clicks of an outage of PostgreSQL."""
    return (one.links * one.link_bytes + rate * one.outage_min * 60 * one.waiting_bytes) / 1e9


def _ceilings(one: Inputs) -> list[tuple[str, ...]]:
    at_most = one.load * 1e6
    return [
        ("Valkey's core, redirects and workers together, for hours", f"{at_most / redis_us(one):,.0f}"),
        ("Valkey's core, workers alone, as after a peak", f"{at_most / one.store_us:,.0f}"),
        ("Valkey's core, redirects alone, as while PostgreSQL is away", f"{at_most / one.redirect_us:,.0f}"),
        ("a vCPU of PostgreSQL", f"{at_most / one.postgres_us:,.0f}"),
        ("a worker process, its core alone", f"{at_most / one.worker_us:,.0f}"),
        ("a tracker process, its core alone", f"{at_most / one.tracker_us:,.0f}"),
        ("a disk that takes 125 MB/s of write-ahead log", f"{125e6 / one.log_bytes:,.0f}"),
    ]


def _settings(plan: Plan) -> list[tuple[str, ...]]:
    scaled, rules = plan.workers.scaled, plan.trackers.rules
    return [
        ("track: `pollingInterval`", f"{scaled.polling_s} s"),
        ("track: `activationLagCount`", f"{scaled.activation:,}"),
        ("track: `streamLength`", f"{scaled.target:,}"),
        ("track: `minReplicaCount`, `maxReplicaCount`", f"{scaled.rules.least}, {scaled.rules.most}"),
        ("track: `cooldownPeriod`", f"{scaled.cooldown_s} s"),
        ("track: scale up", _climb(scaled.rules)),
        ("tracker: scale up", _climb(rules)),
        ("track and tracker: scale down", f"to the most that was wanted within {rules.down_window_s} s"),
        ("tracker: request, utilisation", f"{INPUTS.tracker_request} vCPU, {INPUTS.tracker_target:.0%}"),
        ("tracker: `minReplicas`, `maxReplicas`", f"{rules.least}, {rules.most}"),
    ]


def _climb(rules: Rules) -> str:
    return f"{rules.up_pods} pods or {rules.up_percent} % in {rules.up_period_s} s, whichever is more"


def _scenario(one: Scenario, outcome: Outcome) -> tuple[str, ...]:
    trackers = [pods for _, _, pods, _ in outcome.seconds]
    track = [pods for _, _, _, pods in outcome.seconds]
    return (
        one.name,
        f"{outcome.arrived / 1e6:,.1f} M",
        f"{outcome.deepest / 1e6:,.2f} M",
        f"{outcome.deepest * INPUTS.waiting_bytes / 1e6:,.0f} MB",
        f"{outcome.longest_wait_s} s",
        f"{min(trackers)} to {max(trackers)}",
        f"{min(track)} to {max(track)}",
        str(len(outcome.decisions)),
    )


def _decisions(outcome: Outcome) -> list[tuple[str, ...]]:
    return [
        (
            str(one.second),
            one.who,
            f"{one.before} to {one.after}",
            f"{one.saw:,} clicks" if one.who == "track" else f"{one.saw} % of its target",
        )
        for one in outcome.decisions
    ]
