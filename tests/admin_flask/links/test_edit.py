"""Change a link."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot
from core.db.models import Campaign, Domain, Link, LinkHistory
from core.services.link_choices import MOST_CHOICES
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING, Clock
from tests.admin_flask.links.conftest import Click, MakeLink

Sit = Callable[..., Browser]


def typed(link: Link, **changes: str) -> dict[str, object]:
    """The form as it opens, with some fields changed."""
    fields = {
        "url": link.url,
        "domain_id": str(link.domain_id),
        "slug": link.slug,
        "title": link.title,
        "notes": link.notes,
        "tags": ", ".join(tag.name for tag in link.tags),
        "version": str(link.version),
    }
    return {**fields, **changes}


def test_it_opens_with_what_is_saved(sit_down: Sit, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="Smart TV 4K", tags=["tv", "whats"], notes="For the week")
    page = sit_down("marketer").get(f"/links/{link.id}/edit").text
    for value in ("https://loja.example/ofertas", "bf-tv", "Smart TV 4K", "tv, whats"):
        assert f'value="{value}"' in page
    assert "For the week</textarea>" in page
    assert "Version 1, saved" in page
    assert "Made" in page


def test_it_saves_and_trackers_hear_of_it(
    sit_down: Sit, db: Session, domain: Domain, make_link: MakeLink, valkey: "redis.Redis"
) -> None:
    link = make_link("bf-tv")
    browser = sit_down("marketer")
    answer = browser.post(f"/links/{link.id}/edit", typed(link, url="https://loja.example/novo", title="TV"))
    page = browser.follow(answer)
    assert answer.location == f"/links/{link.id}"
    assert "Saved." in page.text
    db.expire_all()
    assert (link.url, link.title, link.version) == ("https://loja.example/novo", "TV", 2)
    snapshot = link_snapshot.decode(valkey.get(keys.link(domain.id, "bf-tv")))  # type: ignore[arg-type]
    assert snapshot.url == "https://loja.example/novo"
    history = db.scalars(select(LinkHistory).order_by(LinkHistory.version.desc())).first()
    assert history is not None
    assert (history.action, sorted(history.changed)) == ("edit", ["title", "url"])
    assert "Changed destination and title" in browser.get(f"/links/{link.id}/edit").text


def test_it_goes_on_by_htmx(sit_down: Sit, make_link: MakeLink) -> None:
    link = make_link("bf-tv")
    answer = sit_down("marketer").post(f"/links/{link.id}/edit", typed(link, title="TV"), htmx=True)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, f"/links/{link.id}")


def test_it_writes_no_version_when_nothing_differs(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="TV")
    assert sit_down("marketer").post(f"/links/{link.id}/edit", typed(link)).status_code == 303
    db.expire_all()
    assert link.version == 1


@pytest.mark.parametrize("htmx", [False, True])
def test_it_returns_the_form_with_what_is_wrong(
    sit_down: Sit, db: Session, make_link: MakeLink, htmx: bool
) -> None:
    link = make_link("bf-mail", title="Newsletter")
    make_link("bf-tv", title="Smart TV 4K")
    fields = typed(link, slug="bf-tv", title="Kept as typed", notes="Also kept")
    answer = sit_down("marketer").post(f"/links/{link.id}/edit", fields, htmx=htmx)
    assert answer.status_code == 422
    assert ("<html" in answer.text) is not htmx
    assert 'id="link-form"' in answer.text
    assert "bf-tv is taken by “Smart TV 4K”." in answer.text
    assert 'value="Kept as typed"' in answer.text
    assert "Also kept</textarea>" in answer.text
    db.expire_all()
    assert link.title == "Newsletter"


def test_it_warns_of_the_slug_that_stops_working(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-mail")
    click(link, *(MORNING - timedelta(minutes=n) for n in range(3)))
    browser = sit_down("marketer")
    note = browser.get(f"/links/slug?link_id={link.id}&slug=bf-news&domain_id={link.domain_id}", htmx=True)
    assert "bf-news is free on aroeira.example." in note.text
    assert "bf-mail stops working when you save. It had 3 clicks today." in note.text
    assert "<html" not in note.text


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        ("", "Leave it empty to get a short random one."),
        ("nova", "nova is free on aroeira.example."),
        ("bf-tv", "bf-tv is taken by “Smart TV 4K”."),
        ("Bf-TV", "Bf-TV is taken by “Smart TV 4K”."),
        ("admin", "used by Rastro itself"),
        ("a b", "it can not have a space"),
    ],
)
def test_it_says_what_a_slug_would_be(sit_down: Sit, make_link: MakeLink, slug: str, words: str) -> None:
    link = make_link("bf-tv", title="Smart TV 4K")
    note = sit_down("marketer").get(
        "/links/slug", query_string={"slug": slug, "domain_id": link.domain_id}, htmx=True
    )
    assert note.status_code == 200
    assert words in note.text


def test_it_shows_both_versions_when_somebody_saved_meanwhile(
    sit_down: Sit, db: Session, make_link: MakeLink, clock: Clock
) -> None:
    link = make_link("bf-tv", title="Smart TV", notes="Old")
    mine = typed(link, title="My title", url="https://loja.example/mine")
    assert (
        sit_down("admin")
        .post(f"/links/{link.id}/edit", typed(link, title="Her title", notes="Hers"))
        .status_code
        == 303
    )
    browser = sit_down("marketer")
    answer = browser.post(f"/links/{link.id}/edit", dict(mine), htmx=True)
    assert answer.status_code == 422
    assert "Marina Costa saved this link at 12:00." in answer.text
    for words in (
        "Her title",
        "My title",
        "https://loja.example/mine",
        "You did not change it, so theirs stays.",
    ):
        assert words in answer.text
    assert 'name="version" type="hidden" value="1"' in answer.text
    assert 'name="over" value="2"' in answer.text
    db.expire_all()
    assert link.title == "Her title"
    again = browser.post(f"/links/{link.id}/edit", dict(mine))
    assert again.status_code == 422
    kept = browser.post(f"/links/{link.id}/edit", {**mine, "over": "2"})
    assert kept.status_code == 303
    db.expire_all()
    assert (link.title, link.url, link.notes, link.version) == (
        "My title",
        "https://loja.example/mine",
        "Hers",
        3,
    )


def test_it_compares_again_when_a_third_person_saved(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="One")
    mine = typed(link, title="Mine")
    other = sit_down("admin")
    assert other.post(f"/links/{link.id}/edit", typed(link, title="Two")).status_code == 303
    assert (
        other.post(f"/links/{link.id}/edit", {**typed(link, title="Three"), "version": "2"}).status_code
        == 303
    )
    answer = sit_down("marketer").post(f"/links/{link.id}/edit", {**mine, "over": "2"})
    assert answer.status_code == 422
    assert 'name="over" value="3"' in answer.text
    db.expire_all()
    assert link.title == "Three"


@pytest.mark.parametrize("version", ["", "x", "-1", "0", "99999999999999999999"])
def test_it_saves_nothing_over_a_version_that_nobody_saw(
    sit_down: Sit, db: Session, make_link: MakeLink, version: str
) -> None:
    link = make_link("bf-tv", title="One")
    answer = sit_down("marketer").post(f"/links/{link.id}/edit", typed(link, title="Two", version=version))
    assert answer.status_code == 422
    assert 'value="Two"' in answer.text
    db.expire_all()
    assert link.title == "One"


def test_it_asks_about_a_domain_that_exists(sit_down: Sit, make_link: MakeLink) -> None:
    make_link("bf-tv")
    note = sit_down("marketer").get("/links/slug?slug=x&domain_id=9999999999999999999999", htmx=True)
    assert "x is free on aroeira.example." in note.text


@pytest.mark.parametrize("role", ["viewer", "support"])
def test_it_refuses_who_may_not(sit_down: Sit, db: Session, make_link: MakeLink, role: str) -> None:
    link = make_link("bf-tv", title="One")
    browser = sit_down(role)
    assert browser.get(f"/links/{link.id}/edit").status_code == 403
    assert browser.post(f"/links/{link.id}/edit", typed(link, title="Two")).status_code == 403
    assert browser.get("/links/slug?slug=x").status_code == 403
    db.expire_all()
    assert link.title == "One"


@pytest.mark.parametrize("path", ["/links/7/edit", "/links/99999999999999999999/edit", "/links/x/edit"])
def test_it_knows_no_other_link(sit_down: Sit, domain: Domain, path: str) -> None:
    browser = sit_down("marketer")
    assert browser.get(path).status_code == 404
    assert browser.post(path, {"url": "https://loja.example/"}).status_code == 404


def test_it_refuses_a_form_without_its_token(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="One")
    answer = sit_down("marketer").post(f"/links/{link.id}/edit", typed(link, title="Two"), token=False)
    assert answer.status_code == 419
    assert "Two" in answer.text
    db.expire_all()
    assert link.title == "One"


def test_it_asks_to_sign_in(browser: Browser, make_link: MakeLink) -> None:
    link = make_link("bf-tv")
    assert browser.get(f"/links/{link.id}/edit").status_code == 303


def test_it_keeps_a_campaign_and_a_domain_beyond_what_it_lists(
    sit_down: Sit, db: Session, make_link: MakeLink
) -> None:
    db.add_all(Campaign(name=f"Campaign {number:03}") for number in range(MOST_CHOICES + 1))
    db.add_all(Domain(host=f"go{number:03}.example.com") for number in range(MOST_CHOICES + 1))
    db.commit()
    campaign = db.scalars(select(Campaign.id).order_by(Campaign.name.desc())).first()
    domain = db.scalars(select(Domain.id).order_by(Domain.host.desc())).first()
    link = make_link("bf-tv", campaign_id=campaign, domain_id=domain)
    browser = sit_down("marketer")
    page = browser.get(f"/links/{link.id}/edit").text
    chosen = dict(re.findall(r'<select[^>]* name="(\w+)".*?<option selected value="(\d+)"', page, re.DOTALL))
    assert chosen == {"domain_id": str(domain), "campaign_id": str(campaign)}
    fields = {"url": "https://loja.example/neu", "slug": "bf-tv", "version": "1", **chosen}
    assert browser.post(f"/links/{link.id}/edit", fields).status_code == 303
    db.refresh(link)
    assert (link.url, link.domain_id, link.campaign_id) == (fields["url"], domain, campaign)
