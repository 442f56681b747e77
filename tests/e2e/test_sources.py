"""A source as a person sees it: made from a preset, tested live against the tracker, set up by what is missing."""

import re
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.ops.conftest import Up

pytestmark = pytest.mark.browser
SignIn = Callable[..., Page]
SOON = 30_000
"""Generous: how soon it is is measured in the benchmarks, not here."""


def call(url: str) -> str:
    """What the tracker answers."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def make_source(page: Page, name: str, preset: str) -> str:
    """Make a source; gives its postback URL, macros and all, as it is copied."""
    page.get_by_role("link", name="Settings").first.click()
    page.get_by_role("link", name="Sources").first.click()
    page.get_by_role("link", name="Add a source").first.click()
    page.get_by_role("radio", name=preset).check()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make the source").click()
    page.get_by_role("button", name="Copy the URL").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert isinstance(copied, str)
    assert copied == page.locator("#postback-url").inner_text()
    return copied


def test_it_is_made_tested_and_set_up(site: Up, sign_in: SignIn) -> None:
    page = sign_in(permissions=["clipboard-read", "clipboard-write"])
    url = make_source(page, "Rede K", "Keitaro")
    assert url.startswith(f"{site.ready['tracker_url']}/postback/pb_")
    page.get_by_role("link", name="Watch a test arrive").click()
    live = page.locator("#live")
    expect(live).to_contain_text("Waiting for a postback with this click id")
    click = page.locator("#test-click").inner_text()

    assert call(url) == "OK"  # pasted, and not filled in
    expect(live).to_contain_text("“{external_id}” came as it was pasted", timeout=SOON)
    sent = url.replace("{external_id}", click).replace("{status}", "won").replace("{revenue}", "12,34")
    assert call(sent.replace("{tid}", "A-1")) == "OK"
    expect(live).to_contain_text("It arrived", timeout=SOON)
    expect(live).to_contain_text("“won” is no status that this source knows.")

    live.get_by_role("link", name="Set the source up").first.click()
    page.get_by_label("Approved", exact=True).fill("sale, won")
    page.get_by_label("Currency", exact=False).last.fill("BRL")
    expect(page.get_by_text("2 changes", exact=True)).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()

    page.get_by_role("link", name="Live test").click()
    page.get_by_role("button", name="Start a test").click()
    second = page.locator("#test-click").inner_text()
    assert second != click
    token = urlsplit(url).path.rpartition("/")[2]
    ready = page.locator("#test-url").inner_text().replace("YOUR_TOKEN", token)
    assert second in ready
    assert call(re.sub(r"status=\w+", "status=won", ready)) == "OK"
    expect(live).to_contain_text("Everything is there.", timeout=SOON)
    expect(live).to_contain_text("A test, so it counts nowhere.")
    expect(live.get_by_role("row", name="status")).to_contain_text("Approved")


def test_its_new_url_replaces_the_old_one(site: Up, sign_in: SignIn) -> None:
    page = sign_in(permissions=["clipboard-read", "clipboard-write"])
    old = make_source(page, "Rede V", "Voluum")
    page.get_by_role("link", name="Set it up").click()
    page.get_by_text("Get a new URL").click()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("The URL before works until")).to_be_visible()
    new = page.locator("#postback-url").inner_text()
    assert new != old
    assert call(new) == call(old) == "OK"
    page.get_by_role("link", name="Set it up").click()
    page.locator("#ask-end summary").click()
    page.locator("#ask-end").get_by_role("button", name="End now").click()
    expect(page.get_by_text("Only the newest URL works now.")).to_be_visible()
    assert call(new) == "OK"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        call(old)


@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_every_page_on_every_screen(site: Up, sign_in: SignIn, width: int) -> None:
    page = sign_in(width=width, height=844)
    base = site.ready["admin_url"]
    page.goto(f"{base}/settings/sources/new")
    page.get_by_role("radio", name="Shopify").check()
    page.get_by_label("Name").fill(f"A shop with a name that nobody would give it, {width}")
    page.get_by_role("button", name="Make the source").click()
    expect(page.locator("#postback-url")).to_be_visible()
    source = page.get_by_role("link", name="Set it up").get_attribute("href")
    live = page.get_by_role("link", name="Watch a test arrive").get_attribute("href")
    pages = (source, f"{source}/test", live, "/settings/sources", "/settings/rates", "/settings/coupons")
    for path in (None, *pages):
        if path:
            page.goto(f"{base}{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
