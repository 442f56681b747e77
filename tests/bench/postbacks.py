"""Postbacks: how many a tracker accepts on one core, and that each answered one lies in the stream once; how many a
worker makes conversions of.

Every part is a function that is named in PARTS: it gets a stand and the options, prints a table, and returns what was
aimed at.
"""

import argparse
import hashlib
import os
import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import redis

from core.contracts import keys, postback_event, source_snapshot
from core.contracts.source_snapshot import SourceSnapshot, SourcesSnapshot, Token
from tests.bench import links, postbacks_processed, visitors
from tests.bench.books import counted
from tests.bench.contestants import Contestant, start_tracker
from tests.bench.load import Load, client_name, run_round
from tests.bench.postbacks_processed import PROCESS
from tests.bench.run import Entry, Finding, Size
from tests.bench.stand import Stand, cpu_seconds, print_table, wait_until

ACCEPT = "accept"

_AIM = 5_000
_HOST = "postbacks.bench.example"
_TOKEN = "pb_" + "k" * 26
_SOURCES = 50
_NETWORKS = ("Keitaro/10", "python-requests/2.32.3", "Go-http-client/2.0", "okhttp/4.12.0", "axios/1.7.9", "")
_PAGE = 10_000
_REDIRECT = "beside them: a redirect of a plain link"


def measure(stand: Stand, options: argparse.Namespace) -> None:
    """Run every part, or the one that is named, and print what was aimed at and what was measured."""
    findings: list[Finding] = []
    for name, part in PARTS.items():
        if options.part in (None, name):
            findings += part(stand, options)
    rows = [finding.row() for finding in findings]
    print_table("Postbacks", ("what", "measured", "aim", "reached"), rows)


def accept(stand: Stand, options: argparse.Namespace) -> list[Finding]:
    """Ask a tracker on one core, round by round: postbacks and pixels in its fast lane, forms by way of Quart, and
    redirects of a plain link beside them. Raises ValueError when the books do not balance."""
    size = Size.of(options)
    with redis.Redis.from_url(stand.settings.redis_url) as client, ExitStack() as stack:
        client.config_set("auto-aof-rewrite-percentage", 0)  # it would fall on one round
        links.publish(client, many=0)
        client.set(keys.SOURCES, source_snapshot.encode(_sources(), revision=1))
        tracker = start_tracker(stand, stack, "a tracker", host=_HOST)
        wait_until(lambda: _is_ready(tracker), limit=30, what="an answer of the tracker")
        books = _Books(client, tracker)
        entries = [
            Entry(name, tracker, Load.written(stand.folder / f"{number}.requests", made))
            for number, (name, made) in enumerate(_loads(random.Random(1), size.visitors).items())
        ]
        if size.warm:
            for entry in entries:
                _round(entry, size, books, seconds=size.warm)
                entry.rounds.clear()
        for _ in range(size.rounds):
            for entry in entries:
                web, valkey = cpu_seconds(tracker.pid), cpu_seconds(stand.valkey)
                _round(entry, size, books, seconds=size.seconds)
                entry.web += cpu_seconds(tracker.pid) - web
                entry.valkey += cpu_seconds(stand.valkey) - valkey
        print_table(
            f"Postbacks accepted on one core, {size.connections} connections, {size.rounds} rounds of "
            f"{size.seconds:g} s, {client_name()}, load {os.getloadavg()[0]:.0f}",
            ("what", "a second", "worst round", "p50 ms", "p99 ms", "µs of CPU", "µs Valkey", "failed"),
            [_row(entry) for entry in entries],
        )
        print(f"\n{books.balance()}")
        postbacks = entries[0].middle.per_second
        return [
            Finding(
                "GET postbacks accepted on one tracker core",
                f"{postbacks:,.0f}/s",
                f"{_AIM:,}/s",
                postbacks >= _AIM,
            )
        ]


PARTS: dict[str, Callable[[Stand, argparse.Namespace], list[Finding]]] = {
    ACCEPT: accept,
    PROCESS: postbacks_processed.run,
}


