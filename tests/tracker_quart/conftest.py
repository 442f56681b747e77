"""A tracker in this process, over the test Valkey, and a publisher that writes snapshots as the manager does."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
import redis
from argon2 import PasswordHasher
from quart import Quart
from quart.typing import TestClientProtocol as Client

from core.config import Settings
from core.contracts import (
    click_event,
    domain_snapshot,
    keys,
    link_snapshot,
    postback_event,
    source_snapshot,
)
from core.contracts.click_event import ClickEvent
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.contracts.postback_event import PostbackEvent
from core.contracts.snapshot import put_script
from core.contracts.source_snapshot import SourceSnapshot, SourcesSnapshot, Token
from core.domain.urls import slug_key
from tracker_quart.app import create_app

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("abacaxi")
"""Of a link's password; cheap, so that tests are quick."""

URL = "https://shop.example/sale?utm_source=mail&x=%20y#top"


TOKEN = "pb_abcdefghijklmnopqrstuvwxyz"


def source(token: str = TOKEN, *, source_id: int = 5, until_ms: int = 0, **more: Any) -> SourceSnapshot:
    """A source with one token."""
    digest = hashlib.sha256(token.encode()).digest()
    return SourceSnapshot(source_id, (Token(digest, until_ms),), **more)


class Publisher:
    """Writes what the tracker reads. Domain 1 is the default one, domain 2 (`case.example`) tells case apart."""

    def __init__(self, client: "redis.Redis[Any]") -> None:
        self.redis = client
        self._put = client.register_script(put_script())
        self._revisions = count(1)

    def world(self) -> None:
        """Two domains, a link in each state, and the ready marker."""
        default = DomainSnapshot(domain_id=1, host="go.example", brand="Casa Aroeira")
        for host in ("*", "go.example"):
            self.domain(host, default)
        self.domain("case.example", DomainSnapshot(domain_id=2, host="case.example", case_sensitive=True))
        self.link("sale", LinkSnapshot(link_id=7, url=URL))
        self.link("paused", LinkSnapshot(link_id=8, url=URL, state=link_snapshot.PAUSED))
        self.link("gone", LinkSnapshot(link_id=9, url=URL, state=link_snapshot.GONE))
        self.ready()

    def ready(self) -> None:
        self.redis.set(keys.SNAPSHOTS_READY, "1")

    def domain(self, host: str, snapshot: DomainSnapshot) -> None:
        self.write(keys.domain(host), domain_snapshot.encode(snapshot, revision=next(self._revisions)))

    def link(self, slug: str, snapshot: LinkSnapshot, *, domain_id: int = 1) -> None:
        key = slug_key(slug, case_sensitive=domain_id == 2)
        self.write(keys.link(domain_id, key), link_snapshot.encode(snapshot, revision=next(self._revisions)))

    def write(self, key: str, framed: bytes) -> None:
        self._put(keys=[key], args=[framed, keys.CHANGED])

    def sources(self, *sources: SourceSnapshot) -> None:
        """From now on these may send, and no others."""
        snapshot = SourcesSnapshot(sources)
        self.write(keys.SOURCES, source_snapshot.encode(snapshot, revision=next(self._revisions)))

    def postbacks(self) -> list[PostbackEvent]:
        """Every postback in the stream, in order."""
        return [
            postback_event.decode(fields[keys.EVENT_FIELD])
            for _, fields in self.redis.xrange(keys.stream("conversion"))
        ]

    async def posted(self, count: int) -> list[PostbackEvent]:
        """As `kept`, for postbacks."""
        deadline = time.monotonic() + 30
        while True:
            found = {postback.id: postback for postback in self.postbacks()}
            if len(found) >= count:
                return list(found.values())
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.01)

    def received(self) -> int:
        """Postbacks that the commit script has counted."""
        return sum(int(value) for value in self.redis.hvals(keys.RECEIVED))

    def revision(self) -> int:
        return next(self._revisions)

    def clicks(self) -> list[ClickEvent]:
        """Every click in the stream, in order."""
        return [
            click_event.decode(fields[keys.EVENT_FIELD])
            for _, fields in self.redis.xrange(keys.stream("track"))
        ]

    async def kept(self, count: int) -> list[ClickEvent]:
        """The clicks, each once, as soon as there are `count`: on a busy machine they may come by way of the disk."""
        deadline = time.monotonic() + 30
        while True:
            found = {click.id: click for click in self.clicks()}
            if len(found) >= count:
                return list(found.values())
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.01)

    def accepted(self) -> int:
        """What the commit script has counted."""
        return sum(int(value) for value in self.redis.hvals(keys.ACCEPTED))


@pytest.fixture
def publisher(valkey: "redis.Redis[Any]") -> Publisher:
    """A publisher over an empty Redis database."""
    return Publisher(valkey)


@pytest.fixture
def tracker_settings(environment: dict[str, str]) -> Settings:
    """`localhost` is the default domain; one proxy is trusted."""
    return Settings.from_env(
        {**environment, "DEFAULT_HOSTS": "localhost", "DRAIN_LIMIT": "2", "TRUSTED_PROXIES": "10.0.0.0/8"}
    )


@pytest.fixture
async def app(publisher: Publisher, tracker_settings: Settings) -> AsyncIterator[Quart]:
    """A started tracker over `publisher.world()`."""
    publisher.world()
    app = create_app(tracker_settings)
    async with app.test_app():
        yield app


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()
