"""Pause, resume, archive, restore, delete; and the way back from each."""

import re
from collections.abc import Callable

import pytest
import redis
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot
from core.db.models import Domain, Link
from core.services import links as service
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.links.conftest import MakeLink

Sit = Callable[..., Browser]

ACTIONS = [
    ("live", "pause", "paused", "is paused."),
    ("paused", "resume", "live", "is live."),
    ("live", "archive", "archived", "is archived."),
    ("archived", "restore", "live", "is live."),
    ("archived", "delete", "deleted", "is deleted."),
]


@pytest.fixture
def link_in(db: Session, make_link: MakeLink) -> Callable[[str], Link]:
    """A link titled TV in a state."""

    def make(state: str) -> Link:
        link = make_link("bf-tv", title="TV")
        if state == "paused":
            service.pause_link(db, link_id=link.id, actor=COMMAND, now=MORNING)
        elif state != "live":
            service.archive_link(db, link_id=link.id, actor=COMMAND, now=MORNING)
        return link

    return make


@pytest.mark.parametrize(("before", "action", "after", "words"), ACTIONS)
def test_it_does_what_the_button_says(
    sit_down: Sit,
    db: Session,
    link_in: Callable[[str], Link],
    valkey: "redis.Redis",
    before: str,
    action: str,
    after: str,
    words: str,
) -> None:
    link = link_in(before)
    browser = sit_down("marketer")
    answer = browser.post(
        f"/links/{link.id}/{action}", headers={"Referer": "http://localhost:8000/links?q=tv"}
    )
    assert (answer.status_code, answer.location) == (303, "/links?q=tv")
    assert f"“TV” {words}" in browser.follow(answer).text
    db.expire_all()
    assert link.state == after
    snapshot = link_snapshot.decode(valkey.get(keys.link(link.domain_id, "bf-tv")))  # type: ignore[arg-type]
    assert snapshot.state == {"live": "live", "paused": "paused"}.get(after, "gone")


@pytest.mark.parametrize(("before", "action", "after", "words"), ACTIONS)
def test_it_draws_the_row_anew_for_htmx(
    sit_down: Sit,
    db: Session,
    link_in: Callable[[str], Link],
    before: str,
    action: str,
    after: str,
    words: str,
) -> None:
    link = link_in(before)
    answer = sit_down("marketer").post(
        f"/links/{link.id}/{action}", htmx=True, headers={"HX-Target": f"link-{link.id}"}
    )
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith(f'<tr id="link-{link.id}"')
    assert f"“TV” {words}" in answer.text
    assert re.search(r"<template>\s*<div class=\"rs-toasts\"", answer.text)
    db.expire_all()
    assert link.state == after


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ("live", "pause"),
        ("paused", "resume"),
        ("live", "archive"),
        ("paused", "archive"),
        ("archived", "delete"),
    ],
)
def test_it_can_be_undone(
    sit_down: Sit, db: Session, link_in: Callable[[str], Link], before: str, action: str
) -> None:
    link = link_in(before)
    browser = sit_down("marketer")
    listed = {"Referer": "http://localhost:8000/links?view=archive"}
    page = browser.follow(browser.post(f"/links/{link.id}/{action}", headers=listed)).text
    toast = page[page.index("data-toast") :]
    way = re.search(r'<form method="post" action="([^"]+)">', toast)
    state = re.search(r'name="state" value="([^"]+)"', toast)
    assert way
    assert browser.post(way[1], {"state": state[1]} if state else {}).status_code == 303
    db.expire_all()
    assert link.state == before


def test_it_leads_to_the_list_when_the_page_was_deleted(
    sit_down: Sit, link_in: Callable[[str], Link]
) -> None:
    link = link_in("archived")
    answer = sit_down("marketer").post(
        f"/links/{link.id}/delete", headers={"Referer": f"http://localhost:8000/links/{link.id}"}
    )
    assert answer.location == "/links"


def test_it_goes_back_by_htmx_where_no_row_asked(sit_down: Sit, link_in: Callable[[str], Link]) -> None:
    link = link_in("live")
    here = f"http://localhost:8000/links/{link.id}?period=28d"
    answer = sit_down("marketer").post(f"/links/{link.id}/pause", htmx=True, headers={"HX-Current-URL": here})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, f"/links/{link.id}?period=28d")


def test_it_changes_nothing_the_second_time(
    sit_down: Sit, db: Session, link_in: Callable[[str], Link]
) -> None:
    link = link_in("live")
    browser = sit_down("marketer")
    for _ in range(2):
        assert browser.post(f"/links/{link.id}/pause").status_code == 303
    db.expire_all()
    assert (link.state, link.version) == ("paused", 2)


@pytest.mark.parametrize("action", ["pause", "resume", "archive", "restore", "delete"])
class TestEveryAction:
    """What all of them have in common."""

    def test_it_answers_post_alone(self, sit_down: Sit, link_in: Callable[[str], Link], action: str) -> None:
        assert sit_down("marketer").get(f"/links/{link_in('live').id}/{action}").status_code == 405

    @pytest.mark.parametrize("role", ["viewer", "support"])
    def test_it_refuses_who_may_not(
        self, sit_down: Sit, db: Session, link_in: Callable[[str], Link], action: str, role: str
    ) -> None:
        link = link_in("live")
        assert sit_down(role).post(f"/links/{link.id}/{action}").status_code == 403
        db.expire_all()
        assert (link.state, link.version) == ("live", 1)

    def test_it_knows_no_other_link(self, sit_down: Sit, domain: Domain, action: str) -> None:
        browser = sit_down("marketer")
        assert browser.post(f"/links/404/{action}").status_code == 404
        assert browser.post(f"/links/99999999999999999999/{action}").status_code == 404

    def test_it_wants_the_token(
        self, sit_down: Sit, db: Session, link_in: Callable[[str], Link], action: str
    ) -> None:
        link = link_in("live")
        assert sit_down("marketer").post(f"/links/{link.id}/{action}", token=False).status_code == 419
        db.expire_all()
        assert link.version == 1

    def test_it_does_nothing_for_who_is_signed_out(
        self, browser: Browser, db: Session, link_in: Callable[[str], Link], action: str
    ) -> None:
        link = link_in("live")
        assert browser.post(f"/links/{link.id}/{action}").status_code != 303
        db.expire_all()
        assert (link.state, link.version) == ("live", 1)


def test_it_refuses_a_state_that_is_none(sit_down: Sit, link_in: Callable[[str], Link]) -> None:
    link = link_in("archived")
    assert sit_down("marketer").post(f"/links/{link.id}/restore", {"state": "deleted"}).status_code == 400
