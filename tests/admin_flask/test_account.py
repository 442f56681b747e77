"""One's own account: name, zone, password, browsers, theme."""

import dataclasses
from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from admin_flask.account.agents import browser_name
from core.config import Settings
from core.db.models import Session as SessionRow
from core.db.models import User
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import PASSWORD, MakeApp

Sit = Callable[..., Browser]
NEW = "four other short words"


def test_it_changes_name_and_zone(sit_down: Sit, db: Session) -> None:
    browser = sit_down("viewer")
    answer = browser.post("/account", {"name": "  Marina C. ", "time_zone": "America/Manaus"})
    assert "Saved." in browser.follow(answer).text
    row = db.scalars(select(User)).one()
    assert (row.name, row.time_zone, row.role) == ("Marina C.", "America/Manaus", "viewer")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": " ", "time_zone": ""}, "Type your name."),
        ({"name": "x" * 101, "time_zone": ""}, "at most 100"),
        ({"name": "Marina", "time_zone": "Mars/Base"}, "Not a valid choice"),
    ],
)
def test_it_keeps_what_was_typed_wrong(
    sit_down: Sit, db: Session, fields: dict[str, str], words: str
) -> None:
    answer = sit_down("viewer").post("/account", fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert db.scalars(select(User.name)).one() == "Marina Costa"


def test_it_changes_the_password_and_signs_out_other_browsers(
    sit_down: Sit, person: Callable[..., User], db: Session
) -> None:
    user = person("viewer")
    here, there = sit_down(user=user), sit_down(user=user)
    answer = here.post("/account/password", {"old_password": PASSWORD, "new_password": NEW})
    assert "Your new password is set" in here.follow(answer).text
    assert there.get("/account").status_code == 303
    here.post("/logout")
    assert here.post("/login", {"email": user.email, "password": PASSWORD}).status_code == 422
    assert here.post("/login", {"email": user.email, "password": NEW}).status_code == 303


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"old_password": "wrong", "new_password": NEW}, "This is not your password of now."),
        ({"old_password": PASSWORD, "new_password": "short"}, "characters"),
        ({"old_password": PASSWORD, "new_password": ""}, "Type a new password."),
    ],
)
def test_it_changes_no_password_that_is_wrong_or_weak(
    sit_down: Sit, fields: dict[str, str], words: str
) -> None:
    browser = sit_down("viewer")
    answer = browser.post("/account/password", fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert f'value="{fields["old_password"]}"' not in answer.text
    browser.post("/logout")
    assert (
        browser.post("/login", {"email": "viewer@aroeira.example", "password": PASSWORD}).status_code == 303
    )


def test_it_lists_browsers_and_signs_one_out(sit_down: Sit, person: Callable[..., User], db: Session) -> None:
    user = person("viewer")
    here, there = sit_down(user=user), sit_down(user=user)
    page = here.get("/account")
    assert page.text.count("Firefox on Windows") == 2
    assert "This browser" in page.text
    other = max(db.scalars(select(SessionRow.id)))
    for words in ("That browser was signed out.", "That browser was signed out already."):
        assert words in here.follow(here.post(f"/account/sessions/{other}/close")).text
    assert there.get("/account").status_code == 303
    assert here.get("/account").status_code == 200


def test_it_signs_out_all_others(sit_down: Sit, person: Callable[..., User]) -> None:
    user = person("viewer")
    here, *others = (sit_down(user=user) for _ in range(3))
    assert "Every other browser" in here.follow(here.post("/account/sessions/close-others")).text
    assert [other.get("/account").status_code for other in others] == [303, 303]
    assert here.get("/account").status_code == 200


def test_it_signs_out_no_browser_of_somebody_else(sit_down: Sit, db: Session) -> None:
    mallory, marina = sit_down("viewer"), sit_down("admin")
    theirs = max(db.scalars(select(SessionRow.id)))
    mallory.post(f"/account/sessions/{theirs}/close")
    assert marina.get("/account").status_code == 200


@pytest.mark.parametrize("choice", ["light", "dark"])
def test_it_keeps_the_theme_in_the_browser(sit_down: Sit, choice: str) -> None:
    browser = sit_down("viewer")
    answer = browser.post(
        "/theme", {"theme": choice}, headers={"Referer": browser.base_url + "/settings/domains?a=1"}
    )
    assert answer.location == "/settings/domains?a=1"
    assert f'data-bs-theme="{choice}"' in browser.follow(answer).text
    browser.post("/theme", {"theme": "auto"})
    assert "data-bs-theme" not in browser.get("/account").text


def test_it_knows_three_themes(sit_down: Sit) -> None:
    assert sit_down("viewer").post("/theme", {"theme": '"><b>'}).status_code == 400


@pytest.mark.parametrize("path", ["/account", "/account/password", "/account/sessions/1/close", "/theme"])
def test_it_changes_nothing_without_the_token(sit_down: Sit, path: str) -> None:
    assert sit_down("viewer").post(path, {"name": "X", "theme": "dark"}, token=False).status_code == 419


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130 Safari/537.36 Edg/130",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Safari/604", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/130 Mobile Safari/537.36", "Chrome on Android"),
        ("Something (Linux)", "Browser on Linux"),
        ("curl/8", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_it_names_browsers(agent: str, name: str, sit_down: Sit) -> None:
    with sit_down("viewer").client.application.test_request_context("/"):
        assert browser_name(agent) == name


def test_it_slows_down_who_guesses_at_an_open_browser(
    settings: Settings, make_app: MakeApp, sit_down: Sit
) -> None:
    open_one = sit_down("viewer")
    strict = Browser(make_app(dataclasses.replace(settings, login_rate=3)), settings.admin_url)
    strict.client.set_cookie("rastro_sid", open_one.cookie("rastro_sid") or "", domain="localhost")
    fields = {"old_password": "wrong", "new_password": NEW}
    assert [strict.post("/account/password", fields).status_code for _ in range(4)] == [422, 422, 422, 429]
