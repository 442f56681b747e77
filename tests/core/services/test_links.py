"""Making, changing and ending links: what is written beside the change, and what is refused."""

import random
import threading
from datetime import datetime, timedelta

import pytest
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.contracts import keys, link_snapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.db.models import AuditLog, Campaign, Domain, Link, LinkHistory, User
from core.db.work import Outbox
from core.services import domains, links
from core.services.actor import COMMAND, Actor

URL = "https://example.com/tv"


def outbox(db: Session) -> list[list[object]]:
    return sorted((row.args for row in db.scalars(select(Outbox))), key=str)


def snapshot(valkey: Redis, domain_id: int, slug_key: str) -> LinkSnapshot:
    framed = valkey.get(keys.link(domain_id, slug_key))
    assert isinstance(framed, bytes)
    return link_snapshot.decode(framed)


def test_it_makes_a_link_with_history_audit_and_outbox(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    before = outbox(db)
    link = links.create_link(
        db,
        url=f" {URL} ",
        slug="BF-TV",
        title=" Smart  TV ",
        tags=["Sale", "sale ", "TV"],
        actor=actor,
        now=now,
    )
    db.expire_all()
    assert (link.slug, link.slug_key, link.url, link.title) == ("BF-TV", "bf-tv", URL, "Smart TV")
    assert (link.version, link.state, link.domain_id, link.owner_id) == (1, "live", domain.id, None)
    assert [tag.name for tag in link.tags] == ["sale", "tv"]
    history = db.scalars(select(LinkHistory)).one()
    assert (history.version, history.actor, history.action) == (1, "key:3", "create")
    assert history.fields["url"] == URL and history.fields["domain"] == "go.example.com"
    audit = db.scalars(select(AuditLog).where(AuditLog.action == "link.create")).one()
    assert (audit.subject, audit.actor_name, str(audit.ip)) == (f"link:{link.id}", "Shop", "192.0.2.7")
    assert [args for args in outbox(db) if args not in before] == [[domain.id, "bf-tv"]]
    row = db.scalars(select(Outbox).order_by(Outbox.id.desc()).limit(1)).one()
    assert (row.queue, row.task, row.not_before - now) == ("publish", "publish.link", timedelta(seconds=2))


def test_it_publishes_at_once_and_clears_its_outbox_row(
    db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    before = outbox(db)
    link = links.create_link(
        db, url="https://bücher.example/ä", slug="Bücher", actor=actor, now=now, redis=valkey
    )
    found = snapshot(valkey, domain.id, "bücher")
    assert (found.link_id, found.state, found.url) == (
        link.id,
        "live",
        "https://xn--bcher-kva.example/%C3%A4",
    )
    assert outbox(db) == before


def test_it_leaves_the_outbox_row_when_redis_is_away(
    db: Session, domain: Domain, actor: Actor, now: datetime, away: Redis
) -> None:
    links.create_link(db, url=URL, slug="a", actor=actor, now=now, redis=away)
    assert [domain.id, "a"] in outbox(db)
    assert db.scalar(select(func.count()).select_from(Link)) == 1


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"url": "javascript:alert(1)"}, links.DestinationRefused, None),
        ({"url": "https://GO.example.com/x"}, links.DestinationRefused, None),
        ({"slug": "a b"}, links.SlugRefused, None),
        ({"slug": "api"}, links.SlugRefused, None),
        ({"title": "x" * 201}, links.LinkRefused, "title"),
        ({"title": "a\x00b"}, links.LinkRefused, "title"),
        ({"title": "a\ud800b"}, links.LinkRefused, "title"),
        ({"notes": "x" * 4001}, links.LinkRefused, "notes"),
        ({"tags": ["x" * 51]}, links.LinkRefused, "tags"),
        ({"tags": [f"t{n}" for n in range(21)]}, links.LinkRefused, "tags"),
        ({"tags": ["a,b"]}, links.LinkRefused, "tags"),
        ({"campaign_id": 99}, links.LinkRefused, "campaign"),
        ({"domain_id": 99}, links.LinkRefused, "domain"),
    ],
)
def test_it_saves_nothing_of_what_it_refuses(
    db: Session,
    domain: Domain,
    actor: Actor,
    now: datetime,
    fields: dict[str, object],
    error: type[Exception],
    field: str | None,
) -> None:
    link = links.create_link(db, url=URL, slug="good", actor=actor, now=now)
    before = outbox(db)
    with pytest.raises(error) as on_create:
        links.create_link(db, **{"url": URL, "slug": "new", "actor": actor, "now": now, **fields})  # type: ignore[arg-type]
    with pytest.raises(error):
        links.edit_link(db, link_id=link.id, **{"actor": actor, "now": now, "title": "other", **fields})  # type: ignore[arg-type]
    assert getattr(on_create.value, "field", None) == field
    db.commit()
    db.expire_all()
    assert db.scalar(select(func.count()).select_from(Link)) == 1
    assert (link.version, link.title, link.slug) == (1, "", "good")
    assert outbox(db) == before


