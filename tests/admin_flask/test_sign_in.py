"""Sign in and out."""

import dataclasses
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.models import Session as SessionRow
from core.db.models import User
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import PASSWORD, MakeApp

Person = Callable[..., User]
ADMIN = {"email": "admin@aroeira.example", "password": PASSWORD}


def test_it_signs_in_and_goes_on(browser: Browser, person: Person) -> None:
    person("admin")
    answer = browser.post("/login", {**ADMIN, "next": "/settings/domains?a=1"})
    assert (answer.status_code, answer.location) == (303, "/settings/domains?a=1")
    page = browser.follow(answer)
    assert page.status_code == 200
    assert "Marina Costa" in page.text


def test_it_takes_an_address_in_any_case_and_with_spaces(browser: Browser, person: Person) -> None:
    person("admin")
    answer = browser.post("/login", {**ADMIN, "email": "  Admin@Aroeira.example "})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "admin@aroeira.example", "password": "wrong"},
        {"email": "nobody@aroeira.example", "password": PASSWORD},
        {"email": "not an address", "password": "x" * 1000},
    ],
)
def test_it_says_the_same_for_a_wrong_address_and_a_wrong_password(
    browser: Browser, person: Person, fields: dict[str, str]
) -> None:
    person("admin")
    answer = browser.post("/login", fields)
    assert answer.status_code == 422
    assert "E-mail and password do not match" in answer.text
    assert 'value="' + fields["email"] in answer.text
    assert f'value="{fields["password"]}"' not in answer.text
    assert browser.cookie("rastro_sid") is None


@pytest.mark.parametrize(
    "fields", [{}, {"email": "a@b.example"}, {"password": "x"}, {"email": " ", "password": ""}]
)
def test_it_asks_for_what_is_missing(browser: Browser, fields: dict[str, str]) -> None:
    answer = browser.post("/login", fields)
    assert answer.status_code == 422
    assert "Type your" in answer.text


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_it_never_leads_elsewhere(browser: Browser, person: Person, path: str) -> None:
    person("admin")
    assert "evil" not in browser.get("/login", query_string={"next": path}).text
    assert browser.post("/login", {**ADMIN, "next": path}).location == "/"


def test_it_gives_a_new_session_each_time(browser: Browser, person: Person, db: Session) -> None:
    person("admin")
    before = browser.token()
    browser.post("/login", ADMIN)
    first = browser.cookie("rastro_sid")
    assert browser.token() != before
    browser.post("/login", ADMIN)
    assert browser.cookie("rastro_sid") != first
    assert first not in str(db.execute(select(SessionRow.token_hash)).all())


@pytest.mark.parametrize(("keep", "kept"), [({"keep": "y"}, True), ({}, False)])
def test_it_keeps_a_browser_signed_in_when_asked(
    browser: Browser, person: Person, db: Session, keep: dict[str, str], kept: bool
) -> None:
    person("admin")
    answer = browser.post("/login", {**ADMIN, **keep})
    cookie = next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith("rastro_sid="))
    assert ("Max-Age=1209600" in cookie) is kept
    assert "HttpOnly" in cookie
    assert db.scalars(select(SessionRow.is_kept)).one() is kept


def test_it_goes_on_when_signed_in_already(sit_down: Callable[..., Browser]) -> None:
    assert sit_down("viewer").get("/login?next=/account").location == "/account"


def test_it_signs_out(sit_down: Callable[..., Browser], db: Session) -> None:
    browser = sit_down("viewer")
    secret = browser.cookie("rastro_sid")
    answer = browser.post("/logout")
    assert answer.location == "/login"
    assert "You are signed out" in browser.follow(answer).text
    assert db.scalars(select(SessionRow)).all() == []
    browser.client.set_cookie("rastro_sid", secret or "", domain="localhost")
    assert browser.get("/account").status_code == 303


def test_it_signs_out_a_second_time_without_fuss(browser: Browser) -> None:
    assert browser.post("/logout").status_code == 303


def test_it_signs_nobody_out_by_an_address_alone(sit_down: Callable[..., Browser]) -> None:
    browser = sit_down("viewer")
    assert browser.get("/logout").status_code == 405
    assert browser.get("/account").status_code == 200


def test_it_signs_nobody_in_without_the_token(browser: Browser, person: Person) -> None:
    person("admin")
    answer = browser.post("/login", ADMIN, token=False)
    assert answer.status_code == 419
    assert "This page was open too long" in answer.text
    assert 'value="admin@aroeira.example"' in answer.text


@pytest.fixture
def strict(settings: Settings, app: Flask, make_app: MakeApp) -> Flask:
    """The manager with three tries a minute."""
    return make_app(dataclasses.replace(settings, login_rate=3))


