"""Postbacks from the stream to conversions: how many a worker process writes down and judges a second."""

import argparse
import itertools
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import Engine, text

from core.contracts import keys
from core.contracts.postback_event import PostbackEvent, encode
from core.db.clicks import ClickStore, PreparedClick, store_batch
from core.db.engine import make_engine
from tests.bench.contestants import CORE
from tests.bench.run import Finding
from tests.bench.stand import Stand, cpu_seconds, print_table, wait_until
from tests.core.db.postbacks import make_source
from tests.core.db.samples import click_id

PROCESS = "process"

_AIM = 2000
_STREAM = keys.stream("conversion")
_LINE = 1000
_BEGIN, _END = 0.8, 0.1
_CLICKS_A_BATCH = 5000


def run(stand: Stand, options: argparse.Namespace) -> list[Finding]:
    """Distinct conversions on stored clicks, then a mix as networks send it, each through one worker process. Raises
    SystemExit when a postback is not in the inbox once with a verdict."""
    number = 3000 if options.quick else 60_000
    engine = make_engine(stand.settings.database_url)
    findings, rows = [], []
    with redis.Redis.from_url(stand.settings.redis_url) as client:
        source = make_source(engine)
        dice = random.Random(1)
        sent = 0
        for name, make in KINDS.items():
            lot = list(make(_store_clicks(engine, dice, number), source, dice))
            sent += len(lot)
            rate, worker, postgres = _measure(stand, client, lot)
            verdicts = _verdicts(engine)
            if sum(verdicts.values()) != sent or "new" in verdicts:
                raise SystemExit(f"{sent} postbacks were sent, and became {dict(verdicts)}.")
            rows.append((name, f"{rate:,.0f}", f"{worker:.0f} + {postgres:.0f}"))
            findings.append(Finding(f"processed, {name}", f"{rate:,.0f}/s", f"{_AIM:,}/s", rate >= _AIM))
    engine.dispose()
    print(f"\n{sent:,} postbacks in the inbox, each once and with a verdict.")
    print_table(
        f"Postbacks processed by one worker on one core, {number:,} of each kind, load {os.getloadavg()[0]:.0f}",
        ("what", "a second", "us of CPU each, worker + PostgreSQL"),
        rows,
    )
    return findings


def _measure(stand: Stand, client: "redis.Redis", lot: list[bytes]) -> tuple[float, float, float]:
    """Postbacks a second over the middle of a filled stream, and what each cost in microseconds of processor time."""
    for start in range(0, len(lot), _LINE):
        pipeline = client.pipeline(transaction=False)
        for payload in lot[start : start + _LINE]:
            pipeline.xadd(_STREAM, {keys.EVENT_FIELD: payload})
        pipeline.execute()

    def left() -> int:
        return int(client.xlen(_STREAM))

    with stand.program(sys.executable, "-m", "tasks", "--pool", "default", core=CORE) as worker:
        wait_until(lambda: left() <= len(lot) * _BEGIN, limit=600, what="the beginning")
        first, begin = left(), time.monotonic()
        used = cpu_seconds(worker.pid), cpu_seconds(stand.postgres)
        wait_until(lambda: left() <= len(lot) * _END, limit=600, what="the end")
        done = max(first - left(), 1)
        seconds = time.monotonic() - begin
        cost = [
            (now - before) / done * 1e6
            for now, before in zip((cpu_seconds(worker.pid), cpu_seconds(stand.postgres)), used, strict=True)
        ]
        wait_until(lambda: left() == 0, limit=600, what="an empty stream")
    return done / seconds, cost[0], cost[1]


def _distinct(clicks: Sequence[uuid.UUID], source: int, dice: random.Random) -> Iterator[bytes]:
    for click in clicks:
        yield _postback(source, dice, click, tid=f"T{dice.getrandbits(60)}")


def _mixed(clicks: Sequence[uuid.UUID], source: int, dice: random.Random) -> Iterator[bytes]:
    known: list[tuple[uuid.UUID, str]] = []
    for click in clicks:
        kind = dice.random()
        if kind < 0.1:
            yield _postback(source, dice, "{clickid}", tid=f"T{dice.getrandbits(60)}")
        elif kind < 0.6 and known:
            status = "trash" if kind < 0.2 else "sale"
            yield _postback(source, dice, *dice.choice(known), status=status)
        else:
            known.append((click, f"T{dice.getrandbits(60)}"))
            yield _postback(source, dice, *known[-1])


KINDS: dict[str, Callable[[Sequence[uuid.UUID], int, random.Random], Iterator[bytes]]] = {
    "distinct conversions, each of a click of its own": _distinct,
    "a mix: 4 in 10 come again, 1 in 10 changes a status, 1 in 10 has no click": _mixed,
}


def _postback(source: int, dice: random.Random, click: object, tid: str, status: str = "sale") -> bytes:
    query = (
        f"subid={click}&tid={tid}&payout={dice.randrange(100, 40_000) / 100}&currency=USD&status={status}"
        f"&goal=sale&offer={dice.randrange(5000)}&sub1=bf&sub2=%C3%A1rea"
    )
    event = PostbackEvent(
        id=click_id(datetime.now(UTC), dice.getrandbits(62)),
        source_id=source,
        host="go.example.com",
        query=query,
        ip="198.51.100.7",
        user_agent="python-requests/2.32.3",
        token_hint="pb_ab…wxyz",
    )
    return encode(event)


def _store_clicks(engine: Engine, dice: random.Random, number: int) -> list[uuid.UUID]:
    now = datetime.now(UTC)
    store = ClickStore(engine, zone=ZoneInfo("UTC"), owner=f"bench-{dice.getrandbits(30)}", shards=1)
    clicks = [
        PreparedClick(
            id=click_id(now - timedelta(seconds=dice.randrange(86_400)), dice.getrandbits(62)),
            link_id=dice.randrange(1, 2000),
            visitor=dice.randrange(1, 2**60),
        )
        for _ in range(number)
    ]
    for batch in _batches(clicks, _CLICKS_A_BATCH):
        store_batch(store, batch, now=now)
    return [uuid.UUID(bytes=one.id) for one in clicks]


def _batches(clicks: Iterable[PreparedClick], size: int) -> Iterator[list[PreparedClick]]:
    left = iter(clicks)
    while batch := list(itertools.islice(left, size)):
        yield batch


def _verdicts(engine: Engine) -> Counter[str]:
    with engine.connect() as connection:
        rows = connection.execute(text("select verdict, count(*) from postbacks group by 1"))
        return Counter({row[0]: row[1] for row in rows})
