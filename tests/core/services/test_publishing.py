"""Publishing: the owner of now, the higher revision, and a full republish beside edits."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

import pytest
from redis import Redis, RedisError
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import domain_snapshot, keys, link_snapshot
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.contracts.snapshot import revision_of
from core.db.engine import make_engine
from core.db.models import Domain, Link
from core.db.work import Outbox
from core.services import domains, links, publishing
from core.services.actor import COMMAND, Actor

URL = "https://example.com/tv"


def read_link(valkey: Redis, domain_id: int, slug_key: str) -> tuple[int, LinkSnapshot]:
    framed = valkey.get(keys.link(domain_id, slug_key))
    assert isinstance(framed, bytes)
    return revision_of(framed), link_snapshot.decode(framed)


def read_domain(valkey: Redis, name: str) -> DomainSnapshot:
    framed = valkey.get(name)
    assert isinstance(framed, bytes)
    return domain_snapshot.decode(framed)


@pytest.fixture
def link(db: Session, domain: Domain, actor: Actor, now: datetime) -> Link:
    """Slug `a` of the default domain, not published."""
    return links.create_link(db, url=URL, slug="a", actor=actor, now=now)


def test_it_announces_the_key_that_it_wrote(
    engine: Engine, valkey: Redis, domain: Domain, link: Link
) -> None:
    listener = valkey.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(keys.CHANGED)
    listener.get_message(timeout=5)
    publishing.publish_link(engine, valkey, domain_id=domain.id, slug_key="a")
    message = None
    for _ in range(50):
        message = message or listener.get_message(timeout=0.2)
    listener.close()
    assert message is not None and message["data"] == keys.link(domain.id, "a").encode()


def test_it_raises_the_revision_each_time(engine: Engine, valkey: Redis, domain: Domain, link: Link) -> None:
    seen = []
    for _ in range(3):
        publishing.publish_link(engine, valkey, domain_id=domain.id, slug_key="a")
        seen.append(read_link(valkey, domain.id, "a")[0])
    assert seen == sorted(set(seen))


def test_it_writes_a_tombstone_where_nobody_owns_the_key(
    engine: Engine, valkey: Redis, domain: Domain
) -> None:
    publishing.publish_link(engine, valkey, domain_id=domain.id, slug_key="nobody")
    publishing.publish_domain(engine, valkey, host="nobody.example.com")
    assert read_link(valkey, domain.id, "nobody")[1].is_tombstone
    assert read_domain(valkey, keys.domain("nobody.example.com")).is_tombstone


def test_it_keeps_the_higher_revision_whatever_order_they_arrive_in(valkey: Redis) -> None:
    name = keys.link(1, "a")
    newer = link_snapshot.encode(LinkSnapshot(link_id=1, url="new"), revision=300)
    older = link_snapshot.encode(LinkSnapshot(link_id=1, url="old"), revision=299)
    assert publishing.put(valkey, name, newer)
    assert not publishing.put(valkey, name, older)
    assert valkey.get(name) == newer


def test_it_publishes_domains_and_the_default_one(
    db: Session, engine: Engine, valkey: Redis, domain: Domain, now: datetime
) -> None:
    other = domains.add_domain(
        db, host="x.example.com", brand="X", case_sensitive=True, actor=COMMAND, now=now, redis=valkey
    )
    found = read_domain(valkey, keys.domain("x.example.com"))
    assert (found.domain_id, found.host, found.case_sensitive, found.brand) == (
        other.id,
        "x.example.com",
        True,
        "X",
    )
    publishing.publish_default_domain(engine, valkey)
    assert read_domain(valkey, keys.DEFAULT_DOMAIN).domain_id == domain.id
    domains.make_default(db, domain_id=other.id, actor=COMMAND, now=now, redis=valkey)
    assert read_domain(valkey, keys.DEFAULT_DOMAIN).domain_id == other.id


def test_it_waits_for_another_publisher_of_the_same_key(
    engine: Engine, valkey: Redis, db: Session, domain: Domain, link: Link
) -> None:
    name = keys.link(domain.id, "a")
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
        row = publishing.announce_link(db, domain_id=domain.id, slug_key="a", now=link.created_at)
        db.commit()
        assert publishing.publish_now(db, valkey, [row]) is False
        assert valkey.get(name) is None
    assert db.scalars(select(Outbox).where(Outbox.id == row.id)).one_or_none() is not None
    assert publishing.publish_now(db, valkey, [row]) is True
    assert db.scalars(select(Outbox.id).where(Outbox.id == row.id)).one_or_none() is None
    assert read_link(valkey, domain.id, "a")[1].url == URL


def test_it_overtakes_what_redis_kept_from_a_later_life(
    engine: Engine, valkey: Redis, domain: Domain, link: Link
) -> None:
    future = link_snapshot.encode(LinkSnapshot(link_id=77, url="https://gone.example/"), revision=10_000_000)
    valkey.set(keys.link(domain.id, "a"), future)
    publishing.publish_link(engine, valkey, domain_id=domain.id, slug_key="a")
    revision, found = read_link(valkey, domain.id, "a")
    assert found.link_id == link.id and revision > 10_000_000


def test_it_republishes_everything_and_sets_the_marker_last(
    db: Session, engine: Engine, valkey: Redis, domain: Domain, actor: Actor, now: datetime
) -> None:
    for number in range(1203):
        slug = f"s{number}"
        db.add(Link(domain_id=domain.id, slug=slug, slug_key=slug, url=f"{URL}/{number}"))
    db.commit()
    told: list[tuple[int, int]] = []
    ready: list[bool] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        ready.append(bool(valkey.exists(keys.SNAPSHOTS_READY)))

    assert publishing.republish_all(engine, valkey, progress) == 1203
    assert told == [(500, 1203), (1000, 1203), (1203, 1203)]
    assert not any(ready) and valkey.exists(keys.SNAPSHOTS_READY)
    assert read_link(valkey, domain.id, "s1202")[1].url == f"{URL}/1202"
    assert read_domain(valkey, keys.DEFAULT_DOMAIN).domain_id == domain.id
    assert read_domain(valkey, keys.domain("go.example.com")).domain_id == domain.id


def test_it_takes_the_time_that_redis_needs(database_url: str, valkey: Redis, link: Link) -> None:
    hasty = make_engine(Settings.from_env({"DATABASE_URL": database_url}).database_url, idle_limit=1)
    try:
        assert publishing.republish_all(hasty, valkey, lambda done, total: time.sleep(1.3)) == 1
    finally:
        hasty.dispose()


def test_it_does_not_undo_an_edit_made_during_a_republish(
    db: Session,
    engine: Engine,
    valkey: Redis,
    domain: Domain,
    link: Link,
    actor: Actor,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The edit commits and publishes after the republish has drawn its revision and read its rows."""

    load = publishing._load

    def slow(redis: Redis, script: str) -> str:
        """Edits the link right before the first batch of links is written."""
        monkeypatch.setattr(publishing, "_load", load)
        links.edit_link(db, link_id=link.id, url=f"{URL}/new", actor=actor, now=now, redis=valkey)
        return load(redis, script)

    monkeypatch.setattr(publishing, "_load", slow)
    publishing.republish_all(engine, valkey)
    assert read_link(valkey, domain.id, "a")[1].url == f"{URL}/new"


