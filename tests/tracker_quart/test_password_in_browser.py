"""The form of a locked link in a real Chromium: from a wrong password to a destination on another site."""

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import CHROME, HASH
from tests.tracker_quart.rig import Trackers, Valkey, rig, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


class Shop(http.server.ThreadingHTTPServer):
    """Another site, by its port; remembers how it was asked, for whatever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Counter)
        self.asked: list[tuple[str, str, str | None, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Counter(http.server.BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        headers = self.headers
        self.server.asked.append(
            (self.command, self.path, headers.get("Content-Length"), headers.get("Referer"))
        )
        page = b"<!doctype html><link rel=icon href=data:,><title>The shop</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the shop is quiet."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(tmp_path: Path, shop: Shop) -> Iterator[tuple[Valkey, Trackers]]:
    """A tracker whose link /secret leads to the shop, for whoever types "abacaxi"."""
    with rig(tmp_path) as (valkey, trackers):
        link = LinkSnapshot(link_id=11, url=f"{shop.url}/tv?a=1", status=307, password_hash=HASH)
        valkey.publisher.link("secret", link)
        yield valkey, trackers


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser's page; ends by making sure that the content policy had nothing to refuse."""
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(user_agent=CHROME)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page
        browser.close()
    assert [line for line in said if "status of 423" not in line and not line.startswith("[DOM]")] == []


def test_it_leads_from_the_form_to_another_site(
    page: Page, site: tuple[Valkey, Trackers], shop: Shop
) -> None:
    valkey, trackers = site
    page.goto(f"{trackers.url}/secret?utm_source=mail&x=%C3%A9&x=2")
    field = page.get_by_label("Password")
    expect(field).to_be_focused()
    page.keyboard.press("Enter")  # an empty one is not sent
    page.keyboard.type("manga")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    expect(field).to_have_value("")
    expect(field).to_be_focused()
    page.keyboard.type("abacaxi")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Open")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{shop.url}/**")
    expect(page).to_have_title("The shop")
    assert shop.asked == [("GET", "/tv?a=1&utm_source=mail&x=%C3%A9&x=2", None, None)]
    wait_until(lambda: len(valkey.publisher.clicks()) >= 3, "three clicks")
    clicks = {click.id: click for click in valkey.publisher.clicks()}
    assert [(click.method, click.outcome, click.door_bot) for click in clicks.values()] == [
        ("GET", "locked", ""),
        ("POST", "locked", ""),
        ("POST", "redirect", ""),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_either_theme(page: Page, site: tuple[Valkey, Trackers], scheme: str) -> None:
    page.set_viewport_size({"width": 320, "height": 480})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{site[1].url}/secret")
    page.get_by_label("Password").fill("manga")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for part in (page.get_by_label("Password"), page.get_by_role("button", name="Open")):
        box = part.bounding_box()
        assert box is not None and box["height"] >= 44
