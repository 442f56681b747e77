"""A link's time, fallback, status and referrer policy: checked, kept in history, published."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot
from core.contracts.link_snapshot import AppLinks, LinkSnapshot
from core.db.models import Domain, Link, LinkHistory
from core.services import links, publishing
from core.services.actor import Actor
from core.services.link_settings import state_at

URL, OVER = "https://example.com/tv", "https://example.com/over"
BERLIN = timezone(timedelta(hours=1))
START, END = datetime(2026, 11, 27, 9, tzinfo=BERLIN), datetime(2026, 11, 28, 9, tzinfo=BERLIN)


def snapshot(valkey: Redis, domain: Domain, slug: str = "a") -> LinkSnapshot:
    framed = valkey.get(keys.link(domain.id, slug))
    assert isinstance(framed, bytes)
    return link_snapshot.decode(framed)


def test_it_saves_publishes_and_remembers_settings(
    db: Session, engine: Engine, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    link = links.create_link(
        db,
        url=URL,
        slug="a",
        actor=actor,
        now=now,
        redis=valkey,
        starts_at=START,
        expires_at=END,
        fallback_url=f" {OVER}?é ",
        redirect_status=307,
        no_referrer=True,
    )
    wanted = LinkSnapshot(
        link_id=link.id,
        url=URL,
        starts_ms=int(START.timestamp() * 1000),
        expires_ms=int(END.timestamp() * 1000),
        fallback_url=f"{OVER}?%C3%A9",
        status=307,
        no_referrer=True,
    )
    assert snapshot(valkey, domain) == wanted
    valkey.flushdb()
    publishing.republish_all(engine, valkey)
    assert snapshot(valkey, domain) == wanted
    history = db.scalars(select(LinkHistory)).one()
    assert history.fields["starts_at"] == "2026-11-27T08:00:00+00:00"
    assert history.fields["redirect_status"] == 307 and "expires_at" in history.changed


def test_it_saves_publishes_and_remembers_app_links(
    db: Session, engine: Engine, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    intent = "intent://a#Intent;scheme=myapp;package=com.example.app;end"
    link = links.create_link(
        db,
        url=URL,
        slug="a",
        actor=actor,
        now=now,
        redis=valkey,
        ios_url=" myapp://a/é ",
        android_url=intent,
    )
    wanted = AppLinks(ios="myapp://a/%C3%A9", android=intent)
    assert snapshot(valkey, domain).apps == wanted
    valkey.flushdb()
    publishing.republish_all(engine, valkey)
    assert snapshot(valkey, domain).apps == wanted
    history = db.scalars(select(LinkHistory)).one()
    assert (history.fields["ios_url"], history.fields["android_url"]) == ("myapp://a/é", intent)
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, ios_url="", android_url=URL)
    assert snapshot(valkey, domain).apps == AppLinks(android=URL)
    links.edit_link(db, link_id=link.id, actor=actor, now=now, redis=valkey, android_url="")
    assert snapshot(valkey, domain) == LinkSnapshot(link_id=link.id, url=URL)


def test_it_changes_what_is_given_alone(
    db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    made = links.create_link(
        db, url=URL, slug="a", actor=actor, now=now, redis=valkey, starts_at=START, fallback_url=OVER
    )
    same = links.edit_link(db, link_id=made.id, actor=actor, now=now, redis=valkey, starts_at=START)
    assert same.version == 1
    links.edit_link(db, link_id=made.id, actor=actor, now=now, redis=valkey, title="t", expires_at=END)
    assert (snapshot(valkey, domain).starts_ms, snapshot(valkey, domain).fallback_url) == (
        int(START.timestamp() * 1000),
        OVER,
    )
    links.edit_link(
        db,
        link_id=made.id,
        actor=actor,
        now=now,
        redis=valkey,
        starts_at=None,
        expires_at=None,
        fallback_url="",
    )
    assert snapshot(valkey, domain) == LinkSnapshot(link_id=made.id, url=URL)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"starts_at": END, "expires_at": START}, "expires_at"),
        ({"starts_at": END, "expires_at": END}, "expires_at"),
        ({"starts_at": datetime(2026, 1, 1)}, "starts_at"),
        ({"expires_at": datetime(1, 1, 1, tzinfo=BERLIN)}, "expires_at"),
        ({"starts_at": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=9)))}, "starts_at"),
        ({"fallback_url": "javascript:alert(1)"}, "fallback_url"),
        ({"fallback_url": "https://go.example.com/x"}, "fallback_url"),
        ({"click_cap": 0}, "click_cap"),
        ({"click_cap": 1_000_000_001}, "click_cap"),
        ({"ios_url": "javascript://x"}, "ios_url"),
        ({"ios_url": "intent://a#Intent;scheme=myapp;end"}, "ios_url"),
        ({"android_url": "https://go.example.com/x"}, "android_url"),
        ({"redirect_status": 301}, "redirect_status"),
        ({"redirect_status": 200}, "redirect_status"),
    ],
)
def test_it_refuses_settings_that_can_not_be(
    db: Session, domain: Domain, actor: Actor, now: datetime, fields: dict[str, Any], field: str
) -> None:
    link = links.create_link(db, url=URL, actor=actor, now=now)
    with pytest.raises(links.LinkRefused) as refused:
        links.edit_link(db, link_id=link.id, actor=actor, now=now, title="other", **fields)
    assert refused.value.field == field
    with pytest.raises(links.LinkRefused):
        links.create_link(db, url=URL, actor=actor, now=now, **fields)
    db.expire_all()
    assert db.scalars(select(Link)).one().title == ""


def test_it_refuses_an_end_before_the_start_that_is_there(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    link = links.create_link(db, url=URL, actor=actor, now=now, starts_at=END)
    with pytest.raises(links.LinkRefused):
        links.edit_link(db, link_id=link.id, actor=actor, now=now, expires_at=START)


@pytest.mark.parametrize(
    "change", ["redirect_status = 301", "click_cap = 0", "starts_at = now(), expires_at = now()"]
)
def test_it_has_a_database_that_refuses_too(
    db: Session, domain: Domain, actor: Actor, now: datetime, change: str
) -> None:
    links.create_link(db, url=URL, actor=actor, now=now)
    with pytest.raises(IntegrityError):
        db.execute(text(f"update links set {change}"))


@pytest.mark.parametrize(
    ("state", "starts_at", "expires_at", "shown"),
    [
        ("live", None, None, "live"),
        ("live", START, None, "scheduled"),
        ("live", None, datetime(2026, 11, 23, 12, tzinfo=UTC), "expired"),
        ("paused", START, END, "paused"),
    ],
)
def test_it_says_the_state_of_now(
    now: datetime, state: str, starts_at: datetime | None, expires_at: datetime | None, shown: str
) -> None:
    assert state_at(Link(state=state, starts_at=starts_at, expires_at=expires_at), now) == shown
