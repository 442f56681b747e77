"""A link's password: hashed, published, and in no history."""

import json
from datetime import datetime
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.db.models import AuditLog, Domain, Link, LinkHistory
from core.services import links, publishing
from core.services.actor import Actor
from core.services.hashing import hasher

URL = "https://example.com/tv"


def snapshot(valkey: Redis, domain: Domain) -> LinkSnapshot:
    framed = valkey.get(keys.link(domain.id, "a"))
    assert isinstance(framed, bytes)
    return link_snapshot.decode(framed)


def history(db: Session) -> list[LinkHistory]:
    return list(db.scalars(select(LinkHistory).order_by(LinkHistory.version)))


@pytest.fixture
def locked(db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis) -> Link:
    """A link with the password "abacaxi é"."""
    return links.create_link(
        db, url=URL, slug="a", actor=actor, now=now, redis=valkey, password=" abacaxi e\u0301 "
    )


def test_it_hashes_the_password_and_publishes_the_hash(
    db: Session, engine: Engine, domain: Domain, locked: Link, valkey: Redis
) -> None:
    assert locked.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher().verify(locked.password_hash, "abacaxi \u00e9")
    wanted = LinkSnapshot(link_id=locked.id, url=URL, state="locked", password_hash=locked.password_hash)
    assert snapshot(valkey, domain) == wanted
    valkey.flushdb()
    publishing.republish_all(engine, valkey)
    assert snapshot(valkey, domain) == wanted


def test_it_changes_and_takes_away_and_says_so(
    db: Session, domain: Domain, locked: Link, actor: Actor, now: datetime, valkey: Redis
) -> None:
    def edit(**fields: Any) -> Link:
        return links.edit_link(db, link_id=locked.id, actor=actor, now=now, redis=valkey, **fields)

    first = locked.password_hash
    assert edit(password="abacaxi é", title="t").version == 2
    assert (locked.password_hash, history(db)[-1].changed) == (first, ["title"])
    assert edit(password="abacaxi é").version == 2
    second = edit(password="manga").password_hash
    assert second != first and snapshot(valkey, domain).password_hash == second
    assert (history(db)[-1].changed, history(db)[-1].fields["password"]) == (["password"], True)
    edit(password=None)
    assert snapshot(valkey, domain) == LinkSnapshot(link_id=locked.id, url=URL)
    assert (history(db)[-1].changed, history(db)[-1].fields["password"]) == (["password"], False)
    assert edit(password=None).version == 4


def test_it_leaves_no_trace_of_a_password_but_its_hash(
    db: Session, locked: Link, actor: Actor, now: datetime, valkey: Redis
) -> None:
    links.edit_link(db, link_id=locked.id, actor=actor, now=now, redis=valkey, password="manga")
    kept = json.dumps(
        [[row.fields, row.changed] for row in history(db)]
        + [row.detail for row in db.scalars(select(AuditLog))]
    )
    assert "password" in kept
    assert not any(secret in kept for secret in ("abacaxi", "manga", "argon2", locked.password_hash))


@pytest.mark.parametrize("state", ["paused", "archived"])
def test_it_publishes_a_pause_of_a_locked_link_as_a_pause(
    db: Session, domain: Domain, locked: Link, actor: Actor, now: datetime, valkey: Redis, state: str
) -> None:
    links.edit_link(db, link_id=locked.id, actor=actor, now=now, redis=valkey, state=state)
    held = snapshot(valkey, domain)
    assert (held.state, held.password_hash) == ({"archived": "gone"}.get(state, state), locked.password_hash)
    links.restore_link(db, link_id=locked.id, actor=actor, now=now, redis=valkey)
    assert snapshot(valkey, domain).state == "locked"


@pytest.mark.parametrize("password", ["", "  ", "x" * 129, "a\nb", "a\x00b", "a\ud800"])
def test_it_refuses_what_no_form_can_send(
    db: Session, domain: Domain, actor: Actor, now: datetime, password: str
) -> None:
    with pytest.raises(links.LinkRefused) as refused:
        links.create_link(db, url=URL, actor=actor, now=now, password=password)
    assert refused.value.field == "password"
    assert db.scalars(select(Link)).all() == []


@pytest.mark.parametrize("password", ["x", "x" * 128, "a b", "\U0001f34d"])
def test_it_takes_short_and_long_ones(
    db: Session, domain: Domain, actor: Actor, now: datetime, password: str
) -> None:
    link = links.create_link(db, url=URL, actor=actor, now=now, password=password)
    assert hasher().verify(link.password_hash, password)


def test_it_has_a_database_that_refuses_plain_text(db: Session, locked: Link) -> None:
    with pytest.raises(IntegrityError):
        db.execute(text("update links set password_hash = 'abacaxi'"))
