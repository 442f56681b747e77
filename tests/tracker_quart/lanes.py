"""Two trackers over the same data, one with the fast lane and one without, and what each answers to the same bytes."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import redis

from core.contracts import keys
from core.contracts.click_event import ClickEvent
from core.contracts.postback_event import PostbackEvent
from core.contracts.source_snapshot import Signature
from tests.tracker_quart.conftest import Publisher, source
from tests.tracker_quart.rig import LIMIT_S, Trackers, Valkey

E = TypeVar("E", ClickEvent, PostbackEvent)

FROM_ONE, SIGNED = "pb_" + "n" * 26, "pb_" + "s" * 26
SOURCES = (
    source(reply="success=true;", wants_headers=("cookie", "x-text", "accept-language")),
    source(FROM_ONE, source_id=6, networks=("203.0.113.7/32",)),
    source(SIGNED, source_id=7, signature=Signature((b"key",), "sig", time_header="X-Tab")),
)
"""One that takes all, one from a single address, one that signs. The tokens of the last two are these."""

LAST = b"GET /sale?last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Sent behind what is tested, so that a connection that is still good ends."""

_SILENCE_S = 1.0
_DATE = re.compile(rb"(?m)^date: [A-Z][a-z]{2}, [^\r]*GMT\r$")


@dataclass(frozen=True)
class Outcome:
    """All bytes of the answers, but for the date; whether the connection ended; clicks and postbacks, but for their
    ids."""

    answers: bytes
    ended: bool
    clicks: list[ClickEvent]
    postbacks: list[PostbackEvent]


class Lane:
    """A tracker with a database of its own, in which the same snapshots lie."""

    def __init__(self, folder: Path, valkey: Valkey, *, fast: bool, database: int) -> None:
        folder.mkdir()
        url = f"{valkey.url}{'&' if '?' in valkey.url else '?'}db={database}"
        client: redis.Redis[Any] = redis.Redis.from_url(url)
        self.publisher = Publisher(client)
        self.publisher.sources(*SOURCES)
        self.publisher.world()
        self.trackers = Trackers(
            folder,
            url,
            FAST_LANE="1" if fast else "0",
            DEFAULT_HOSTS="localhost",
            TRUSTED_PROXIES="127.0.0.1",
            PYTHONHASHSEED="0",
        )

    def send(self, *parts: bytes) -> tuple[bytes, bool]:
        """Everything that comes back, dates taken out, and whether the tracker closed."""
        self.publisher.redis.delete(keys.stream("track"), keys.stream("conversion"))
        answers = b""
        with socket.create_connection(("127.0.0.1", self.trackers.port), timeout=LIMIT_S) as client:
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    client.sendall(part)
            client.settimeout(_SILENCE_S)
            try:
                while more := client.recv(1 << 16):
                    answers += more
            except TimeoutError:
                return _undated(answers), False
            except ConnectionError:
                pass  # closed with bytes of ours unread
        return _undated(answers), True

    def clicks(self) -> list[ClickEvent]:
        """What the stream holds, each once, without what differs between two visits."""
        return _without_ids(self.publisher.clicks())

    def postbacks(self) -> list[PostbackEvent]:
        """As `clicks`, for postbacks."""
        return _without_ids(self.publisher.postbacks())

    def close(self) -> None:
        self.trackers.close()
        self.publisher.redis.close()


@contextlib.contextmanager
def two_lanes(folder: Path) -> Iterator[tuple[Lane, Lane]]:
    """The fast lane and the slow one."""
    (folder / "valkey").mkdir(parents=True)
    valkey = Valkey(folder / "valkey")
    try:
        fast = Lane(folder / "fast", valkey, fast=True, database=1)
        try:
            slow = Lane(folder / "slow", valkey, fast=False, database=2)
            try:
                yield fast, slow
            finally:
                slow.close()
        finally:
            fast.close()
    finally:
        valkey.close()


def outcomes(lanes: tuple[Lane, Lane], *parts: bytes) -> tuple[Outcome, Outcome]:
    """What both lanes make of the same bytes."""
    sent = [lane.send(*parts) for lane in lanes]
    deadline = time.monotonic() + 10  # a click may come by way of the disk on a busy machine
    while (kept := [(lane.clicks(), lane.postbacks()) for lane in lanes])[0] != kept[1]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    fast, slow = (Outcome(*answer, *events) for answer, events in zip(sent, kept, strict=True))
    return fast, slow


def _without_ids(events: Sequence[E]) -> list[E]:
    found = {event.id: event for event in events}
    return sorted((msgspec.structs.replace(event, id=b"") for event in found.values()), key=str)


def _undated(answers: bytes) -> bytes:
    return _DATE.sub(b"date: then\r", answers)
