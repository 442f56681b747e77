"""What the parts of the ingest benchmark share: clicks that are sent once each, and the workers that store them."""

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import psycopg
import redis

from core.contracts import keys
from tests.bench.stand import Stand, wait_until
from tests.bench.traffic import click_payloads

STREAM = keys.stream("track")

_LINE = 1000
"""Clicks that are put into the stream in one round trip."""

_PER_SECOND = 10_000
BEGIN, END = 0.75, 0.15
"""Shares of the clicks that wait when the clock starts and stops."""


def _nothing() -> None:
    return None


class Clicks:
    """Clicks of one run. Every one has an id of its own, whichever part sends it."""

    def __init__(self, stand: Stand, *, links: int) -> None:
        self.stand = stand
        self.links = links
        self.client = redis.Redis.from_url(stand.settings.redis_url)
        self.sent = 0
        self._rng = random.Random(1)
        self._start_ms = int(datetime.now(UTC).timestamp() * 1000)

    def close(self) -> None:
        """Nothing is sent after this. Raises SystemExit unless every click that was sent is stored once."""
        self.client.close()
        stored = self._stored()
        if stored != self.sent:
            raise SystemExit(f"{self.sent} clicks were sent and {stored} are stored.")

    def send(self, number: int, *, most_waiting: int | None = None) -> None:
        """Put clicks into the stream, with no more than `most_waiting` in it at a time."""
        payloads = self.payloads(number)
        while lot := list(itertools.islice(payloads, _LINE)):
            pipeline = self.client.pipeline(transaction=False)
            for payload in lot:
                pipeline.xadd(STREAM, {keys.EVENT_FIELD: payload})
            pipeline.execute()
            while most_waiting is not None and self.waiting() > most_waiting:
                time.sleep(0.01)

    def payloads(self, number: int) -> Iterator[bytes]:
        """Further clicks, to be sent by the caller."""
        start_ms = self._start_ms + self.sent * 1000 // _PER_SECOND
        self.sent += number
        return click_payloads(
            self._rng, number=number, links=self.links, start_ms=start_ms, per_second=_PER_SECOND
        )

    def waiting(self) -> int:
        """Clicks in the stream, those that a worker holds included."""
        return int(self.client.xlen(STREAM))

    def wait_until_stored(self) -> None:
        """Until the stream is empty."""
        wait_until(lambda: self.waiting() == 0, limit=7200, what="an empty stream")

    def rate(
        self, number: int, *, at_begin: Callable[[], None] = _nothing, at_end: Callable[[], None] = _nothing
    ) -> float:
        """Clicks per second that workers, just started, take out of a stream of `number`, in its middle part: neither
        imports, empty caches and new rows count, nor the batches that are in hand at either end."""
        wait_until(lambda: self.waiting() <= number * BEGIN, limit=600, what="the first quarter")
        at_begin()
        first, start = self.waiting(), time.monotonic()
        wait_until(lambda: self.waiting() <= number * END, limit=7200, what="the end")
        at_end()
        return max(first - self.waiting(), 1) / (time.monotonic() - start)

    @contextmanager
    def workers(self, number: int, **env: str) -> Iterator[list[int]]:
        """So many worker processes of the pool `track`; their process ids."""
        with ExitStack() as stack:
            program = (sys.executable, "-m", "tasks", "--pool", "track")
            started = [stack.enter_context(self.stand.program(*program, env=env)) for _ in range(number)]
            yield [one.pid for one in started]

    def _stored(self) -> int:
        with psycopg.connect(self.stand.environment["DATABASE_URL"]) as connection:
            row = connection.execute("select count(*) from clicks").fetchone()
        return int(row[0]) if row else 0
