"""A link's life as a person sees it: made, followed, counted, changed, paused, archived."""

import http.client
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import PERSON, Visit
from tests.ops.conftest import Up

pytestmark = pytest.mark.browser
SignIn = Callable[..., Page]
SOON = 30_000
"""Generous: how soon it is is measured in the benchmarks, not here."""


def make_link(page: Page, url: str, *, title: str, slug: str = "") -> str:
    """Make a link in the editor; gives its short URL."""
    page.get_by_role("link", name="New link").first.click()
    page.get_by_label("Destination").fill(url)
    page.locator("#slug").fill(slug)
    page.get_by_label("Title").fill(title)
    page.get_by_role("button", name="Make link").click()
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    address = page.locator(".rs-what [data-copy]").get_attribute("data-copy")
    assert address
    return address


def ask(short_url: str, agent: str) -> tuple[int, str]:
    """Follow a short link as a program does: status, and where it leads."""
    parts = urlsplit(short_url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", parts.path, headers={"User-Agent": agent})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers.get("Location", "")


def figure(page: Page, name: str) -> Locator:
    """A headline number of the report."""
    return page.locator(".rs-fig", has_text=name).locator(".v")


def test_it_lives_its_life(site: Up, sign_in: SignIn, visit: Visit, shop: str) -> None:
    page = sign_in()
    short = make_link(page, f"{shop}/smart-tv", title="Smart TV 4K", slug="bf-tv")
    expect(page.get_by_text("The link is live.")).to_be_visible()
    expect(page.get_by_text("No clicks yet")).to_be_visible()

    visitor = visit(user_agent=PERSON).new_page()
    visitor.goto(short)
    expect(visitor).to_have_title("smart-tv")
    expect(figure(page, "Clicks")).to_have_text("1", timeout=SOON)
    first = page.locator(".rs-clicks tbody tr").first
    expect(first).to_contain_text("Counted first visit that day")
    expect(first).to_contain_text("Mobile, Android, Chrome")

    assert ask(short, "curl/8.11.0") == (302, f"{shop}/smart-tv")
    expect(figure(page, "Robots")).to_have_text("1", timeout=SOON)
    expect(figure(page, "Clicks")).to_have_text("1")
    expect(page.locator(".rs-clicks tbody tr").first).to_contain_text("Kept a robot, by its own name")
    expect(page.get_by_text("2 requests received: 1 counted, 1 named robot.")).to_be_visible()

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Destination").fill(f"{shop}/oled-tv")
    expect(page.get_by_text("1 change", exact=True)).to_be_visible()
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    visitor.goto(short)
    expect(visitor).to_have_title("oled-tv")
    expect(figure(page, "Clicks")).to_have_text("2", timeout=SOON)

    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("This link is paused.")).to_be_visible()
    assert ask(short, PERSON)[0] != 302
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("“Smart TV 4K” is live.")).to_be_visible()
    assert ask(short, PERSON) == (302, f"{shop}/oled-tv")

    page.get_by_label("More", exact=True).click()
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("This link answers “gone” to visitors.")).to_be_visible()
    assert ask(short, PERSON)[0] == 410
    expect(page.get_by_text(re.compile("2 that the link held back"))).to_be_visible(timeout=SOON)