class _Books:
    """Postbacks that the tracker says it kept, that clients saw answered, and that lie in the stream."""

    def __init__(self, client: "redis.Redis[Any]", tracker: Contestant) -> None:
        self._client = client
        self._tracker = tracker
        self._ids: set[bytes] = set()
        self._entries = 0
        self.seen = 0

    def read(self) -> None:
        """Note what came into the stream since, and take it out, so that every round finds the same Valkey."""
        stream = keys.stream("conversion")
        while page := self._client.xrange(stream, count=_PAGE):
            self._entries += len(page)
            self._ids.update(postback_event.decode(fields[keys.EVENT_FIELD]).id for _, fields in page)
            self._client.xdel(stream, *(entry for entry, _ in page))
        self._client.delete(keys.stream("track"))

    def balance(self) -> str:
        """What became of all answers. Raises ValueError when that is not what the tracker and clients say."""
        names = [f'rastro_postbacks_total{{kept="{where}"}}' for where in ("redis", "spool", "lost")]
        kept, spooled, lost = (counted(self._tracker, name) for name in names)

        def found() -> int:
            self.read()
            return len(self._ids)

        wait_until(lambda: found() >= kept + spooled, limit=60, what="every postback in the stream")
        received = sum(int(count) for count in self._client.hvals(keys.RECEIVED))
        if lost or not self.seen <= found() == kept + spooled or received != self._entries:
            raise ValueError(
                f"{kept} + {spooled} kept, {lost} lost, {self.seen} seen, {found()} in the stream"
            )
        return (
            f"{kept + spooled:,} postbacks kept, as many distinct ones in the stream, "
            f"{self._entries - found():,} sent twice."
        )


def _round(entry: Entry, size: Size, books: _Books, *, seconds: float) -> None:
    result = run_round(entry.who.port, entry.load, connections=size.connections, seconds=seconds)
    entry.rounds.append(result)
    if entry.name != _REDIRECT:
        books.seen += result.answered - result.failed
    books.read()


def _loads(rng: random.Random, number: int) -> dict[str, list[bytes]]:
    """Ready-made requests by what they are: as networks, shops' pages and visitors send them."""
    return {
        "GET /postback, fast lane": [_get(rng, _query(rng)) for _ in range(number)],
        "GET /pixel, fast lane": [_pixel(rng) for _ in range(number)],
        "POST /postback with a form, by way of Quart": [_post(rng) for _ in range(number)],
        _REDIRECT: visitors.make_requests(rng, host=_HOST, paths=[links.PLAIN] * number),
    }


def _query(rng: random.Random) -> str:
    click = f"{rng.getrandbits(48):012x}7{rng.getrandbits(76):019x}"
    words = (click[:8], click[8:12], click[12:16], click[16:20], click[20:])
    return (
        f"clickid={'-'.join(words)}&payout={rng.uniform(1, 400):.2f}&currency=BRL&status=sale"
        f"&tid=T{rng.randrange(10**9)}&offer={rng.randrange(5000)}&sub1=bf&sub2=%C3%A1rea"
    )


def _get(rng: random.Random, query: str) -> bytes:
    return _request(rng, f"GET /postback/{_TOKEN}?{query}")


def _post(rng: random.Random) -> bytes:
    body = _query(rng)
    more = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    return _request(rng, f"POST /postback/{_TOKEN}", more) + body.encode("ascii")


def _request(rng: random.Random, line: str, more: str = "") -> bytes:
    """What a network's server sends: few headers, from few addresses."""
    agent = rng.choice(_NETWORKS)
    named = f"User-Agent: {agent}\r\n" if agent else ""
    text = (
        f"{line} HTTP/1.1\r\nHost: {_HOST}\r\nX-Forwarded-For: 198.51.100.{rng.randrange(1, 200)}\r\n"
        f"{named}Accept: */*\r\n{more}\r\n"
    )
    return text.encode("ascii")


def _pixel(rng: random.Random) -> bytes:
    (request,) = visitors.make_requests(rng, host=_HOST, paths=[f"/pixel/{_TOKEN}.gif?{_query(rng)}"])
    return request


def _sources() -> SourcesSnapshot:
    """As many as a busy house has; one of them sends."""
    tokens = [_TOKEN, *(f"pb_other{number}" for number in range(1, _SOURCES))]
    hashes = [hashlib.sha256(token.encode("ascii")).digest() for token in tokens]
    return SourcesSnapshot(
        tuple(SourceSnapshot(place + 1, (Token(digest),)) for place, digest in enumerate(hashes))
    )


def _is_ready(tracker: Contestant) -> bool:
    answer = tracker.get(f"/pixel/{_TOKEN}.gif") and tracker.get(f"/postback/{_TOKEN}?ready")
    return answer is not None and answer.status == 200 and tracker.redirects(links.PLAIN)


def _row(entry: Entry) -> tuple[str, ...]:
    middle, answered = entry.middle, max(1, entry.answered)
    return (
        entry.name,
        f"{middle.per_second:,.0f}",
        f"{min(one.per_second for one in entry.rounds):,.0f}",
        f"{middle.p50:.2f}",
        f"{middle.p99:.2f}",
        f"{entry.web / answered * 1e6:.1f}",
        f"{entry.valkey / answered * 1e6:.1f}",
        str(sum(one.failed for one in entry.rounds)),
    )
