"""Answer times of the fast lane and of nginx + Lua at the same offered load: half of what nginx can do at most."""

import random

from tests.bench import rates
from tests.bench.compare import Field
from tests.bench.rates import Paced
from tests.bench.run import Entry, Finding, Run
from tests.bench.stand import print_table

_WHAT = "p99 at half of nginx's maximum, against nginx's"


def measure_at_load(run: Run, there: Field) -> list[Finding]:
    """Offer it to both in turn, at the same random moments. Prints a table; without nginx it is half of our own."""
    aim = "not above nginx's"
    if not rates.is_possible():
        return [Finding(_WHAT, "this system has no epoll", aim, None)]
    base = there.nginx or there.fast
    offered = base.middle.per_second / 2
    results: list[tuple[Entry, list[Paced]]] = [(there.fast, [])]
    if there.nginx is not None:
        results.append((there.nginx, []))
    for number in range(run.size.rounds):
        due = rates.arrivals(random.Random(number), per_second=offered, seconds=run.size.seconds)
        for entry, rounds in results:
            rounds.append(_round(run, entry, due))
    whose = "nginx's maximum" if there.nginx is not None else "the fast lane's maximum"
    print_table(
        f"Answer times at half of {whose}: {offered:,.0f} requests/s offered at random moments, {run.size.rounds} "
        f"round(s) of {run.size.seconds:g} s each in turn; round with the middle p99",
        (
            "what",
            "answered/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "the client itself: late by (p99) ms",
            "busy",
            "failed",
        ),
        [_row(entry, rounds) for entry, rounds in results],
    )
    if there.nginx is None:
        return [Finding(_WHAT, "nginx with Lua is not here", aim, None)]
    ours, theirs = (_middle(rounds) for _, rounds in results)
    measured = f"{ours.p99:.2f} ms against {theirs.p99:.2f} ms"
    if ours.client_was_the_limit or theirs.client_was_the_limit:
        return [Finding(_WHAT, f"{measured}, but the client was the limit", aim, None)]
    return [Finding(_WHAT, measured, aim, ours.p99 <= theirs.p99)]


def _round(run: Run, entry: Entry, due: list[float]) -> Paced:
    result = rates.run_paced(entry.who.port, entry.load, due=due, connections=run.size.connections)
    run.books.saw(entry.who.host, result.answered)
    run.books.read()
    return result


def _middle(rounds: list[Paced]) -> Paced:
    return sorted(rounds, key=lambda one: one.p99)[(len(rounds) - 1) // 2]


def _row(entry: Entry, rounds: list[Paced]) -> tuple[str, ...]:
    middle = _middle(rounds)
    return (
        entry.name,
        f"{middle.per_second:,.0f}",
        f"{middle.p50:.2f}",
        f"{middle.p99:.2f}",
        f"{middle.p999:.2f}",
        f"{middle.late:.2f}",
        f"{middle.busy:.0%}",
        str(sum(one.failed for one in rounds)),
    )
