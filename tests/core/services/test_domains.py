"""Domains: adding, the default one, and the one of this machine that follows the tracker's address."""

from datetime import datetime

import pytest
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts import domain_snapshot, keys
from core.db.models import AuditLog, Domain
from core.db.work import Outbox
from core.services import domain_settings, domains, links
from core.services.actor import COMMAND, Actor


def host_in_redis(valkey: Redis, name: str) -> str:
    framed = valkey.get(name)
    assert isinstance(framed, bytes)
    return domain_snapshot.decode(framed).host


def test_it_makes_the_first_domain_the_default(db: Session, domain: Domain, now: datetime) -> None:
    second = domains.add_domain(db, host="B.example.com.", brand=" Shop ", actor=COMMAND, now=now)
    assert (domain.is_default, second.is_default) == (True, False)
    assert (second.host, second.brand) == ("b.example.com", "Shop")
    assert [row.task for row in db.scalars(select(Outbox).order_by(Outbox.id))] == [
        "publish.domain",
        "publish.default_domain",
        "publish.domain",
    ]
    assert db.scalars(select(AuditLog.action)).all() == ["domain.add", "domain.add"]


def test_it_refuses_a_host_twice_or_none_at_all(db: Session, domain: Domain, now: datetime) -> None:
    with pytest.raises(domains.DomainTaken):
        domains.add_domain(db, host="GO.example.com", actor=COMMAND, now=now)
    with pytest.raises(domains.HostRefused):
        domains.add_domain(db, host="https://x.example.com", actor=COMMAND, now=now)
    assert len(domains.list_domains(db)) == 1


def test_it_has_one_default_at_a_time(db: Session, domain: Domain, now: datetime) -> None:
    second = domains.add_domain(db, host="b.example.com", actor=COMMAND, now=now, default=True)
    db.expire_all()
    assert (domain.is_default, second.is_default) == (False, True)
    domains.make_default(db, domain_id=domain.id, actor=COMMAND, now=now)
    db.expire_all()
    assert (domain.is_default, second.is_default) == (True, False)
    with pytest.raises(domains.DomainNotFound):
        domains.make_default(db, domain_id=99, actor=COMMAND, now=now)


def test_it_lists_the_default_first_with_counts(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    domains.add_domain(db, host="a.example.com", actor=COMMAND, now=now)
    kept = links.create_link(db, url="https://example.com", actor=actor, now=now)
    gone = links.create_link(db, url="https://example.com", actor=actor, now=now)
    links.delete_link(db, link_id=gone.id, actor=actor, now=now)
    rows = domains.list_domains(db)
    assert [(row.host, row.links) for row in rows] == [("go.example.com", 1), ("a.example.com", 0)]
    assert kept.domain_id == rows[0].id


def test_it_finds_a_domain_in_any_spelling(db: Session, domain: Domain) -> None:
    assert domains.domain_by_host(db, host="GO.Example.com.").id == domain.id
    for host in ("x.example.com", "", "https://go.example.com"):
        with pytest.raises(domains.DomainNotFound):
            domains.domain_by_host(db, host=host)


def test_it_follows_the_tracker_on_this_machine(db: Session, now: datetime, valkey: Redis) -> None:
    first = domains.ensure_default_domain(
        db, tracker_url="http://127.0.0.1:8080", now=now, brand="Org", redis=valkey
    )
    assert (first.host, first.is_default, first.brand) == ("127.0.0.1:8080", True, "Org")
    same = domains.ensure_default_domain(db, tracker_url="http://127.0.0.1:9090", now=now, redis=valkey)
    assert (same.id, same.host) == (first.id, "127.0.0.1:9090")
    assert host_in_redis(valkey, keys.domain("127.0.0.1:8080")) == ""
    assert host_in_redis(valkey, keys.domain("127.0.0.1:9090")) == "127.0.0.1:9090"
    assert host_in_redis(valkey, keys.DEFAULT_DOMAIN) == "127.0.0.1:9090"
    audits = len(db.scalars(select(AuditLog)).all())
    domains.ensure_default_domain(db, tracker_url="http://127.0.0.1:9090", now=now, redis=valkey)
    assert len(db.scalars(select(AuditLog)).all()) == audits


def test_it_leaves_a_default_with_a_name_of_its_own(db: Session, domain: Domain, now: datetime) -> None:
    kept = domains.ensure_default_domain(db, tracker_url="http://127.0.0.1:9090", now=now)
    assert (kept.id, kept.host) == (domain.id, "go.example.com")


def test_it_takes_an_existing_domain_with_the_wanted_host(db: Session, now: datetime) -> None:
    domains.ensure_default_domain(db, tracker_url="http://127.0.0.1:1000", now=now)
    other = domains.add_domain(db, host="127.0.0.1:2000", actor=COMMAND, now=now)
    found = domains.ensure_default_domain(db, tracker_url="http://127.0.0.1:2000", now=now)
    assert (found.id, found.is_default) == (other.id, True)


def test_it_changes_targets_and_publishes_them(
    db: Session, domain: Domain, now: datetime, valkey: Redis
) -> None:
    domain_settings.edit_domain(
        db,
        domain_id=domain.id,
        actor=COMMAND,
        now=now,
        redis=valkey,
        brand=" Casa  Aroeira ",
        root_url=" https://example.com/ä ",
        not_found_url="https://example.com/404",
        expired_url="https://example.com/over",
    )
    for name in (keys.domain("go.example.com"), keys.DEFAULT_DOMAIN):
        framed = valkey.get(name)
        assert isinstance(framed, bytes)
        found = domain_snapshot.decode(framed)
        assert (found.brand, found.root_url) == ("Casa Aroeira", "https://example.com/%C3%A4")
        assert found.targets[1:] == ("https://example.com/404", "https://example.com/over")
    before = db.scalars(select(AuditLog.id)).all()
    domain_settings.edit_domain(db, domain_id=domain.id, actor=COMMAND, now=now, brand="Casa Aroeira")
    assert db.scalars(select(AuditLog.id)).all() == before
    domain_settings.edit_domain(db, domain_id=domain.id, actor=COMMAND, now=now, redis=valkey, root_url="")
    framed = valkey.get(keys.domain("go.example.com"))
    assert isinstance(framed, bytes) and domain_snapshot.decode(framed).root_url == ""


@pytest.mark.parametrize("target", ["https://go.example.com/x", "ftp://example.com", "nonsense"])
def test_it_refuses_targets_that_can_not_be(db: Session, domain: Domain, now: datetime, target: str) -> None:
    with pytest.raises(domain_settings.DomainRefused) as refused:
        domain_settings.edit_domain(db, domain_id=domain.id, actor=COMMAND, now=now, root_url=target)
    assert refused.value.field == "root_url"
    with pytest.raises(domains.DomainNotFound):
        domain_settings.edit_domain(db, domain_id=99, actor=COMMAND, now=now, root_url="")
