"""What guards every page: host, sign-in, other sites, headers."""

import dataclasses
from collections.abc import Callable

import pytest
from flask import Flask
from structlog.testing import capture_logs

from admin_flask.access import is_open
from core.config import Settings
from core.services import accounts
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MakeApp

Sit = Callable[..., Browser]


def test_it_asks_to_sign_in_and_comes_back(browser: Browser) -> None:
    answer = browser.get("/settings/domains?a=1")
    assert answer.status_code == 303
    assert answer.location == "/login?next=/settings/domains?a%3D1"


def test_every_view_is_closed_unless_it_says_so(app: Flask) -> None:
    closed_or_known = {
        "auth.login",
        "auth.logout",
        "auth.forgot",
        "auth.reset",
        "freshness.fragment",
        "health.livez",
        "health.readyz",
    }
    opened = {
        name
        for name, view in app.view_functions.items()
        if is_open(name, view) and not name.startswith("api")
    }
    assert opened == closed_or_known | {"static"}


def test_it_sends_htmx_to_sign_in_with_the_whole_page(browser: Browser) -> None:
    answer = browser.get(
        "/account", htmx=True, headers={"HX-Current-URL": browser.base_url + "/settings/domains?q=1"}
    )
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"] == "/login?next=/settings/domains?q%3D1"


@pytest.mark.parametrize("host", ["evil.example", "localhost:1", "localhost.evil.example:8000", ""])
def test_it_answers_only_at_its_own_address(app: Flask, host: str) -> None:
    answer = app.test_client().get("/login", base_url="http://localhost:8000", headers={"Host": host})
    assert answer.status_code == 400
    assert "ADMIN_URL" in answer.text


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:8000"])
def test_it_takes_every_name_of_this_machine_for_one(app: Flask, host: str) -> None:
    answer = app.test_client().get("/login", base_url="http://localhost:8000", headers={"Host": host})
    assert answer.status_code == 200


def test_it_answers_probes_at_any_address(app: Flask) -> None:
    answer = app.test_client().get("/livez", base_url="http://10.1.2.3:8000")
    assert answer.status_code == 200
    assert answer.json == {"live": True}


def test_it_is_ready_while_postgresql_answers(browser: Browser) -> None:
    answer = browser.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"ready": True, "postgres": True, "redis": True})


def test_it_is_not_ready_without_postgresql(settings: Settings, make_app: MakeApp) -> None:
    gone = dataclasses.replace(settings, database_url="postgresql+psycopg://127.0.0.1:1/none")
    answer = make_app(gone).test_client().get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"ready": False, "postgres": False, "redis": True})


def test_it_stays_ready_without_redis(settings: Settings, make_app: MakeApp) -> None:
    gone = dataclasses.replace(settings, redis_url="redis://127.0.0.1:1/0")
    answer = make_app(gone).test_client().get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"ready": True, "postgres": True, "redis": False})


def test_it_says_so_when_the_database_is_away(settings: Settings, make_app: MakeApp) -> None:
    gone = dataclasses.replace(settings, database_url="postgresql+psycopg://127.0.0.1:1/none")
    browser = Browser(make_app(gone), settings.admin_url)
    browser.client.set_cookie("rastro_sid", "whatever", domain="localhost")
    answer = browser.get("/account")
    assert answer.status_code == 503
    assert "every click is kept" in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/logout", 419)])
def test_its_error_pages_need_no_database(
    settings: Settings, make_app: MakeApp, method: str, path: str, status: int
) -> None:
    gone = dataclasses.replace(settings, database_url="postgresql+psycopg://127.0.0.1:1/none")
    browser = Browser(make_app(gone), settings.admin_url)
    browser.client.set_cookie("rastro_sid", "whatever", domain="localhost")
    assert browser.client.open(path, method=method, base_url=settings.admin_url).status_code == status


def test_it_refuses_a_form_of_another_site(sit_down: Sit) -> None:
    browser = sit_down("admin")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert (
            browser.post("/settings/domains/new", {"host": "x.example"}, headers=headers).status_code == 403
        )


def test_it_lets_no_foreign_code_run(browser: Browser) -> None:
    answer = browser.get("/login")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in answer.headers


def test_it_is_strict_where_people_come_by_https(settings: Settings, db: object, make_app: MakeApp) -> None:
    app = make_app(dataclasses.replace(settings, admin_url="https://links.aroeira.example"))
    answer = app.test_client().get("/login", base_url="http://links.aroeira.example")
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    cookie = answer.headers["Set-Cookie"]
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_it_lets_browsers_keep_static_files(browser: Browser) -> None:
    with browser.get("/static/app.css") as answer:
        assert answer.status_code == 200
        assert "max-age=31536000" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/static/nothing.css", 404), ("/theme", 405)]
)
def test_it_explains_what_can_not_be_shown(sit_down: Sit, path: str, status: int) -> None:
    answer = sit_down("viewer").get(path)
    assert answer.status_code == status
    assert "To the start" in answer.text


def test_it_takes_an_address_of_htmx_that_is_none(browser: Browser) -> None:
    answer = browser.get("/account", htmx=True, headers={"HX-Current-URL": "http://["})
    assert answer.headers["HX-Redirect"] == "/login?next=/"


def test_it_logs_no_secret_of_a_path(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(accounts, "reset_password", fail)
    with capture_logs() as logs:
        assert browser.post("/reset/a-secret-token", {"password": "three short words"}).status_code == 500
    assert logs
    assert "a-secret-token" not in str([{**line, "exc_info": ""} for line in logs])


@pytest.mark.parametrize("peer", ["", "fe80::1%eth0"])
def test_it_works_for_peers_without_a_plain_address(sit_down: Sit, peer: str) -> None:
    browser = sit_down("admin")
    place = {"REMOTE_ADDR": peer}
    answer = browser.post("/settings/domains/new", {"host": "go.example.com"}, environ_overrides=place)
    assert answer.status_code == 303


@pytest.mark.parametrize("path", ["/account/sessions/{}/close", "/settings/domains/{}/default"])
def test_it_knows_no_row_of_twenty_digits(sit_down: Sit, path: str) -> None:
    assert sit_down("admin").post(path.format("9" * 20)).status_code == 404
