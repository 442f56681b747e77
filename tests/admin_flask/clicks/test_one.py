"""The page of one click: why it counted or not, what came of it, and why one is not here."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.db.conversions import SourceTest
from core.services.links import VariantFields
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.conversions.test_list import plain
from tests.admin_flask.links.conftest import Click, MakeLink
from tests.core.db.sales import add_conversion, add_postback, add_source, new_click_id

Sit = Callable[..., Browser]


def ids(db: Session) -> list[uuid.UUID]:
    """Stored clicks in the order of their time."""
    db.rollback()
    return list(db.scalars(text("select id from clicks order by id")))


def test_it_says_why_a_click_counted(sit_down: Sit, db: Session, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv", title="Smart TV 4K")
    click(
        link,
        MORNING - timedelta(minutes=5),
        os="Android",
        browser="Chrome",
        referrer_host="wa.me",
        ip="177.84.112.0",
        utm_source="vip",
        visitor=7,
    )
    (click_id,) = ids(db)
    page = sit_down("support").get(f"/clicks/{click_id}").text
    words = plain(page)
    assert "Counted as a unique click. Nothing in it looks like a robot." in words
    assert "Asked for Smart TV 4K" in words
    assert "Judged: a person No sign of a robot was found." in words
    assert "the first click of this visitor on this link that day" in words
    assert "177.84.112.0/24 shortened" in words
    assert "Mobile, Android, Chrome" in words and "source vip" in words
    assert f"/links/{link.id}" in page


def test_it_tells_an_earlier_click_of_the_same_visitor(
    sit_down: Sit, db: Session, make_link: MakeLink, click: Click
) -> None:
    link = make_link("bf-tv")
    click(link, MORNING - timedelta(minutes=5), visitor=7)
    click(link, MORNING, visitor=7)
    first, second = ids(db)
    page = sit_down("support").get(f"/clicks/{second}").text
    assert "Counted, not as unique." in plain(page)
    assert f'this visitor came earlier that day: <a href="/clicks/{first}">' in page


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"bot_reason": "agent", "door_bot": "agent"}, "Kept, not counted. A robot, by its own name."),
        (
            {"bot_reason": "network"},
            "it came from a network of robots; at the door it was taken for a person",
        ),
        ({"outcome": "paused"}, "Kept, not counted. The link was paused."),
        ({"visitor": 0}, "its visitor could not be told from others"),
    ],
)
def test_it_says_why_a_click_was_kept(
    sit_down: Sit, db: Session, make_link: MakeLink, click: Click, facts: dict[str, object], said: str
) -> None:
    click(make_link("bf-tv"), MORNING, **facts)
    assert said in plain(sit_down("support").get(f"/clicks/{ids(db)[0]}").text)


def test_it_shows_what_came_of_it(sit_down: Sit, db: Session, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING - timedelta(minutes=5))
    (click_id,) = ids(db)
    row = add_conversion(
        db, "2199", "BRL", click_id=click_id, link_id=link.id, transaction_id="AR-1", at=MORNING
    )
    add_postback(
        db,
        click_id=click_id,
        conversion_id=row.id,
        source_id=row.source_id,
        at=MORNING - timedelta(seconds=1),
    )
    page = sit_down("support").get(f"/clicks/{click_id}").text
    words = plain(page)
    assert "Counted as a unique click, and it led to a conversion." in words
    assert (
        "Postback +4 min Loja: conversion Conversion R$2,199.00 +5 min Loja, AR-1, approved, see it" in words
    )
    assert f"/conversions/{row.id}" in page


def test_rules_and_variants_are_named(sit_down: Sit, db: Session, make_link: MakeLink, click: Click) -> None:
    split = [
        {"name": "Old page", "url": "https://loja.example/a", "weight": 1},
        {"name": "New page", "url": "https://loja.example/b", "weight": 1},
    ]
    link = make_link("bf-tv", split=tuple(VariantFields(**fields) for fields in split))
    click(link, MORNING, variant=str(link.split[1].id))
    assert "Split New page" in plain(sit_down("support").get(f"/clicks/{ids(db)[0]}").text)


def at(moment: object) -> uuid.UUID:
    return new_click_id(moment)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("click_id", "said"),
    [
        (at(MORNING - timedelta(seconds=30)), "Not here yet."),
        (at(MORNING - timedelta(days=2)), "There is no such click. It would be from 25 Nov"),
        (at(MORNING + timedelta(days=3)), "Its id names a time that is still to come"),
        (uuid.UUID("f81d4fae-7dec-41d0-a765-00a0c91e6bf6"), "This is no click id of Rastro."),
        (uuid.UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"), "Its id names a time that is still to come"),
        (uuid.UUID(int=0), "This is no click id of Rastro."),
    ],
)
def test_it_says_why_one_is_not_here(sit_down: Sit, click_id: uuid.UUID, said: str) -> None:
    answer = sit_down("support").get(f"/clicks/{click_id}")
    assert answer.status_code == 404
    assert said in plain(answer.text)


def test_one_that_is_not_kept_any_more_says_so(sit_down: Sit, db: Session) -> None:
    db.execute(text("insert into click_retention (kept_from) values ('2026-11-01')"))
    db.commit()
    assert "Not here any more." in sit_down("support").get(f"/clicks/{at(MORNING - timedelta(days=40))}").text


def test_a_live_test_is_told_from_clicks(sit_down: Sit, db: Session) -> None:
    click_id = at(MORNING)
    db.add(SourceTest(click_id=click_id, source_id=add_source(db).id))
    db.commit()
    assert "This id belongs to a live test." in sit_down("support").get(f"/clicks/{click_id}").text


def test_a_click_that_is_not_here_still_shows_who_names_it(sit_down: Sit, db: Session) -> None:
    click_id = at(MORNING - timedelta(days=2))
    add_postback(db, verdict="no_click", click_id=click_id)
    answer = sit_down("support").get(f"/clicks/{click_id}")
    assert answer.status_code == 200
    assert "unknown sender: no click found" in plain(answer.text)


def test_a_pasted_id_leads_to_its_page(sit_down: Sit) -> None:
    browser, click_id = sit_down("support"), at(MORNING)
    for pasted in (str(click_id), f" {{{str(click_id).upper()}}} ", click_id.hex):
        assert browser.get("/clicks", query_string={"id": pasted}).location == f"/clicks/{click_id}"
    wrong = browser.get("/clicks", query_string={"id": "<bf-tv>"})
    assert wrong.status_code == 422
    assert "That is no click id." in wrong.text and "&lt;bf-tv&gt;" in wrong.text


def test_it_lists_the_last_clicks(sit_down: Sit, db: Session, make_link: MakeLink, click: Click) -> None:
    click(make_link("bf-tv"), MORNING - timedelta(minutes=1))
    click(make_link("bf-b"), MORNING, bot_reason="agent")
    page = sit_down("marketer").get("/clicks").text
    first, second = ids(db)
    assert page.index(str(second)) < page.index(str(first))
    assert "12:00 loja.example/ofertas Kept a robot, by its own name" in plain(page)


def test_links_lead_to_their_clicks(sit_down: Sit, db: Session, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    assert f"/clicks/{ids(db)[0]}" in sit_down("support").get(f"/links/{link.id}").text


def test_a_viewer_may_not(sit_down: Sit) -> None:
    viewer = sit_down("viewer")
    assert viewer.get("/clicks").status_code == 403
    assert viewer.get(f"/clicks/{at(MORNING)}").status_code == 403
