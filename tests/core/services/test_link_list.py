"""Finding links: words, filters, order and pages."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.db.models import Campaign, Domain, Link, User
from core.db.tracking import RollupTotal
from core.services import domains, links
from core.services.actor import COMMAND, Actor
from core.services.links import LinkFilter, find_links

URL = "https://example.com/"


@pytest.fixture
def three(db: Session, domain: Domain, now: datetime) -> dict[str, Link]:
    """Links tv, radio and phone, made a minute after one another."""
    campaign = Campaign(name="Black Friday")
    ana = User(email="ana@example.com", name="Ana", role="marketer", password_hash="x")
    db.add_all([campaign, ana])
    db.commit()
    made = {}
    for number, (slug, title, tags) in enumerate(
        [("tv", "Smart TV 4K 100%", ["sale"]), ("radio", "Rádio_AM", ["sale", "audio"]), ("phone", "", [])]
    ):
        made[slug] = links.create_link(
            db,
            url=f"{URL}{slug}",
            slug=slug,
            title=title,
            tags=tags,
            campaign_id=campaign.id if slug == "tv" else None,
            actor=Actor(kind="user", id=ana.id) if slug == "radio" else COMMAND,
            now=now + timedelta(minutes=number),
        )
    return made


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["phone", "radio", "tv"]),
        ("smart", ["tv"]),
        ("SMART tv", ["tv"]),
        ("tv smart", ["tv"]),
        ("smart radio", []),
        ("rádio", ["radio"]),
        ("RÁDIO", ["radio"]),
        ("100%", ["tv"]),
        ("%", ["tv"]),
        ("_", ["radio"]),
        ("\\", []),
        ("example.com/ph", ["phone"]),
        ("go.example.com/tv", ["tv"]),
        ("https://GO.example.com/TV?x=1", ["tv"]),
        ("https://go.example.com/none", []),
        ("'; drop table links", []),
        ("a\x00b", []),
        ("\ud800", []),
        ("x" * 5000, []),
    ],
)
def test_it_searches_title_slug_and_destination(
    db: Session, three: dict[str, Link], now: datetime, search: str, found: list[str]
) -> None:
    page = find_links(db, filter=LinkFilter(search=search), now=now)
    assert [row.link.slug for row in page.rows] == found
    assert page.total == len(found)


def test_it_filters(db: Session, three: dict[str, Link], now: datetime) -> None:
    other = domains.add_domain(db, host="b.example.com", actor=COMMAND, now=now)
    links.create_link(db, url=URL, slug="tv", domain_id=other.id, actor=COMMAND, now=now)
    links.pause_link(db, link_id=three["tv"].id, actor=COMMAND, now=now)
    links.archive_link(db, link_id=three["radio"].id, actor=COMMAND, now=now)
    links.delete_link(db, link_id=three["phone"].id, actor=COMMAND, now=now)

    def slugs(filter: LinkFilter) -> list[str]:
        return sorted(row.link.slug for row in find_links(db, filter=filter, now=now).rows)

    assert slugs(LinkFilter()) == ["radio", "tv", "tv"]
    assert slugs(LinkFilter(states=("paused",))) == ["tv"]
    assert slugs(LinkFilter(states=("deleted",))) == ["phone"]
    assert slugs(LinkFilter(domain_id=other.id)) == ["tv"]
    assert slugs(LinkFilter(tag="SALE ")) == ["radio", "tv"]
    assert slugs(LinkFilter(tag="sale", states=("live",))) == []
    assert slugs(LinkFilter(campaign_id=three["tv"].campaign_id)) == ["tv"]
    assert slugs(LinkFilter(owner_id=three["radio"].owner_id)) == ["radio"]


def test_it_orders_by_clicks_of_people_in_the_last_days(
    db: Session, three: dict[str, Link], now: datetime
) -> None:
    for slug, ago, clicks in (("tv", 1, 5), ("tv", 6, 4), ("radio", 2, 8), ("phone", 8, 100)):
        for shard in (0, 3):
            slot = now - timedelta(days=ago)
            db.add(
                RollupTotal(
                    link_id=three[slug].id,
                    slot=slot,
                    shard=shard,
                    clicks=clicks,
                    uniques=0,
                    bots=50,
                    others=0,
                )
            )
    db.commit()
    page = find_links(db, filter=LinkFilter(sort="clicks"), now=now)
    assert [(row.link.slug, row.clicks) for row in page.rows] == [("tv", 18), ("radio", 16), ("phone", 0)]
    up = find_links(db, filter=LinkFilter(sort="clicks", descending=False), now=now)
    assert [row.link.slug for row in up.rows] == ["phone", "radio", "tv"]


def test_it_orders_by_title_and_change(db: Session, three: dict[str, Link], now: datetime) -> None:
    links.edit_link(db, link_id=three["tv"].id, notes="x", actor=COMMAND, now=now + timedelta(hours=1))

    def slugs(filter: LinkFilter) -> list[str]:
        return [row.link.slug for row in find_links(db, filter=filter, now=now).rows]

    assert slugs(LinkFilter(sort="title", descending=False)) == ["phone", "radio", "tv"]
    assert slugs(LinkFilter(sort="updated")) == ["tv", "phone", "radio"]
    assert slugs(LinkFilter(sort="created", descending=False)) == ["tv", "radio", "phone"]


def test_it_pages_and_stays_on_the_last_page(db: Session, domain: Domain, now: datetime) -> None:
    for number in range(25):
        slug = f"s{number:02}"
        db.add(Link(domain_id=domain.id, slug=slug, slug_key=slug, url=URL, created_at=now))
    db.commit()
    pages = [find_links(db, filter=LinkFilter(page=page, size=10), now=now) for page in (0, 1, 2, 3, 99)]
    assert [(page.page, page.pages, page.total, len(page.rows)) for page in pages] == [
        (1, 3, 25, 10),
        (1, 3, 25, 10),
        (2, 3, 25, 10),
        (3, 3, 25, 5),
        (3, 3, 25, 5),
    ]
    seen = [row.link.slug for page in pages[1:4] for row in page.rows]
    assert len(set(seen)) == 25


def test_it_searches_by_the_index(db: Session, domain: Domain, now: datetime) -> None:
    """The condition must be the index's expression to the letter."""
    db.execute(text("set local enable_seqscan = off"))
    where = find_links.__globals__["_has"]("smart")
    query = select(Link.id).where(where).compile(db.get_bind(), compile_kwargs={"literal_binds": True})
    plan = "\n".join(db.execute(text(f"explain {str(query).replace(':', chr(92) + ':')}")).scalars())
    assert "ix_links_search" in plan
