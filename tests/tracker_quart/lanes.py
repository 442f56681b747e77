"""Two trackers over the same data, one with the fast lane and one without, and what each answers to the same bytes."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import redis

from core.contracts import keys
from core.contracts.click_event import ClickEvent
from tests.tracker_quart.conftest import Publisher
from tests.tracker_quart.rig import LIMIT_S, Trackers, Valkey

LAST = b"GET /sale?last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Sent behind what is tested, so that a connection that is still good ends."""

_SILENCE_S = 1.0
_DATE = re.compile(rb"(?m)^date: [A-Z][a-z]{2}, [^\r]*GMT\r$")


@dataclass(frozen=True)
class Outcome:
    """All bytes of the answers, but for the date; whether the connection ended; the clicks, but for their ids."""

    answers: bytes
    ended: bool
    clicks: list[ClickEvent]


class Lane:
    """A tracker with a database of its own, in which the same snapshots lie."""

    def __init__(self, folder: Path, valkey: Valkey, *, fast: bool, database: int) -> None:
        folder.mkdir()
        url = f"{valkey.url}{'&' if '?' in valkey.url else '?'}db={database}"
        client: redis.Redis[Any] = redis.Redis.from_url(url)
        self.publisher = Publisher(client)
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
        self.publisher.redis.delete(keys.stream("track"))
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
        found = {click.id: click for click in self.publisher.clicks()}
        return sorted((msgspec.structs.replace(click, id=b"") for click in found.values()), key=str)

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
    while (clicks := [lane.clicks() for lane in lanes])[0] != clicks[1] and time.monotonic() < deadline:
        time.sleep(0.05)
    fast, slow = (Outcome(*answer, kept) for answer, kept in zip(sent, clicks, strict=True))
    return fast, slow


def _undated(answers: bytes) -> bytes:
    return _DATE.sub(b"date: then\r", answers)
