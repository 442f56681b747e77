"""From the stream to committed rows: a worker process, beside a loop that commits each click by itself."""

import argparse
import itertools
import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import psycopg
import redis

from core.contracts import click_event, keys
from tests.bench.stand import Stand, cpu_seconds, memory_mb, print_table, wait_until
from tests.bench.traffic import click_payloads

_LINE = 1000
"""Clicks that are put into the stream in one round trip."""

_COLD = 0.1
"""Share of the clicks that is not timed: imports, empty caches, new rows of the rollups."""


def measure(stand: Stand, options: argparse.Namespace) -> None:
    """Fill the stream, start the workers, and time them from a tenth of the way to the last commit."""
    number = options.clicks or (6_000 if options.quick else 200_000)
    naive = _one_row_a_commit(stand, number=300 if options.quick else 3000, links=options.links)
    client = redis.Redis.from_url(stand.settings.redis_url)
    stream = keys.stream("track")
    _fill(client, stream, number, options.links)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(stand.program(sys.executable, "-m", "tasks", "--pool", "track"))
            for _ in range(options.workers)
        ]
        wait_until(lambda: client.xlen(stream) <= number * (1 - _COLD), limit=120, what="the first tenth")
        pids = [worker.pid for worker in workers]
        before, used = [memory_mb(pid) for pid in pids], _cpu(pids, stand)
        left, start = client.xlen(stream), time.monotonic()
        wait_until(lambda: client.xlen(stream) == 0, limit=3600, what="an empty stream")
        seconds = time.monotonic() - start
        cpu = [(now - then) / left * 1e6 for now, then in zip(_cpu(pids, stand), used, strict=True)]
        after = [memory_mb(pid) for pid in pids]
    client.close()
    stored = _stored(stand)
    if stored != number:
        raise SystemExit(f"{number} clicks were sent and {stored} are stored.")
    rate = left / seconds
    who = "1 worker process" if options.workers == 1 else f"{options.workers} worker processes"
    ours = (f"{rate:,.0f}", f"{rate / naive:.1f}", f"{cpu[0]:.0f} + {cpu[1]:.0f}")
    memory = f"{sum(before):.0f} -> {sum(after):.0f} MB"
    print_table(
        f"Ingest: {number:,} clicks on {options.links:,} links, all stored once",
        ("what", "clicks/s", "ratio", "us of CPU a click, worker + PostgreSQL", "memory, at a tenth -> end"),
        (
            (f"Rastro, from stream to commit, {who}", *ours, memory),
            ("one row, one commit", f"{naive:,.0f}", "1.0", "", ""),
        ),
    )


def _cpu(workers: Sequence[int], stand: Stand) -> tuple[float, float]:
    return sum(cpu_seconds(pid) for pid in workers), cpu_seconds(stand.postgres)


def _fill(client: "redis.Redis", stream: str, number: int, links: int) -> None:
    payloads = click_payloads(
        random.Random(1), number=number, links=links, start_ms=_now_ms(), per_second=10_000
    )
    while lot := list(itertools.islice(payloads, _LINE)):
        pipeline = client.pipeline(transaction=False)
        for payload in lot:
            pipeline.xadd(stream, {keys.CLICK_FIELD: payload})
        pipeline.execute()


def _one_row_a_commit(stand: Stand, *, number: int, links: int) -> float:
    """Clicks per second of the plain way: each event a row of text columns, in a transaction of its own."""
    payloads = click_payloads(
        random.Random(2), number=number, links=links, start_ms=_now_ms(), per_second=10_000
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


def _stored(stand: Stand) -> int:
    with psycopg.connect(stand.environment["DATABASE_URL"]) as connection:
        row = connection.execute("select count(*) from clicks").fetchone()
    return int(row[0]) if row else 0


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
