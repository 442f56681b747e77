"""What the small script does, in a real Chromium under the strict content policy."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, expect, sync_playwright
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from core.config import Settings
from core.db.models import Link, User
from core.services import domains
from core.services.actor import COMMAND
from tests.admin_flask.conftest import MORNING, PASSWORD, MakeApp

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium on this machine"),
]


@pytest.fixture
def site(settings: Settings, make_app: MakeApp, environment: dict[str, str]) -> Iterator[str]:
    """The manager on a port of its own; gives its address."""
    holder: list[Flask] = []
    server = make_server(
        "127.0.0.1", 0, lambda environ, start: holder[0].wsgi_app(environ, start), threaded=True
    )
    url = f"http://localhost:{server.server_port}"
    holder.append(make_app(Settings.from_env({**environment, "ADMIN_URL": url})))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(site: str, person: Callable[..., User]) -> Iterator[Page]:
    """A page of somebody who has just signed in; ends by making sure that the policy had nothing to refuse."""
    person("admin")
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(color_scheme="light")
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{site}/login?next=/account")
        page.get_by_label("E-mail").fill("admin@aroeira.example")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Show password").click()
        expect(page.get_by_label("Password", exact=True)).to_have_attribute("type", "text")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/account")
        yield page
        browser.close()
    assert [line for line in said if "Content Security Policy" in line or "Error:" in line] == []


def test_it_switches_the_theme_at_once_and_keeps_it(page: Page) -> None:
    page.get_by_label("Menu of Marina Costa").click()
    page.locator(".rs-user [value=dark]").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.get_by_label("Menu of Marina Costa").click()
    page.keyboard.press("Escape")
    expect(page.locator(".rs-user")).not_to_have_attribute("open", "")


def test_it_finds_by_a_key_and_says_what_was_done(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.locator("[data-find]")).to_be_focused()
    page.get_by_label("Name").fill("Marina")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").get_by_text("Saved.")).to_be_visible()
    page.get_by_role("status").get_by_role("button", name="Close").click()
    expect(page.get_by_text("Saved.")).to_have_count(0)


def test_it_keeps_what_was_typed_when_the_session_ends(page: Page, site: str) -> None:
    page.goto(f"{site}/settings/domains/new")
    page.get_by_label("Host name").fill("https://ofertas.aroeira.example")
    page.get_by_role("button", name="Add the domain").click()
    expect(page.get_by_label("Host name")).to_be_focused()
    page.get_by_label("Host name").fill("ofertas.aroeira.example")
    page.context.clear_cookies(name="rastro_sid")
    page.get_by_role("button", name="Add the domain").click()
    page.get_by_label("E-mail").fill("admin@aroeira.example")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Host name")).to_have_value("ofertas.aroeira.example")
    page.get_by_role("button", name="Add the domain").click()
    expect(page.get_by_role("cell", name="ofertas.aroeira.example")).to_be_visible()


def test_it_makes_one_link_when_the_button_is_pressed_twice(page: Page, site: str, db: Session) -> None:
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=MORNING)
    page.goto(f"{site}/links/new")
    page.get_by_label("Destination").fill("https://shop.example/tv")
    page.get_by_role("button", name="Make link").dblclick()
    page.wait_for_url("**/links/1")
    page.goto(f"{site}/links")
    assert len(db.scalars(select(Link)).all()) == 1
