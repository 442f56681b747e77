"""The queues in a real Chromium: live figures, retry all with the same error, keyboard, phone, and no broken policy."""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import redis
from playwright.sync_api import Page, expect

from core.contracts import keys
from tasks.streams import StreamStorage
from tests.admin_flask.test_in_browser import CHROMIUM, page, site
from tests.core.services.queues.conftest import Bury, click, task

__all__ = ["page", "site"]  # fixtures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium on this machine"),
]

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def worker(storage: StreamStorage) -> Iterator[None]:
    """A worker that does whatever comes, until the test ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for lot in storage.take(["track"], "w-1-a.0.00", most=100, block_ms=50):
                storage.acknowledge(lot, lot.ids)
                storage.drop(lot)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def open_queues(page: Page, site: str) -> Callable[..., Page]:
    """`open_queues("/entries")`: a page of the queues at which somebody sits."""

    def make(path: str = "", *, phone: bool = False) -> Page:
        if phone:
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        page.goto(f"{site}/queues{path}")
        return page

    return make


def test_it_shows_new_figures_by_itself(open_queues: Callable[..., Page], storage: StreamStorage) -> None:
    page = open_queues()
    expect(page.locator("#waiting")).to_have_text("0")
    storage.add("track", [click()] * 1234)
    expect(page.locator("#waiting")).to_have_text("1,234", timeout=20_000)


def test_it_draws_the_queues_over_time(open_queues: Callable[..., Page], valkey: redis.Redis) -> None:
    slot = int(datetime.now(UTC).timestamp()) // 15 * 15
    fields = {f"{queue}:{what}": 9 for queue in keys.QUEUES for what in ("depth", "done")}
    valkey.xadd(keys.DEPTHS, {**fields, "processes": 2}, id=f"{slot * 1000}-0")
    page = open_queues()
    for kind in ("depth", "done", "processes"):
        drawn = "kind => Chart.getChart(document.querySelector(`[data-chart=${kind}]`)).data.datasets.length"
        assert page.evaluate(drawn, kind) == (1 if kind == "processes" else 4)


@pytest.mark.usefixtures("worker")
def test_it_retries_all_with_the_same_error_after_asking(
    open_queues: Callable[..., Page], bury: Bury, valkey: redis.Redis
) -> None:
    page = open_queues()
    bury_into_dead(bury, valkey, 23)
    page.reload()
    page.get_by_text("Retry all 23 with this error").click()
    expect(page.get_by_text("One is tried first. The others follow only if it works.")).to_be_visible()
    assert valkey.xlen(keys.dead("track")) == 23
    page.get_by_role("button", name="Retry 23").click()
    expect(page.get_by_text("The trial worked. 23 entries were put back.")).to_be_visible()
    assert valkey.xlen(keys.dead("track")) == 0


def bury_into_dead(bury: Bury, valkey: redis.Redis, count: int) -> None:
    """Dead clicks, whatever the worker beside it takes."""
    for _ in range(count):
        letter = {"e": click(), "reason": "failed", "group": "g1", "error": "ValueError: too long"}
        valkey.xadd(keys.dead("track"), letter)


def test_it_opens_a_failure_in_place_and_the_address_keeps_it(
    open_queues: Callable[..., Page], bury: Bury
) -> None:
    bury("track", click(link_id=9))
    page = open_queues()
    page.get_by_role("link", name="value too long for type character varying(2048)").click()
    expect(page.get_by_text("Same in all")).to_be_visible()
    assert re.search(r"open=track\.[0-9a-f]+", page.url)
    page.reload()
    expect(page.get_by_text("Same in all")).to_be_visible()
    page.go_back()


def test_it_works_with_the_keyboard(
    open_queues: Callable[..., Page], bury: Bury, valkey: redis.Redis
) -> None:
    bury("system", task("export"), task("export"))
    page = open_queues("/entries?state=dead")
    first = page.get_by_role("checkbox", name="Select export").first
    first.focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_role("checkbox", name="Select all that are shown").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Retry").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 entries were put back.")).to_be_visible()
    assert valkey.xlen(keys.stream("system")) == 2
    page.goto(page.url.partition("/queues")[0] + "/queues")
    page.get_by_role("button", name="Pause track").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume track")).to_be_visible()


@pytest.mark.parametrize("path", ["", "/entries", "/books", "/schedule", "/alerts"])
def test_it_fits_on_a_phone(open_queues: Callable[..., Page], bury: Bury, path: str) -> None:
    bury("track", click(path="/a-rather-long-slug-of-a-campaign-that-nobody-can-read"))
    bury("system", task("webhook.deliver", "order-118200000000000000000000000000000000"))
    page = open_queues(path, phone=True)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_it_keeps_old_figures_when_rastro_does_not_answer(open_queues: Callable[..., Page]) -> None:
    page = open_queues()
    page.route("**/queues/live**", lambda route: route.abort())
    expect(page.get_by_text("Rastro does not answer. These are the figures of")).to_be_visible(timeout=20_000)
    expect(page.locator("#waiting")).to_have_text("0")


def test_it_does_not_ask_while_somebody_is_being_asked(open_queues: Callable[..., Page], bury: Bury) -> None:
    bury("system", task("export"))
    page = open_queues()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("[id^=ask-retry] summary").click()
    page.evaluate("htmx.trigger(document.querySelector('[data-poll]'), 'look')")
    expect(page.get_by_text("One is tried first.")).to_be_visible()
    assert [url for url in asked if "/queues/live" in url] == []
    page.keyboard.press("Escape")
    with page.expect_request("**/queues/live**"):
        page.evaluate("htmx.trigger(document.querySelector('[data-poll]'), 'look')")
