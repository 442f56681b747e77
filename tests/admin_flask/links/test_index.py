"""The list of links."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from core.db.models import Campaign, Domain, User
from core.services import links as service
from core.services.actor import COMMAND, Actor
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.links.conftest import Click, MakeLink

Sit = Callable[..., Browser]


def titles(text: str) -> list[str]:
    """Titles of the rows, in order."""
    return re.findall(r'<a class="a trunc" href="[^"]+">([^<]+)</a>', text)


def test_it_offers_to_make_the_first_link(sit_down: Sit, domain: Domain) -> None:
    page = sit_down("marketer").get("/links")
    assert "Make the first link" in page.text
    slug = re.search(r'name="slug" value="([a-z2-9]{7})"', page.text)
    assert slug
    assert f"aroeira.example/{slug[1]}" in page.text


def test_it_offers_no_field_to_who_may_not_make_links(sit_down: Sit, domain: Domain) -> None:
    page = sit_down("viewer").get("/links")
    assert "Make the first link" in page.text
    assert 'name="url"' not in page.text


def test_it_lists_links_with_their_week(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv", title="Smart TV 4K", url="https://loja.example/tv?cor=preta")
    click(link, *(MORNING - timedelta(minutes=n) for n in range(12)))
    click(link, MORNING - timedelta(days=9), MORNING - timedelta(days=8))
    page = sit_down("viewer").get("/links")
    assert titles(page.text) == ["Smart TV 4K"]
    assert "aroeira.example/<b>bf-tv</b>" in page.text
    assert "loja.example/tv?cor=preta" in page.text
    assert '<td class="num"><b>12</b>' in page.text
    assert 'data-copy="https://aroeira.example/bf-tv"' in page.text
    assert "1 to 1 of 1" in page.text
    assert re.search(r'<polyline points="[\d., ]+"', page.text)


def test_it_names_a_link_without_title_by_where_it_leads(sit_down: Sit, make_link: MakeLink) -> None:
    make_link(url="https://loja.example/natal?utm_source=radio")
    assert titles(sit_down("viewer").get("/links").text) == ["loja.example/natal"]


def test_it_gives_htmx_the_rows_alone(sit_down: Sit, make_link: MakeLink) -> None:
    make_link("bf-tv", title="Smart TV 4K")
    browser = sit_down("viewer")
    part = browser.get("/links?q=smart", htmx=True)
    assert "<html" not in part.text
    assert 'id="rows"' in part.text
    assert titles(part.text) == ["Smart TV 4K"]
    assert part.headers["Vary"].count("HX-Request") == 1
    assert titles(browser.get("/links?q=smart").text) == ["Smart TV 4K"]


def test_it_leaves_the_field_alone_that_is_being_typed_in(sit_down: Sit, make_link: MakeLink) -> None:
    make_link("bf-tv")
    browser = sit_down("viewer")
    typed = browser.get("/links?q=x", htmx=True, headers={"HX-Trigger": "find"})
    assert 'id="q"' not in typed.text
    cleared = browser.get("/links", htmx=True)
    assert re.search(r'id="q" name="q" value="" +hx-swap-oob', cleared.text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=smart+tv", ["Smart TV 4K"]),
        ("q=loja.example/insta", ["Instagram"]),
        ("q=https://aroeira.example/bf-insta", ["Instagram"]),
        ("state=paused", ["Instagram"]),
        ("tag=whats", ["Smart TV 4K"]),
        ("campaign=1", ["Smart TV 4K"]),
        ("view=archive", ["Warm-up"]),
        ("view=mine", []),
        ("sort=title", ["Instagram", "Smart TV 4K"]),
        ("sort=title&order=down", ["Smart TV 4K", "Instagram"]),
        ("sort=created", ["Instagram", "Smart TV 4K"]),
        ("sort=created&order=up", ["Smart TV 4K", "Instagram"]),
        ("sort=clicks", ["Smart TV 4K", "Instagram"]),
        (
            "sort=nonsense&page=x&state=odd&domain=--&campaign=99999999999999999999",
            ["Instagram", "Smart TV 4K"],
        ),
        ("page=9", ["Instagram", "Smart TV 4K"]),
    ],
)
def test_it_finds_by_what_stands_in_the_address(
    sit_down: Sit, db: Session, make_link: MakeLink, click: Click, query: str, found: list[str]
) -> None:
    campaign = Campaign(name="Black Friday 2026")
    db.add(campaign)
    db.flush()
    tv = make_link("bf-tv", title="Smart TV 4K", tags=["whats"], campaign_id=campaign.id)
    insta = make_link(
        "bf-insta", title="Instagram", url="https://loja.example/insta", at=MORNING + timedelta(hours=1)
    )
    gone = make_link("aquece", title="Warm-up")
    service.pause_link(db, link_id=insta.id, actor=COMMAND, now=MORNING)
    service.archive_link(db, link_id=gone.id, actor=COMMAND, now=MORNING)
    click(tv, MORNING)
    assert titles(sit_down("viewer").get(f"/links?{query}").text) == found


def test_it_shows_mine(sit_down: Sit, person: Callable[..., User], make_link: MakeLink) -> None:
    bob = person("marketer")
    make_link("a", title="Of Bob", actor=Actor(kind="user", id=bob.id))
    make_link("b", title="Of the house")
    page = sit_down(user=bob).get("/links?view=mine")
    assert titles(page.text) == ["Of Bob"]
    assert re.search(r"All <span class=\"rs-count\">2<", page.text)
    assert re.search(r"Mine <span class=\"rs-count\">1<", page.text)


def test_it_names_every_filter_that_finds_nothing(sit_down: Sit, make_link: MakeLink) -> None:
    make_link("bf-tv", tags=["tv"])
    page = sit_down("viewer").get("/links?q=zzz&state=paused&tag=tv")
    assert "No links match. Remove a filter:" in page.text
    for way_out in (
        "/links?state=paused&amp;tag=tv",
        "/links?q=zzz&amp;tag=tv",
        "/links?q=zzz&amp;state=paused",
    ):
        assert f'href="{way_out}"' in page.text


def test_it_pages(sit_down: Sit, make_link: MakeLink) -> None:
    for number in range(53):
        make_link(f"l{number:02}", title=f"Link {number:02}", at=MORNING + timedelta(seconds=number))
    browser = sit_down("viewer")
    first = browser.get("/links?q=link")
    assert "1 to 50 of 53" in first.text
    assert 'href="/links?q=link&amp;page=2"' in first.text
    second = browser.get("/links?q=link&page=2")
    assert titles(second.text) == ["Link 02", "Link 01", "Link 00"]


def test_it_escapes_what_people_typed(sit_down: Sit, make_link: MakeLink) -> None:
    make_link("x", title="<script>alert(1)</script>", url="https://loja.example/?a=<b>%22")
    page = sit_down("viewer").get('/links?q="><script>')
    assert "<script>alert" not in page.text
    assert '"><script>' not in page.text


def test_it_offers_only_what_a_role_may_do(sit_down: Sit, make_link: MakeLink) -> None:
    link = make_link("bf-tv")
    seen = sit_down("viewer").get("/links").text
    assert f"/links/{link.id}/pause" not in seen
    assert f"/links/{link.id}/edit" not in seen
    made = sit_down("marketer").get("/links").text
    assert f"/links/{link.id}/pause" in made
    assert f"/links/{link.id}/edit" in made


def test_it_asks_to_sign_in(browser: Browser) -> None:
    answer = browser.get("/links?q=tv")
    assert answer.status_code == 303
    assert "/login?next=" in answer.location


@pytest.mark.parametrize("query", ["tag=%00", "q=%00", "endpoint=x&_scheme=javascript&_external=1"])
def test_it_stands_any_address(sit_down: Sit, make_link: MakeLink, query: str) -> None:
    make_link("bf-tv")
    page = sit_down("marketer").get(f"/links?{query}")
    assert page.status_code == 200
    assert 'href="javascript' not in page.text
