"""The whole of Rastro as `./rastro up` starts it, a real Chromium in front of it, and a shop that links lead to."""

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.ops.conftest import Up, make_place

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (found := shutil.which(name))
    ),
    None,
)
PERSON = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36"
)
"""What a person's browser says; a headless one says that it is one, and is a robot."""

_ARGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
_EXPECTED = "the server responded with a status of 422"
"""Chromium writes every answer of 4xx to its console; a form that came back with its mistakes is meant to."""

Visit = Callable[..., BrowserContext]


@pytest.fixture(scope="session")
def site() -> Iterator[Up]:
    """A running Rastro of this test process alone, which may tell others on this machine of conversions."""
    place = make_place()
    up = Up(place / "var", API_RATE="0", REPORT_CURRENCY="BRL", SENDING_NETWORKS="127.0.0.0/8")
    try:
        yield up.start()
    finally:
        up.stop()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium; every test has contexts of its own in it. Closed with its module: Playwright's loop runs in this
    thread as long as it is open, and no other test could run one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Open a browser: `visit(width=390, color_scheme="dark")`. At the end nothing must stand in any console."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if _EXPECTED not in message.text:
            said.append(f"{message.type}: {message.text}")

    def watch(page: Page) -> None:
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(str(error)))

    def make(*, width: int = 1440, height: int = 900, **options: object) -> BrowserContext:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        context.on("page", watch)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def sign_in(site: Up, visit: Visit) -> Callable[..., Page]:
    """A page of the first administrator, on the list of links."""

    def make(**options: object) -> Page:
        page = visit(**options).new_page()
        page.goto(f"{site.ready['admin_url']}/login")
        page.get_by_label("E-mail").fill(site.ready["admin_email"])
        page.get_by_label("Password", exact=True).fill((site.data / "admin-password").read_text().strip())
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/links")
        return page

    return make


@pytest.fixture(scope="session")
def shop() -> Iterator[str]:
    """Where links lead to: every path answers with its own name as title."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class _Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = f"<!doctype html><link rel=icon href=data:,><title>{Path(self.path).name}</title>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the shop is quiet."""
