"""What a link's cap has counted: begun with what is stored, raised and never lowered."""

from datetime import UTC, datetime

import pytest
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot
from core.contracts.click_event import CAPPED, PAUSED
from core.db.caps import count_people
from core.db.clicks import PreparedClick, store_batch
from core.db.models import Domain, Link
from core.services import links, publishing
from core.services.actor import Actor
from core.services.link_caps import people_counted
from tests.core.db.samples import click, drop_partitions, new_store

URL = "https://example.com/tv"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def link(db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis) -> Link:
    """Slug `a`, without a cap."""
    return links.create_link(db, url=URL, slug="a", actor=actor, now=now, redis=valkey)


def store(engine: Engine, *clicks: PreparedClick) -> None:
    store_batch(new_store(engine), clicks, now=NOW)


def people(link: Link, count: int) -> list[PreparedClick]:
    return [click(link_id=link.id) for _ in range(count)]


def counted(valkey: Redis, link: Link) -> int | None:
    held = valkey.hget(keys.CAP_COUNTS, str(link.id))
    return None if held is None else int(held)  # type: ignore[arg-type]


def test_it_begins_at_nothing_with_a_new_link(
    db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    made = links.create_link(db, url=URL, slug="b", actor=actor, now=now, redis=valkey, click_cap=5)
    framed = valkey.get(keys.link(domain.id, "b"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).click_cap == 5
    assert counted(valkey, made) == 0


def test_it_counts_the_people_whom_the_door_let_through(engine: Engine, db: Session, link: Link) -> None:
    store(
        engine,
        *people(link, 3),
        click(link_id=link.id, bot_reason="agent"),  # a robot that only the worker knew
        click(link_id=link.id, bot_reason="agent", door_bot="agent"),
        click(link_id=link.id, outcome=PAUSED),
        click(link_id=link.id, outcome=CAPPED),
        click(link_id=link.id + 1),
    )
    with engine.connect() as connection:
        assert count_people(connection, {link.id: 100, link.id + 1: 1, 99: 7}) == {
            link.id: 4,
            link.id + 1: 1,
            99: 0,
        }


def test_it_knows_people_whose_raw_clicks_were_removed(engine: Engine, link: Link) -> None:
    store(engine, *people(link, 3))
    drop_partitions(engine)
    with engine.connect() as connection:
        assert count_people(connection, {link.id: 100}) == {link.id: 3}


def test_it_counts_earlier_clicks_when_a_cap_is_set(
    engine: Engine, db: Session, link: Link, actor: Actor, now: datetime, valkey: Redis
) -> None:
    store(engine, *people(link, 4))
    assert counted(valkey, link) is None
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, click_cap=10)
    assert counted(valkey, link) == 4
    valkey.hincrby(keys.CAP_COUNTS, str(link.id), 5)
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, click_cap=6)
    assert counted(valkey, link) == 9  # the five are still on their way into the database
    store(engine, *people(link, 7))
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, click_cap=20)
    assert counted(valkey, link) == 11


def test_it_sees_beyond_a_cap_that_is_raised(
    engine: Engine, db: Session, link: Link, actor: Actor, now: datetime, valkey: Redis
) -> None:
    store(engine, *people(link, 9))
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, click_cap=2)
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, click_cap=8)
    assert counted(valkey, link) == 9


def test_it_begins_again_in_an_emptied_redis(
    engine: Engine, db: Session, link: Link, actor: Actor, now: datetime, valkey: Redis
) -> None:
    other = links.create_link(db, url=URL, slug="b", actor=actor, now=now, click_cap=3)
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, click_cap=10)
    store(engine, *people(link, 4))
    valkey.flushdb()
    valkey.hset(keys.CAP_COUNTS, str(link.id), 2)  # trackers went on meanwhile
    publishing.republish_all(engine, valkey)
    assert (counted(valkey, link), counted(valkey, other)) == (4, 0)
    valkey.hset(keys.CAP_COUNTS, str(link.id), 6)
    publishing.republish_all(engine, valkey)
    assert counted(valkey, link) == 6


def test_it_forgets_links_that_do_not_exist(engine: Engine, link: Link, valkey: Redis) -> None:
    valkey.hset(keys.CAP_COUNTS, mapping={str(link.id): 2, str(link.id + 1): 500})
    publishing.republish_all(engine, valkey)
    assert valkey.hkeys(keys.CAP_COUNTS) == [str(link.id).encode()]


def test_it_says_what_is_counted(
    engine: Engine, db: Session, link: Link, actor: Actor, now: datetime, valkey: Redis, away: Redis
) -> None:
    assert people_counted(db, valkey, link) is None
    store(engine, *people(link, 2))
    link = links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, click_cap=10)
    valkey.hincrby(keys.CAP_COUNTS, str(link.id), 5)
    assert people_counted(db, valkey, link) == 7
    assert people_counted(db, away, link) == 2
    valkey.flushdb()
    assert people_counted(db, valkey, link) == 2