def test_it_slows_down_who_guesses(strict: Flask, settings: Settings, person: Person) -> None:
    person("admin")
    browser = Browser(strict, settings.admin_url)
    for _ in range(3):
        assert browser.post("/login", {**ADMIN, "password": "wrong"}).status_code == 422
    answer = browser.post("/login", ADMIN)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert "Wait a minute" in answer.text
    assert 'value="admin@aroeira.example"' in answer.text


def test_it_slows_down_who_guesses_one_account_from_many_places(
    strict: Flask, settings: Settings, person: Person
) -> None:
    person("admin")
    for number in range(3):
        browser = Browser(strict, settings.admin_url)
        place = {"REMOTE_ADDR": f"203.0.113.{number}"}
        wrong = {**ADMIN, "password": "wrong"}
        assert browser.post("/login", wrong, environ_overrides=place).status_code == 422
    place = {"REMOTE_ADDR": "203.0.113.77"}
    assert (
        Browser(strict, settings.admin_url).post("/login", ADMIN, environ_overrides=place).status_code == 429
    )


def test_it_counts_no_sign_in_that_worked(strict: Flask, settings: Settings, person: Person) -> None:
    person("admin")
    browser = Browser(strict, settings.admin_url)
    for _ in range(6):
        assert browser.post("/login", ADMIN).status_code == 303


def test_it_still_counts_when_redis_is_away(settings: Settings, person: Person, make_app: MakeApp) -> None:
    person("admin")
    alone = dataclasses.replace(settings, login_rate=3, redis_url="redis://127.0.0.1:1/0")
    browser = Browser(make_app(alone), settings.admin_url)
    statuses = [browser.post("/login", {**ADMIN, "password": "wrong"}).status_code for _ in range(5)]
    assert statuses[0] == 422
    assert statuses[-1] == 429


def test_it_locks_nobody_out_of_a_browser_they_know(
    strict: Flask, settings: Settings, person: Person
) -> None:
    person("admin")
    own, elsewhere = Browser(strict, settings.admin_url), Browser(strict, settings.admin_url)
    assert own.post("/login", ADMIN).status_code == 303
    own.post("/logout")
    place = {"REMOTE_ADDR": "203.0.113.5"}
    statuses = [
        elsewhere.post("/login", {**ADMIN, "password": "wrong"}, environ_overrides=place).status_code
        for _ in range(4)
    ]
    assert statuses == [422, 422, 422, 429]
    assert own.post("/login", ADMIN).status_code == 303


def test_a_known_browser_has_no_more_tries_than_others(
    strict: Flask, settings: Settings, person: Person
) -> None:
    person("admin")
    own = Browser(strict, settings.admin_url)
    own.post("/login", ADMIN)
    own.post("/logout")
    statuses = [
        own.post(
            "/login", {**ADMIN, "password": "wrong"}, environ_overrides={"REMOTE_ADDR": f"203.0.113.{number}"}
        ).status_code
        for number in range(4)
    ]
    assert statuses == [422, 422, 422, 429]


def test_a_browser_is_known_for_its_own_account_alone(
    strict: Flask, settings: Settings, person: Person
) -> None:
    person("admin")
    person("viewer")
    other = Browser(strict, settings.admin_url)
    other.post("/login", {**ADMIN, "email": "viewer@aroeira.example"})
    for number in range(3):
        place = {"REMOTE_ADDR": f"203.0.113.{number}"}
        other.post("/login", {**ADMIN, "password": "wrong"}, environ_overrides=place)
    assert other.post("/login", ADMIN).status_code == 429


def test_it_takes_no_account_by_another_name(strict: Flask, settings: Settings, person: Person) -> None:
    person("admin")
    browser = Browser(strict, settings.admin_url)
    assert browser.post("/login", {**ADMIN, "email": "ad\x00min@aroeira.example"}).status_code == 422


def test_it_counts_the_addresses_of_one_visitor_together(strict: Flask, settings: Settings) -> None:
    statuses = []
    for number in range(4):
        fields = {"email": f"{number}@aroeira.example", "password": "wrong"}
        place = {"REMOTE_ADDR": f"2001:db8:1:2::{number:x}"}
        browser = Browser(strict, settings.admin_url)
        statuses.append(browser.post("/login", fields, environ_overrides=place).status_code)
    assert statuses == [422, 422, 422, 429]


def test_it_ends_the_session_of_before(browser: Browser, person: Person, db: Session) -> None:
    person("admin")
    for _ in range(2):
        assert browser.post("/login", ADMIN).status_code == 303
    assert len(db.scalars(select(SessionRow.id)).all()) == 1
