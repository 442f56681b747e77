"""The books of a run: every redirect that a tracker answered lies in the stream, once."""

import re
import urllib.request
from typing import Any

import redis

from core.contracts import click_event, keys
from tests.bench.contestants import Contestant
from tests.bench.nginx_redirect import CLICKS
from tests.bench.stand import wait_until

_PAGE = 10_000


class Books:
    """The clicks that were found in the stream, by host; each tracker of the benchmark has a host of its own."""

    def __init__(self, client: "redis.Redis[Any]") -> None:
        self._client = client
        self._after = b"-"
        self._kept: dict[str, set[bytes]] = {}
        self._again: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def saw(self, host: str, redirects: int) -> None:
        """A client has got so many redirects of a host."""
        self._seen[host] = self._seen.get(host, 0) + redirects

    def read(self) -> None:
        """Note what came into the stream since, and take it out, so that every round finds the same Valkey; what the
        hand-made redirector wrote goes unread."""
        self._client.delete(CLICKS)
        stream = keys.stream("track")
        while page := self._client.xrange(stream, min=self._after, count=_PAGE):
            for _, fields in page:
                click = click_event.decode(fields[keys.EVENT_FIELD])
                kept = self._kept.setdefault(click.host, set())
                if click.id in kept:
                    self._again[click.host] = self._again.get(click.host, 0) + 1
                kept.add(click.id)
            last = page[-1][0]
            self._after = b"(" + last
            time, _, number = last.partition(b"-")
            self._client.xtrim(stream, minid=f"{time.decode()}-{int(number) + 1}", approximate=False)

    def balance(self, tracker: Contestant) -> str:
        """What became of a tracker's answers. Raises ValueError when its 302s and the clicks in the stream differ, or
        clients have seen more than it says."""
        answered, seen = redirects_answered(tracker), self._seen.get(tracker.host, 0)

        def kept() -> int:
            self.read()
            return len(self._kept.get(tracker.host, ()))

        # A click that waited in the spool, because Valkey was slow for a moment, comes a little later.
        wait_until(lambda: kept() >= answered, limit=60, what=f"every click of {tracker.name} in the stream")
        if not seen <= kept() == answered:
            raise ValueError(f"{tracker.name}: {answered} answered, {seen} of them seen, {kept()} ids kept")
        again = self._again.get(tracker.host, 0)
        return (
            f"{tracker.name}: {answered:,} redirects answered, {kept():,} distinct clicks in the stream, "
            f"{again:,} sent twice."
        )


def redirects_answered(tracker: Contestant) -> int:
    """What the tracker says itself."""
    return counted(tracker, 'rastro_answered_total{outcome="redirect"}')


def snapshots_asked_for(tracker: Contestant) -> int:
    """How many snapshots its cache did not hold."""
    return counted(tracker, 'rastro_snapshot_reads_total{source="redis"}')


def counted(tracker: Contestant, name: str) -> int:
    """A counter of the tracker, by its name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{tracker.metrics_port}/metrics", timeout=30) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.M)
    return int(float(found[1])) if found else 0
