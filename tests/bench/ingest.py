"""From the stream to committed rows: a worker process, beside a loop that commits each click by itself."""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import psycopg

from core.contracts import click_event
from tests.bench import backlog, redelivery
from tests.bench.clicks import BEGIN, END, Clicks
from tests.bench.run import Finding
from tests.bench.stand import Stand, cpu_seconds, memory_mb, print_table
from tests.bench.traffic import click_payloads

_AIM, _LEAST = 20_000, 10_000
_FEW, _MANY = 2, 6


def measure(stand: Stand, options: argparse.Namespace) -> None:
    """Run every part, or the one that is named, and print what was aimed at and what was measured."""
    clicks = Clicks(stand, links=options.links)
    findings: list[Finding] = []
    for name, part in PARTS.items():
        if options.part in (None, name):
            findings += part(clicks, options)
    clicks.close()
    print_table(
        f"Ingest, {clicks.sent:,} clicks on {options.links:,} links, all stored once",
        ("what", "measured", "aim", "reached"),
        [finding.row() for finding in findings],
    )


def rate(clicks: Clicks, options: argparse.Namespace) -> list[Finding]:
    """Fill the stream, start the workers, and time them over its middle part."""
    number = options.clicks or (30_000 if options.quick else 200_000)
    naive = _one_row_a_commit(clicks.stand, number=300 if options.quick else 3000, links=options.links)
    clicks.send(number)
    used: list[tuple[float, float]] = []
    held: list[float] = []
    with clicks.workers(options.workers) as pids:

        def look() -> None:
            _look(used, pids, clicks.stand)
            held.append(sum(memory_mb(pid) for pid in pids))

        ours = clicks.rate(number, at_begin=look, at_end=look)
        clicks.wait_until_stored()
    cpu = _cost(used, number)
    who = "1 worker process" if options.workers == 1 else f"{options.workers} worker processes"
    print_table(
        f"Ingest: {number:,} clicks on {options.links:,} links",
        (
            "what",
            "clicks/s",
            "ratio",
            "us of CPU a click, worker + PostgreSQL",
            "memory, first quarter -> end",
        ),
        (
            (
                f"Rastro, from stream to commit, {who}",
                *(f"{ours:,.0f}", f"{ours / naive:.1f}", f"{cpu[0]:.0f} + {cpu[1]:.0f}"),
                f"{held[0]:.0f} -> {held[1]:.0f} MB",
            ),
            ("one row, one commit", f"{naive:,.0f}", "1.0", "", ""),
        ),
    )
    aim = f"at least {_LEAST:,} clicks/s, better {_AIM:,}"
    return [Finding(f"{who}, from stream to commit", f"{ours:,.0f} clicks/s", aim, ours >= _LEAST)]


def processes(clicks: Clicks, options: argparse.Namespace) -> list[Finding]:
    """Two worker processes and six, in turn, on the same number of clicks: enough for each of six to have met the
    agents, referrers and texts that it will meet again, which every process learns for itself once. Who is first
    changes from round to round: each finds more rows in the tables than the one before it."""
    number = options.clicks or (30_000 if options.quick else 600_000)
    rounds = options.rounds or (1 if options.quick else 6)
    rates: dict[int, list[float]] = {_FEW: [], _MANY: []}
    costs: dict[int, list[tuple[float, float]]] = {_FEW: [], _MANY: []}
    for turn in range(rounds):
        for workers in (_FEW, _MANY) if turn % 2 == 0 else (_MANY, _FEW):
            clicks.send(number)
            with clicks.workers(workers) as pids:
                used: list[tuple[float, float]] = []
                look = partial(_look, used, pids, clicks.stand)
                rates[workers].append(clicks.rate(number, at_begin=look, at_end=look))
                clicks.wait_until_stored()
            costs[workers].append(_cost(used, number))
    print_table(
        f"Worker processes on the same shards: {rounds} rounds of {number:,} clicks",
        ("processes", "clicks/s, each round", "us of CPU a click, workers + PostgreSQL, each round"),
        [
            (
                str(workers),
                ", ".join(f"{one:,.0f}" for one in found),
                ", ".join(f"{ours:.0f} + {postgres:.0f}" for ours, postgres in costs[workers]),
            )
            for workers, found in rates.items()
        ],
    )
    ratio = sum(rates[_MANY]) / sum(rates[_FEW])
    return [
        Finding(
            f"{_MANY} processes against {_FEW}, all rounds together",
            f"{ratio:.2f}",
            "never slower: at least 1",
            ratio >= 1,
        )
    ]


def memory(clicks: Clicks, options: argparse.Namespace) -> list[Finding]:
    """One worker process and more clicks than it could remember, sent as it stores them."""
    number = options.clicks or (20_000 if options.quick else 1_000_000)
    held: list[float] = []
    with clicks.workers(1) as (pid,):
        for _ in range(10):
            clicks.send(number // 10, most_waiting=20_000)
            clicks.wait_until_stored()
            held.append(memory_mb(pid))
    print_table(
        f"Memory of one worker process over {number:,} clicks, after each tenth",
        ("MB",),
        [(" ".join(f"{mb:.0f}" for mb in held),)],
    )
    middle, end = median(held[4:7]), median(held[7:])
    growth = end / middle - 1
    return [
        Finding(
            f"memory in the second half of {number:,} clicks",
            f"{middle:.0f} -> {end:.0f} MB ({growth:+.1%})",
            "flat: at most 5%",
            growth <= 0.05,
        )
    ]


PARTS: dict[str, Callable[[Clicks, argparse.Namespace], list[Finding]]] = {
    "rate": rate,
    "processes": processes,
    "memory": memory,
    "kill": redelivery.measure,
    "backlog": backlog.measure,
}


def _look(used: list[tuple[float, float]], workers: Sequence[int], stand: Stand) -> None:
    used.append(_cpu(workers, stand))


def _cost(used: Sequence[tuple[float, float]], number: int) -> tuple[float, float]:
    """Microseconds a click, between two looks at the beginning and the end of the timed part."""
    timed = number * (BEGIN - END)
    ours, postgres = ((now - then) / timed * 1e6 for then, now in zip(*used, strict=True))
    return ours, postgres


def _cpu(workers: Sequence[int], stand: Stand) -> tuple[float, float]:
    return sum(cpu_seconds(pid) for pid in workers), cpu_seconds(stand.postgres)


def _one_row_a_commit(stand: Stand, *, number: int, links: int) -> float:
    """Clicks per second of the plain way: each event a row of text columns, in a transaction of its own."""
    start_ms = time.time_ns() // 1_000_000
    payloads = click_payloads(
        random.Random(2), number=number, links=links, start_ms=start_ms, per_second=10_000
    )
    events = [click_event.decode(payload) for payload in payloads]
    with psycopg.connect(stand.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "create table plain_clicks (id uuid primary key, link_id bigint, at timestamptz, ip inet, "
            "user_agent text, referrer text, language text, query text)"
        )
        start = time.monotonic()
        for event in events:
            connection.execute(
                "insert into plain_clicks values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
                (
                    event.id.hex(),
                    event.link_id,
                    event.at,
                    event.ip,
                    event.user_agent,
                    event.referrer,
                    event.language,
                    event.query,
                ),
            )
        return number / (time.monotonic() - start)