def test_it_buries_what_has_no_row_and_lifts_the_revisions(
    engine: Engine, valkey: Redis, domain: Domain, link: Link
) -> None:
    ghost = link_snapshot.encode(LinkSnapshot(link_id=5, url=URL), revision=20_000_000)
    valkey.set(keys.link(domain.id, "ghost"), ghost)
    valkey.set(keys.link(domain.id, "a"), ghost)
    domain_ghost = domain_snapshot.encode(DomainSnapshot(domain_id=9, host="old.example"), revision=7)
    valkey.set(keys.domain("old.example"), domain_ghost)
    publishing.republish_all(engine, valkey)
    assert read_link(valkey, domain.id, "ghost")[1].is_tombstone
    assert read_link(valkey, domain.id, "a")[1].link_id == link.id
    assert read_domain(valkey, keys.domain("old.example")).is_tombstone


def test_it_sets_no_marker_when_redis_was_emptied_meanwhile(
    engine: Engine, valkey: Redis, domain: Domain, link: Link
) -> None:
    with pytest.raises(publishing.RepublishInterrupted):
        publishing.republish_all(engine, valkey, lambda done, total: valkey.flushdb() and None)
    assert not valkey.exists(keys.SNAPSHOTS_READY)


def test_it_fails_loudly_for_a_worker_when_redis_is_away(engine: Engine, away: Redis, domain: Domain) -> None:
    with pytest.raises(RedisError):
        publishing.publish_link(engine, away, domain_id=domain.id, slug_key="a")


def test_it_republishes_while_another_republish_waits(
    db: Session, engine: Engine, valkey: Redis, domain: Domain, link: Link
) -> None:
    """`rastro republish` beside the schedule: each writes everything, and neither says that Redis was emptied."""
    ghost = link_snapshot.encode(LinkSnapshot(link_id=5, url=URL), revision=1)
    for number in range(20):
        valkey.set(keys.link(domain.id, f"ghost{number}"), ghost)
    barrier = Barrier(3)

    def republish(_: int) -> int:
        barrier.wait()
        return publishing.republish_all(engine, valkey)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(republish, range(3))) == [1, 1, 1]
    assert valkey.exists(keys.SNAPSHOTS_READY)


def test_it_sets_no_marker_when_redis_is_emptied_at_the_last_moment(
    engine: Engine, valkey: Redis, domain: Domain, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = publishing._load

    def late(redis: Redis, script: str) -> str:
        if "token" in script:
            valkey.flushdb()
        return load(redis, script)

    monkeypatch.setattr(publishing, "_load", late)
    with pytest.raises(publishing.RepublishInterrupted):
        publishing.republish_all(engine, valkey)
    assert not valkey.exists(keys.SNAPSHOTS_READY)
