"""The page that tries an app, in a real Chromium that knows no such app: it goes on to the destination."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from core.contracts.link_snapshot import AppLinks, LinkSnapshot
from tests.core.domain.test_app_links import IPHONE
from tests.tracker_quart.rig import rig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
APP = "myapp://product/1?a=b"

Open = Callable[..., Page]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A tracker whose link /app opens an app, and leads back to its own /robots.txt: another page will do."""
    with rig(tmp_path) as (valkey, trackers):
        web = f"{trackers.url}/robots.txt?x=%C3%A9"
        valkey.publisher.link("app", LinkSnapshot(link_id=11, url=web, apps=AppLinks(ios=APP)))
        yield trackers.url


@pytest.fixture
def phone(site: str) -> Iterator[Open]:
    """`phone(javascript=False)`: an iPhone that follows /app."""
    refused: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )

        def follow(*, javascript: bool, scheme: str = "light", width: int = 390) -> Page:
            context = browser.new_context(
                user_agent=IPHONE,
                java_script_enabled=javascript,
                color_scheme=scheme,  # type: ignore[arg-type]
                viewport={"width": width, "height": 844},
            )
            page = context.new_page()
            page.on("console", lambda message: refused.append(message.text))
            page.goto(f"{site}/app")
            return page

        yield follow
        browser.close()
    assert [line for line in refused if "Content Security Policy" in line] == []


def test_it_goes_on_to_the_destination_where_no_app_opens(phone: Open, site: str) -> None:
    page = phone(javascript=True)
    page.wait_for_url(f"{site}/robots.txt?x=%C3%A9")
    assert page.evaluate("history.length") <= 2  # the page that tried is not gone back to


def test_it_has_both_ways_without_a_script(phone: Open, site: str) -> None:
    page = phone(javascript=False)
    expect(page.get_by_role("link", name="Open in the app")).to_have_attribute("href", APP)
    page.get_by_role("link", name="Continue on the web").click()
    page.wait_for_url(f"{site}/robots.txt?x=%C3%A9")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_either_theme(phone: Open, scheme: str) -> None:
    page = phone(javascript=False, scheme=scheme, width=320)
    for name in ("Open in the app", "Continue on the web"):
        box = page.get_by_role("link", name=name).bounding_box()
        assert box is not None and box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 320
