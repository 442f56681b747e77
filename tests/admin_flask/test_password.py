"""A new password by mail."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event

from admin_flask.held import db as database
from core.config import Settings
from core.db.models import User
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import PASSWORD, Box, Clock, MakeApp

NEW = "four other short words"
Person = Callable[..., User]


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that were sent meanwhile."""
    seen: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", see)
    yield seen
    event.remove(engine, "before_cursor_execute", see)


def link_in(box: Box) -> str:
    """The path of the link in the last mail."""
    found = re.search(r"https?://[^/\s]+(/reset/\S+)", box.mails[-1]["text"])
    assert found
    return found[1]


def test_it_mails_a_link_and_takes_a_new_password(
    browser: Browser, sit_down: Callable[..., Browser], box: Box
) -> None:
    elsewhere = sit_down("viewer")
    page = browser.post("/forgot", {"email": " Viewer@aroeira.example"})
    assert page.status_code == 200
    assert "Look at your mail" in page.text
    assert [mail["to"] for mail in box.mails] == ["viewer@aroeira.example"]
    path = link_in(box)
    assert browser.get(path).status_code == 200
    answer = browser.post(path, {"password": NEW})
    assert answer.location == "/login"
    assert "Your new password is set" in browser.follow(answer).text
    assert elsewhere.get("/account").status_code == 303
    assert (
        browser.post("/login", {"email": "viewer@aroeira.example", "password": PASSWORD}).status_code == 422
    )
    assert browser.post("/login", {"email": "viewer@aroeira.example", "password": NEW}).status_code == 303


def test_it_leads_to_the_address_of_the_settings_alone(browser: Browser, person: Person, box: Box) -> None:
    person("viewer")
    browser.post("/forgot", {"email": "viewer@aroeira.example"}, headers={"X-Forwarded-Host": "evil.example"})
    assert "evil" not in box.mails[0]["text"]
    assert browser.base_url + "/reset/" in box.mails[0]["text"]


def test_it_does_not_tell_who_has_an_account(browser: Browser, box: Box) -> None:
    page = browser.post("/forgot", {"email": "nobody@aroeira.example"})
    assert page.status_code == 200
    assert "Look at your mail" in page.text
    assert box.mails == []


@pytest.mark.parametrize("email", ["", "  "])
def test_it_asks_for_an_address(browser: Browser, email: str) -> None:
    page = browser.post("/forgot", {"email": email})
    assert page.status_code == 422
    assert "Type your e-mail address" in page.text


def test_it_takes_a_link_once(browser: Browser, person: Person, box: Box) -> None:
    person("viewer")
    browser.post("/forgot", {"email": "viewer@aroeira.example"})
    path = link_in(box)
    assert browser.post(path, {"password": NEW}).status_code == 303
    again = browser.post(path, {"password": NEW})
    assert again.status_code == 410
    assert "This link no longer works" in again.text


def test_it_takes_a_link_for_an_hour(browser: Browser, person: Person, box: Box, clock: Clock) -> None:
    person("viewer")
    browser.post("/forgot", {"email": "viewer@aroeira.example"})
    clock.pass_by(timedelta(hours=1, seconds=1))
    assert browser.post(link_in(box), {"password": NEW}).status_code == 410


def test_it_knows_no_link_that_was_never_sent(browser: Browser) -> None:
    assert browser.post("/reset/made-up", {"password": NEW}).status_code == 410


@pytest.mark.parametrize("password", ["", "short", "password1"])
def test_a_weak_password_leaves_the_link_usable(
    browser: Browser, person: Person, box: Box, password: str
) -> None:
    person("viewer")
    browser.post("/forgot", {"email": "viewer@aroeira.example"})
    path = link_in(box)
    weak = browser.post(path, {"password": password})
    assert weak.status_code == 422
    assert 'aria-invalid="true"' in weak.text
    assert browser.post(path, {"password": NEW}).status_code == 303


@pytest.mark.parametrize("path", ["/forgot", "/reset/made-up"])
def test_it_does_nothing_without_the_token(browser: Browser, person: Person, box: Box, path: str) -> None:
    person("viewer")
    answer = browser.post(path, {"email": "viewer@aroeira.example", "password": NEW}, token=False)
    assert answer.status_code == 419
    assert NEW not in answer.text
    assert box.mails == []


def test_its_time_does_not_tell_who_has_an_account(
    settings: Settings, make_app: MakeApp, person: Person, box: Box
) -> None:
    person("viewer")
    waiting: list[Callable[[], None]] = []
    browser = Browser(make_app(settings, later=waiting.append), settings.admin_url)
    pages, statements = [], []
    for email in ("viewer@aroeira.example", "nobody@aroeira.example"):
        token = browser.token()
        with browser.client.application.app_context(), counted(database.engine) as seen:
            page = browser.post("/forgot", {"email": email, "csrf_token": token}, token=False)
        pages.append(page.text.replace(email, ""))
        statements.append(list(seen))
    assert pages[0] == pages[1]
    assert statements[0] == statements[1]
    for run in waiting:
        run()
    assert [mail["to"] for mail in box.mails] == ["viewer@aroeira.example"]