def test_it_wants_a_domain_first(db: Session, actor: Actor, now: datetime) -> None:
    with pytest.raises(links.LinkRefused) as refused:
        links.create_link(db, url=URL, actor=actor, now=now)
    assert refused.value.field == "domain"


def test_it_names_the_owner_of_a_taken_slug_and_a_free_one(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    first = links.create_link(db, url=URL, slug="bf-tv", title="Smart TV 4K", actor=actor, now=now)
    links.create_link(db, url=URL, slug="bf-tv-2", actor=actor, now=now)
    with pytest.raises(links.SlugTaken) as taken:
        links.create_link(db, url=URL, slug="BF-TV", actor=actor, now=now)
    error = taken.value
    assert (error.link_id, error.title, error.suggestion) == (first.id, "Smart TV 4K", "BF-TV-3")
    assert str(error) == "BF-TV is taken by “Smart TV 4K”."
    with pytest.raises(links.SlugTaken) as taken:
        links.create_link(db, url=URL, slug="bf-tv-2", actor=actor, now=now)
    assert taken.value.suggestion == "bf-tv-3"
    with pytest.raises(links.SlugTaken) as taken:
        links.edit_link(db, link_id=first.id, slug="bf-tv-2", title="x", actor=actor, now=now)
    db.expire_all()
    assert (first.slug, first.title, first.version) == ("bf-tv", "Smart TV 4K", 1)
    assert db.scalar(select(func.count()).select_from(Link)) == 2


def test_it_draws_another_slug_when_one_is_taken(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    class Repeats(random.Random):
        drawn = iter("bcdfghk" * 3 + "mnpqrst")

        def choice(self, seq: object) -> str:  # type: ignore[override]
            return next(self.drawn)

    rng = Repeats()
    slugs = [links.create_link(db, url=URL, actor=actor, now=now, tags=["x"], rng=rng).slug for _ in range(2)]
    assert slugs == ["bcdfghk", "mnpqrst"]


def test_it_keeps_case_apart_where_the_domain_does(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    exact = domains.add_domain(db, host="x.example.com", case_sensitive=True, actor=COMMAND, now=now)
    for slug in ("Sale", "sale"):
        links.create_link(db, url=URL, slug=slug, domain_id=exact.id, actor=actor, now=now)
    links.create_link(db, url=URL, slug="Sale", actor=actor, now=now)
    with pytest.raises(links.SlugTaken):
        links.edit_link(
            db,
            link_id=db.scalars(select(Link.id).where(Link.slug == "sale")).one(),
            domain_id=domain.id,
            actor=actor,
            now=now,
        )


def test_it_edits_and_counts_versions(
    db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    link = links.create_link(db, url=URL, slug="a", actor=actor, now=now, redis=valkey)
    later = now + timedelta(minutes=5)
    edited = links.edit_link(
        db,
        link_id=link.id,
        version=1,
        url="https://example.com/new",
        title="New",
        actor=actor,
        now=later,
        redis=valkey,
    )
    assert (edited.version, edited.url, edited.updated_at) == (2, "https://example.com/new", later)
    assert snapshot(valkey, domain.id, "a").url == "https://example.com/new"
    history = links.history_of(db, link_id=link.id)
    assert next((row.version, row.action, sorted(row.changed)) for row in history) == (
        2,
        "edit",
        ["title", "url"],
    )


def test_it_changes_nothing_when_nothing_differs(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    link = links.create_link(db, url=URL, slug="a", title="T", tags=["x"], actor=actor, now=now)
    before = outbox(db)
    same = links.edit_link(
        db,
        link_id=link.id,
        url=f"{URL} ",
        slug="a",
        title=" T",
        tags=["X"],
        actor=actor,
        now=now + timedelta(1),
    )
    assert (same.version, same.updated_at) == (1, now)
    assert outbox(db) == before
    assert len(links.history_of(db, link_id=link.id)) == 1


def test_it_announces_only_what_trackers_must_know(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    link = links.create_link(db, url=URL, slug="a", actor=actor, now=now)
    before = outbox(db)
    links.edit_link(db, link_id=link.id, title="T", tags=["x"], notes="n", actor=actor, now=now)
    assert outbox(db) == before
    assert link.version == 2


def test_it_refuses_a_stale_version_and_shows_who_was_faster(
    db: Session, sessions: sessionmaker[Session], domain: Domain, now: datetime
) -> None:
    marina = User(email="m@example.com", name="Marina", role="marketer", password_hash="x")
    db.add(marina)
    db.commit()
    link = links.create_link(db, url=URL, slug="a", actor=COMMAND, now=now)
    with sessions() as other:
        actor = Actor(kind="user", id=marina.id, name="Marina", role="marketer")
        links.edit_link(
            other, link_id=link.id, version=1, title="Hers", actor=actor, now=now + timedelta(hours=2)
        )
    with pytest.raises(links.StaleVersion) as stale:
        links.edit_link(
            db, link_id=link.id, version=1, title="Mine", actor=COMMAND, now=now + timedelta(hours=3)
        )
    assert (stale.value.editor, stale.value.current.title) == ("Marina", "Hers")
    assert stale.value.at == now + timedelta(hours=2)
    assert stale.value.current.version == 2


def test_it_lets_one_of_many_editors_win(
    db: Session, sessions: sessionmaker[Session], domain: Domain, actor: Actor, now: datetime
) -> None:
    link = links.create_link(db, url=URL, slug="a", actor=actor, now=now)
    barrier, won, lost = threading.Barrier(6), [], []

    def edit(number: int) -> None:
        with sessions() as session:
            barrier.wait()
            try:
                links.edit_link(session, link_id=link.id, version=1, title=f"T{number}", actor=actor, now=now)
                won.append(number)
            except links.StaleVersion:
                lost.append(number)

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.expire_all()
    assert (len(won), len(lost)) == (1, 5)
    assert (link.title, link.version) == (f"T{won[0]}", 2)


def test_it_lets_one_of_many_makers_have_a_slug(
    db: Session, sessions: sessionmaker[Session], domain: Domain, actor: Actor, now: datetime
) -> None:
    barrier, made, refused = threading.Barrier(6), [], []

    def make() -> None:
        with sessions() as session:
            barrier.wait()
            try:
                made.append(
                    links.create_link(session, url=URL, slug="same", actor=actor, now=now, tags=["x"]).id
                )
            except links.SlugTaken as taken:
                refused.append(taken)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 5)
    assert {taken.link_id for taken in refused} == set(made)


def test_it_moves_a_slug_from_one_owner_to_another(
    db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    first = links.create_link(db, url=f"{URL}1", slug="a", actor=actor, now=now, redis=valkey)
    links.edit_link(db, link_id=first.id, slug="b", actor=actor, now=now, redis=valkey)
    assert snapshot(valkey, domain.id, "a").is_tombstone
    assert snapshot(valkey, domain.id, "b").link_id == first.id
    second = links.create_link(db, url=f"{URL}2", slug="a", actor=actor, now=now, redis=valkey)
    assert snapshot(valkey, domain.id, "a").link_id == second.id
    other = domains.add_domain(db, host="b.example.com", actor=actor, now=now, redis=valkey)
    links.edit_link(db, link_id=second.id, domain_id=other.id, actor=actor, now=now, redis=valkey)
    assert snapshot(valkey, domain.id, "a").is_tombstone
    assert snapshot(valkey, other.id, "a").link_id == second.id


def test_it_pauses_archives_deletes_and_restores(
    db: Session, domain: Domain, actor: Actor, now: datetime, valkey: Redis
) -> None:
    link = links.create_link(db, url=URL, slug="a", actor=actor, now=now, redis=valkey)
    seen = []
    for verb in (
        links.pause_link,
        links.resume_link,
        links.archive_link,
        links.restore_link,
        links.delete_link,
        links.restore_link,
    ):
        verb(db, link_id=link.id, actor=actor, now=now, redis=valkey)
        seen.append((link.state, snapshot(valkey, domain.id, "a").state))
    assert seen == [
        ("paused", "paused"),
        ("live", "live"),
        ("archived", "gone"),
        ("live", "live"),
        ("deleted", "gone"),
        ("live", "live"),
    ]
    actions = [row.action for row in reversed(links.history_of(db, link_id=link.id))]
    assert actions == ["create", "pause", "resume", "archive", "restore", "delete", "restore"]


def test_it_keeps_the_slug_of_a_deleted_link(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    link = links.create_link(db, url=URL, slug="a", title="Old", actor=actor, now=now)
    with pytest.raises(links.StaleVersion):
        links.delete_link(db, link_id=link.id, version=7, actor=actor, now=now)
    links.delete_link(db, link_id=link.id, version=1, actor=actor, now=now)
    for call in (links.pause_link, links.delete_link, links.edit_link):
        with pytest.raises(links.LinkNotFound):
            call(db, link_id=link.id, actor=actor, now=now)
    with pytest.raises(links.LinkNotFound):
        links.get_link(db, link_id=link.id)
    assert links.get_link(db, link_id=link.id, deleted_too=True).state == "deleted"
    with pytest.raises(links.SlugTaken) as taken:
        links.create_link(db, url=URL, slug="a", actor=actor, now=now)
    assert taken.value.state == "deleted"


def test_it_changes_a_campaign_and_takes_it_away(
    db: Session, domain: Domain, actor: Actor, now: datetime
) -> None:
    campaign = Campaign(name="Black Friday")
    db.add(campaign)
    db.commit()
    link = links.create_link(db, url=URL, slug="a", actor=actor, now=now)
    links.edit_link(db, link_id=link.id, campaign_id=campaign.id, actor=actor, now=now)
    assert link.campaign is campaign
    links.edit_link(db, link_id=link.id, campaign_id=None, state="paused", actor=actor, now=now)
    assert link.campaign is None and link.state == "paused"
    with pytest.raises(links.LinkRefused):
        links.edit_link(db, link_id=link.id, state="deleted", actor=actor, now=now)


@pytest.mark.parametrize(
    ("host", "default", "tracker_url", "expected"),
    [
        ("go.example.com", True, "http://127.0.0.1:8080", "https://go.example.com/B%C3%BC-1"),
        ("127.0.0.1:8080", True, "http://127.0.0.1:8080", "http://127.0.0.1:8080/B%C3%BC-1"),
        ("127.0.0.1:8080", True, "http://localhost:9999", "http://localhost:9999/B%C3%BC-1"),
        ("localhost:7000", False, "http://127.0.0.1:8080", "http://localhost:7000/B%C3%BC-1"),
        ("192.168.1.5:8080", True, "http://192.168.1.5:8080", "http://192.168.1.5:8080/B%C3%BC-1"),
        ("go.example.com", True, "https://go.example.com", "https://go.example.com/B%C3%BC-1"),
    ],
)
def test_it_gives_an_address_to_paste(
    environment: dict[str, str], host: str, default: bool, tracker_url: str, expected: str
) -> None:
    settings = Settings.from_env({**environment, "TRACKER_URL": tracker_url})
    link = Link(slug="Bü-1", domain=Domain(host=host, is_default=default))
    assert links.short_url(link, settings) == expected
