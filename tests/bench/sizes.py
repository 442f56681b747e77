"""What a click takes besides time: bytes in Redis, rows and write-ahead log in PostgreSQL, commands and Valkey's work.

docs/capacity.md reckons with these figures. Bytes do not depend on how busy the machine is; processor time does, and
on a crowded one only its ratios say something.
"""

import argparse
from typing import Any

import psycopg
import redis

from core.contracts import keys
from tests.bench import links
from tests.bench.clicks import BEGIN, END, STREAM, Clicks
from tests.bench.stand import Stand, cpu_seconds, print_table

_GROUPS = {
    "rows of clicks, with their index": "clicks%",
    "rollups": "rollup%",
    "visitors of the day": "link_visitors",
}
"""What is shown -> the tables that it is made of."""


def measure(stand: Stand, options: argparse.Namespace) -> None:
    """Send some clicks, look at Redis, have them stored, look at PostgreSQL. Prints a table."""
    number = options.clicks or (20_000 if options.quick else 200_000)
    clicks = Clicks(stand, links=options.links)
    empty = _used(clicks)
    clicks.send(number)
    rows = [("bytes of Redis' memory, while it waits", f"{(_used(clicks) - empty) / number:.0f}")]
    with psycopg.connect(stand.environment["DATABASE_URL"], autocommit=True) as connection:
        log, commands = _log_bytes(connection), _commands(clicks)
        used: list[tuple[float, ...]] = []
        with clicks.workers(1) as (worker,):

            def look() -> None:
                used.append(tuple(cpu_seconds(pid) for pid in (stand.valkey, worker, stand.postgres)))

            clicks.rate(number, at_begin=look, at_end=look)
            clicks.wait_until_stored()
        commands = _commands(clicks) - commands
        timed = number * (BEGIN - END)
        valkey, ours, postgres = ((end - begin) / timed * 1e6 for begin, end in zip(*used, strict=True))
        rows += [
            ("commands of a worker to Redis", f"{commands / number:.3f}"),
            ("us of CPU, Valkey's", f"{valkey:.1f}"),
            ("us of CPU, the worker's", f"{ours:.1f}"),
            ("Valkey's by the worker's", f"{valkey / max(ours, 0.1):.2f}"),
            ("us of CPU, PostgreSQL's", f"{postgres:.1f}"),
            ("bytes of write-ahead log", f"{(_log_bytes(connection) - log) / number:,.0f}"),
        ]
        rows += [
            (f"bytes of disk: {what}", f"{_table_bytes(connection, like) / number:.0f}")
            for what, like in _GROUPS.items()
        ]
    clicks.close()
    print_table(f"Of each of {number:,} clicks on {options.links:,} links", ("what", "a click"), rows)
    print_table(
        "Of each link", ("what", "a link"), [("bytes of Redis' memory", f"{_link_bytes(stand):,.0f}")]
    )


def _used(clicks: Clicks) -> int:
    """Memory of the stream; what Valkey takes for itself is left out."""
    return int(clicks.client.memory_usage(STREAM, samples=0) or 0)


def _commands(clicks: Clicks) -> int:
    stats: dict[str, Any] = clicks.client.info("stats")
    return int(stats["total_commands_processed"])


def _log_bytes(connection: "psycopg.Connection[Any]") -> int:
    row = connection.execute("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
    return int(row[0]) if row else 0


def _table_bytes(connection: "psycopg.Connection[Any]", like: str) -> int:
    row = connection.execute(
        "select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class "
        "where relkind = 'r' and relnamespace = 'public'::regnamespace and relname like %s",
        (like,),
    ).fetchone()
    return int(row[0]) if row else 0


def _link_bytes(stand: Stand) -> float:
    with redis.Redis.from_url(stand.settings.redis_url) as client:
        links.publish(client, many=1000)
        names = list(client.scan_iter(match=keys.LINKS, count=1000))
        return sum(int(client.memory_usage(name) or 0) for name in names) / len(names)