def test_it_is_found_by_keyboard_and_while_typing(sign_in: SignIn, shop: str) -> None:
    page = sign_in()
    make_link(page, f"{shop}/air-fryer", title="Air fryer, flash offer")
    make_link(page, f"{shop}/newsletter", title="Newsletter, main block")
    page.keyboard.press("/")
    expect(page.locator("[data-find]")).to_be_focused()
    page.keyboard.type("newsletter")
    page.keyboard.press("Enter")
    page.wait_for_url("**/links?q=newsletter")
    rows = page.locator(".rs-links tbody tr")
    expect(rows).to_have_count(1)
    field = page.get_by_role("searchbox", name="Search in this list")
    field.fill("")
    field.press_sequentially("flash", delay=20)
    expect(rows).to_contain_text(["Air fryer, flash offer"])
    page.wait_for_url("**/links?q=flash")
    expect(field).to_be_focused()
    page.go_back()
    expect(rows).to_contain_text(["Newsletter, main block"])
    page.goto(page.url.split("?")[0] + "?q=flash")
    rows.first.get_by_label("More for").click()
    rows.first.get_by_role("button", name="Pause").click()
    expect(rows.first).to_contain_text("Paused")
    expect(page.get_by_text("“Air fryer, flash offer” is paused.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(rows.first).to_contain_text("Live")
    rows.first.locator("td").nth(1).click()
    expect(page.get_by_role("heading", name="Air fryer, flash offer")).to_be_visible()


def test_it_offers_a_way_out_of_each_mistake(sign_in: SignIn, shop: str) -> None:
    page = sign_in()
    make_link(page, f"{shop}/cozinha", title="Lu na Cozinha", slug="cozinha")
    page.get_by_role("link", name="New link").first.click()
    page.locator("#slug").fill("Cozinha")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Cozinha is taken by “Lu na Cozinha”.")).to_be_visible()
    page.get_by_label("Destination").fill("loja.aroeira.example/cozinha")
    page.get_by_label("Notes").fill("For the kitchen week")
    page.get_by_role("button", name="Make link").click()
    expect(page.get_by_label("Destination")).to_be_focused()
    expect(page.get_by_label("Notes")).to_have_value("For the kitchen week")
    page.get_by_role("button", name="Use that address").click()
    expect(page.get_by_label("Destination")).to_have_value("https://loja.aroeira.example/cozinha")
    page.get_by_role("button", name="Use Cozinha-2").click()
    expect(page.get_by_text("Cozinha-2 is free on")).to_be_visible()
    page.get_by_role("button", name="Make link").click()
    expect(page.get_by_text("No clicks yet")).to_be_visible()


def test_it_keeps_what_two_people_typed(sign_in: SignIn, shop: str) -> None:
    mine = sign_in()
    make_link(mine, f"{shop}/vip", title="WhatsApp VIP list")
    mine.get_by_role("link", name="Edit").click()
    theirs = mine.context.new_page()
    theirs.goto(mine.url)
    theirs.get_by_label("Title").fill("VIP list of November")
    theirs.get_by_role("button", name="Save").last.click()
    expect(theirs.get_by_role("heading", name="VIP list of November")).to_be_visible()
    mine.get_by_label("Destination").fill(f"{shop}/vip-2")
    mine.get_by_role("button", name="Save").last.click()
    expect(mine.get_by_text("You did not change it, so theirs stays.")).to_be_visible()
    mine.get_by_role("button", name="Keep mine").click()
    expect(mine.get_by_role("heading", name="VIP list of November")).to_be_visible()
    expect(mine.locator(".rs-what .addr")).to_contain_text("/vip-2")


def test_it_works_without_a_script(sign_in: SignIn, shop: str) -> None:
    page = sign_in(java_script_enabled=False)
    make_link(page, f"{shop}/natal", title="Natal, rádio", slug="natal")
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Another slug").click()
    expect(page.get_by_text("natal stops working when you save.")).to_be_visible()
    page.get_by_role("link", name="Discard").click()
    page.get_by_role("link", name="Links").first.click()
    page.get_by_role("searchbox", name="Search in this list").fill("rádio")
    page.get_by_role("searchbox", name="Search in this list").press("Enter")
    rows = page.locator(".rs-links tbody tr")
    expect(rows).to_have_count(1)
    rows.first.get_by_label("More for").click()
    rows.first.get_by_role("button", name="Pause").click()
    expect(rows.first).to_contain_text("Paused")
    expect(page.get_by_text("“Natal, rádio” is paused.")).to_be_visible()
    rows.first.get_by_role("link", name="Natal, rádio").click()
    expect(page.get_by_text("This link is paused.")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_page_on_every_screen(
    sign_in: SignIn, shop: str, site: Up, width: int, scheme: str
) -> None:
    page = sign_in(width=width, height=844, color_scheme=scheme)
    short = page.goto(f"{site.ready['admin_url']}/links/new")
    assert short
    page.get_by_label("Destination").fill(f"{shop}/{'very-long-' * 30}")
    page.get_by_label("Title").fill(
        "A title that is much longer than anybody would want it to be on a telephone"
    )
    page.get_by_label("Tags").fill("tv, whatsapp, novembro")
    page.get_by_role("button", name="Make link").click()
    expect(page.get_by_text("No clicks yet")).to_be_visible()
    link = urlsplit(page.url).path
    address = page.locator(".rs-what [data-copy]").get_attribute("data-copy")
    assert address
    assert ask(address, PERSON)[0] == 302
    expect(figure(page, "Clicks")).to_have_text("1", timeout=SOON)
    for path in (
        link,
        f"{link}?period=28d&show=bots",
        f"{link}?period=dates",
        f"{link}/edit",
        "/links/new",
        "/links",
    ):
        page.goto(f"{site.ready['admin_url']}{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 20, 19)"
        assert dark is (scheme == "dark"), path
