"""What lists of links offer, and what the editor asks before it saves."""

from datetime import datetime

import pytest
from sqlalchemy.orm import Session

from core.db.models import Campaign, Domain, User
from core.services import domains, links
from core.services.actor import COMMAND, Actor
from core.services.link_choices import ViewCounts, count_views, link_choices

URL = "https://example.com/tv"


def make_user(db: Session, name: str) -> User:
    user = User(email=f"{name.lower()}@example.com", name=name, role="marketer", password_hash="x")
    db.add(user)
    db.commit()
    return user


def test_it_counts_every_view(db: Session, domain: Domain, now: datetime) -> None:
    bob = make_user(db, "Bob")
    mine = Actor(kind="user", id=bob.id)
    made = [links.create_link(db, url=URL, actor=mine, now=now) for _ in range(4)]
    links.create_link(db, url=URL, actor=COMMAND, now=now)
    links.pause_link(db, link_id=made[0].id, actor=mine, now=now)
    links.archive_link(db, link_id=made[1].id, actor=mine, now=now)
    links.delete_link(db, link_id=made[2].id, actor=mine, now=now)
    assert count_views(db, person_id=bob.id) == ViewCounts(active=3, mine=2, archived=1)
    assert count_views(db, person_id=999) == ViewCounts(active=3, mine=0, archived=1)


def test_it_offers_only_tags_and_people_that_have_links(db: Session, domain: Domain, now: datetime) -> None:
    bob, carol = make_user(db, "Bob"), make_user(db, "Carol")
    domains.add_domain(db, host="a.example.com", actor=COMMAND, now=now)
    db.add_all([Campaign(name="verão"), Campaign(name="Black Friday")])
    link = links.create_link(db, url=URL, tags=["tv", "old"], actor=Actor(kind="user", id=bob.id), now=now)
    links.edit_link(db, link_id=link.id, tags=["tv"], actor=COMMAND, now=now)
    found = link_choices(db)
    assert [choice.name for choice in found.domains] == ["go.example.com", "a.example.com"]
    assert [choice.name for choice in found.campaigns] == ["Black Friday", "verão"]
    assert [choice.name for choice in found.tags] == ["tv"]
    assert [choice.name for choice in found.owners] == ["Bob"]
    assert carol.id not in [choice.id for choice in found.owners]


def test_it_says_whether_a_slug_is_free(db: Session, domain: Domain, now: datetime) -> None:
    link = links.create_link(db, url=URL, slug="bf-tv", title="Smart TV", actor=COMMAND, now=now)
    assert links.check_slug_free(db, domain_id=domain.id, slug=" bf-mail ") == "bf-mail"
    assert links.check_slug_free(db, domain_id=None, slug="BF-TV", link_id=link.id) == "BF-TV"
    with pytest.raises(links.SlugTaken) as taken:
        links.check_slug_free(db, domain_id=domain.id, slug="BF-TV")
    assert (taken.value.link_id, taken.value.suggestion) == (link.id, "BF-TV-2")
    with pytest.raises(links.SlugRefused):
        links.check_slug_free(db, domain_id=domain.id, slug="a/b")
    with pytest.raises(links.LinkRefused):
        links.check_slug_free(db, domain_id=domain.id + 1, slug="bf-mail")


@pytest.mark.parametrize("state", ["live", "paused", "archived"])
def test_it_restores_to_the_state_that_was(db: Session, domain: Domain, now: datetime, state: str) -> None:
    link = links.create_link(db, url=URL, actor=COMMAND, now=now)
    links.delete_link(db, link_id=link.id, actor=COMMAND, now=now)
    assert links.restore_link(db, link_id=link.id, state=state, actor=COMMAND, now=now).state == state


def test_it_restores_to_no_other_state(db: Session, domain: Domain, now: datetime) -> None:
    link = links.create_link(db, url=URL, actor=COMMAND, now=now)
    with pytest.raises(links.LinkRefused):
        links.restore_link(db, link_id=link.id, state="deleted", actor=COMMAND, now=now)
