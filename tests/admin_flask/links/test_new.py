"""Make a link."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import escape

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts import keys
from core.db.models import Campaign, Domain, Link
from core.services import domains
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.links.conftest import MakeLink

Sit = Callable[..., Browser]


def test_it_makes_a_link_and_shows_it(
    sit_down: Sit, db: Session, domain: Domain, valkey: "redis.Redis"
) -> None:
    browser = sit_down("marketer")
    answer = browser.post(
        "/links/new",
        {
            "url": " https://loja.example/tv?cor=preta#fotos ",
            "domain_id": str(domain.id),
            "slug": "bf-tv",
            "title": "Smart TV 4K",
            "tags": "Whats, tv,",
            "notes": "For the  week",
        },
    )
    page = browser.follow(answer)
    link = db.scalars(select(Link)).one()
    assert answer.location == f"/links/{link.id}"
    assert (link.url, link.slug, link.title) == (
        "https://loja.example/tv?cor=preta#fotos",
        "bf-tv",
        "Smart TV 4K",
    )
    assert [tag.name for tag in link.tags] == ["tv", "whats"]
    assert link.owner_id is not None
    assert "The link is live." in page.text
    assert 'data-copy="https://aroeira.example/bf-tv"' in page.text
    assert "No clicks yet" in page.text
    assert valkey.exists(keys.link(domain.id, "bf-tv"))


def test_it_needs_no_more_than_an_address(sit_down: Sit, db: Session, domain: Domain) -> None:
    answer = sit_down("marketer").post("/links/new", {"url": "https://loja.example/"})
    assert answer.status_code == 303
    assert re.fullmatch(r"[a-z2-9]{7}", db.scalars(select(Link.slug)).one())


def test_it_goes_on_by_htmx(sit_down: Sit, db: Session, domain: Domain) -> None:
    answer = sit_down("marketer").post("/links/new", {"url": "https://loja.example/"}, htmx=True)
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"] == f"/links/{db.scalars(select(Link.id)).one()}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": ""}, "Type the address that the link leads to."),
        ({"url": "ftp://loja.example/"}, "http and https addresses only"),
        ({"url": "javascript:alert(1)"}, "http and https addresses only"),
        ({"url": "https://ana@loja.example/"}, "user name or password"),
        ({"url": "https://aroeira.example/x"}, "in a loop"),
        ({"url": "https://loja.example/" + "a" * 8192}, "longer than 8,192 bytes"),
        ({"url": "https://loja.example/a b"}, "Write a space as %20"),
        ({"url": "loja.example/x"}, "Did you mean https://loja.example/x"),
        ({"slug": "a/b"}, "letters, digits, - and _ only"),
        ({"slug": "robots.txt"}, "used by Rastro itself"),
        ({"slug": "BF-TV"}, "BF-TV is taken by “Smart TV 4K”."),
        ({"title": "x" * 201}, "At most 200 characters"),
        ({"tags": "a" * 60}, "At most 50 characters"),
        ({"notes": "x" * 4001}, "At most 4,000 characters"),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_it_says_what_is_wrong_and_keeps_what_was_typed(
    sit_down: Sit, db: Session, make_link: MakeLink, fields: dict[str, str], words: str, htmx: bool
) -> None:
    make_link("bf-tv", title="Smart TV 4K")
    typed = {"url": "https://loja.example/x", "slug": "minha", "title": "Meu título", **fields}
    answer = sit_down("marketer").post("/links/new", dict(typed), htmx=htmx)
    assert answer.status_code == 422
    assert ("<html" in answer.text) is not htmx
    assert words in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    for value in typed.values():
        assert escape(value) in answer.text
    assert len(db.scalars(select(Link)).all()) == 1


def test_it_shows_both_mistakes_at_once(sit_down: Sit, make_link: MakeLink) -> None:
    make_link("bf-tv", title="Smart TV 4K")
    answer = sit_down("marketer").post("/links/new", {"url": "loja.example", "slug": "bf-tv"})
    assert answer.text.count('aria-invalid="true"') == 2


def test_it_offers_the_way_out_of_a_taken_slug(sit_down: Sit, make_link: MakeLink) -> None:
    owner = make_link("bf-tv", title="Smart TV 4K")
    browser = sit_down("marketer")
    typed = {"url": "https://loja.example/x", "slug": "bf-tv", "title": "Mine"}
    answer = browser.post("/links/new", dict(typed))
    assert 'name="use_slug" value="bf-tv-2"' in answer.text
    assert f'href="/links/{owner.id}"' in answer.text
    filled = browser.post("/links/new", {**typed, "use_slug": "bf-tv-2"})
    assert filled.status_code == 200
    assert 'value="bf-tv-2"' in filled.text
    assert 'value="Mine"' in filled.text


def test_it_draws_another_slug_without_a_script(sit_down: Sit, db: Session, domain: Domain) -> None:
    answer = sit_down("marketer").post(
        "/links/new", {"url": "https://loja.example/x", "slug": "old", "do": "new-slug"}
    )
    assert answer.status_code == 200
    assert re.search(r'name="slug"[^>]* value="[a-z2-9]{7}"', answer.text)
    assert 'value="https://loja.example/x"' in answer.text
    assert db.scalars(select(Link)).all() == []


def test_it_takes_the_whole_address_by_one_press(sit_down: Sit, domain: Domain) -> None:
    answer = sit_down("marketer").post(
        "/links/new", {"url": "loja.example/x", "use_url": "https://loja.example/x"}
    )
    assert answer.status_code == 200
    assert 'value="https://loja.example/x"' in answer.text


def test_it_lets_choose_domain_and_campaign(sit_down: Sit, db: Session, domain: Domain) -> None:
    other = domains.add_domain(db, host="promo.example", actor=COMMAND, now=MORNING + timedelta(days=1))
    campaign = Campaign(name="Black Friday 2026")
    db.add(campaign)
    db.commit()
    browser = sit_down("marketer")
    page = browser.get("/links/new").text
    assert "promo.example" in page
    assert "Black Friday 2026" in page
    fields = {"url": "https://loja.example/", "domain_id": str(other.id), "campaign_id": str(campaign.id)}
    assert browser.post("/links/new", dict(fields)).status_code == 303
    link = db.scalars(select(Link)).one()
    assert (link.domain_id, link.campaign_id) == (other.id, campaign.id)


def test_it_asks_for_a_domain_first(sit_down: Sit) -> None:
    page = sit_down("admin").get("/links/new")
    assert "Add a domain first." in page.text
    assert "/settings/domains" in page.text


@pytest.mark.parametrize("role", ["viewer", "support"])
def test_it_refuses_who_may_not(sit_down: Sit, db: Session, domain: Domain, role: str) -> None:
    browser = sit_down(role)
    assert browser.get("/links/new").status_code == 403
    assert browser.post("/links/new", {"url": "https://loja.example/"}).status_code == 403
    assert db.scalars(select(Link)).all() == []


def test_it_refuses_a_form_without_its_token(sit_down: Sit, db: Session, domain: Domain) -> None:
    answer = sit_down("marketer").post("/links/new", {"url": "https://loja.example/"}, token=False)
    assert answer.status_code == 419
    assert "What you typed is kept." in answer.text
    assert db.scalars(select(Link)).all() == []


def test_it_keeps_what_was_typed_through_a_sign_in(
    sit_down: Sit, browser: Browser, db: Session, domain: Domain
) -> None:
    answer = browser.post("/links/new", {"url": "https://loja.example/kept", "slug": "kept"}, token=False)
    assert answer.status_code in (401, 419)
    assert "https://loja.example/kept" in answer.text
    assert db.scalars(select(Link)).all() == []


@pytest.mark.parametrize("number", ["9" * 20, "7", "x", ""])
def test_it_knows_no_other_domain(sit_down: Sit, db: Session, domain: Domain, number: str) -> None:
    fields = {"url": "https://loja.example/tv", "slug": "tv", "domain_id": number}
    assert sit_down("marketer").post("/links/new", fields).status_code == 422
    assert db.scalars(select(Link)).all() == []
