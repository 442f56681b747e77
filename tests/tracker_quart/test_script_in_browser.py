"""The script for a shop's own pages, in a real Chromium: from the landing page to the thank-you page, on a site that is
not the tracker's and lets no script in its pages run but the one that it names."""

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from core.contracts.postback_event import PostbackEvent
from tests.tracker_quart.conftest import CHROME, TOKEN, source
from tests.tracker_quart.rig import Trackers, Valkey, rig, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

CLICK = "0199b3c0-5f0a-7d31-9a55-2f6f0d6a7b11"
ORDER = (
    f'data-token="{TOKEN}" data-transaction="A 1/7" data-amount="1.234,56" data-currency="BRL" '
    'data-event="sale" data-customer="c-9" data-coupon="NATAL"'
)


class Shop(http.server.ThreadingHTTPServer):
    """A site with a strict policy. Every page has the script's tag; `/thanks` says what was ordered."""

    def __init__(self, tracker: str) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.tracker = tracker
        self.allows = "connect-src {0}; img-src {0} data:"
        self.order = ORDER

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Page(http.server.BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        tracker = self.server.tracker
        said = self.server.order if self.path.startswith("/thanks") else ""
        page = (
            "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>The shop</title>"
            f'<script src="{tracker}/rastro.js" {said}></script>'
        ).encode()
        allows = self.server.allows.format(tracker)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Security-Policy", f"default-src 'none'; script-src {tracker}; {allows}")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the shop is quiet."""


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[tuple[Valkey, Trackers]]:
    with rig(tmp_path) as (valkey, trackers):
        valkey.publisher.sources(source())
        wait_until(lambda: trackers.get(f"/postback/{TOKEN}")[0] == 200, "the source is known")
        wait_until(valkey.publisher.postbacks, "what was asked is there")
        valkey.client.delete(keys.stream("conversion"))
        yield valkey, trackers


@pytest.fixture
def shop(tracker: tuple[Valkey, Trackers]) -> Iterator[Shop]:
    server = Shop(tracker[1].url)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def visitor() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser.new_context(user_agent=CHROME)
        browser.close()


@pytest.fixture
def sent(tracker: tuple[Valkey, Trackers]) -> Callable[[], PostbackEvent]:
    """The one postback that came."""

    def one() -> PostbackEvent:
        publisher = tracker[0].publisher
        wait_until(publisher.postbacks, "a postback")
        (postback,) = {event.id: event for event in publisher.postbacks()}.values()
        return postback

    return one


def _read(postback: PostbackEvent) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(postback.query, strict_parsing=True).items()}


ORDERED = {
    "via": "script",
    "click_id": CLICK,
    "transaction_id": "A 1/7",
    "amount": "1.234,56",
    "currency": "BRL",
    "event": "sale",
    "customer_id": "c-9",
    "coupon": "NATAL",
}


def test_it_brings_a_click_from_the_link_to_the_order(
    visitor: BrowserContext,
    tracker: tuple[Valkey, Trackers],
    shop: Shop,
    sent: Callable[[], PostbackEvent],
) -> None:
    valkey, trackers = tracker
    link = LinkSnapshot(link_id=21, url=f"{shop.url}/landing?cor=azul", click_id_param="clickid")
    valkey.publisher.link("promo", link)
    page = visitor.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    wait_until(lambda: trackers.get("/promo")[0] == 302, "the link is known")
    page.goto(f"{trackers.url}/promo")
    landed = parse_qs(urlsplit(page.url).query)["clickid"][0]
    page.goto(f"{shop.url}/basket")
    page.goto(f"{shop.url}/thanks")
    postback = sent()
    assert _read(postback) == {**ORDERED, "click_id": landed}
    assert (postback.kind, postback.method, postback.source_id, postback.refused) == ("script", "POST", 5, "")
    wait_until(lambda: UUID(landed).bytes in valkey.ids(), "its click")
    assert problems == []
    (cookie,) = visitor.cookies(shop.url)
    assert (cookie["name"], cookie["value"], cookie["sameSite"]) == ("rastro_click", landed, "Lax")


@pytest.mark.parametrize(
    "query", [f"cid=1234567890.987&subid={CLICK}", f"rid={CLICK.upper()}", f"x=1&click_id={CLICK}&cid="]
)
def test_it_knows_a_click_id_by_its_look(
    visitor: BrowserContext, shop: Shop, sent: Callable[[], PostbackEvent], query: str
) -> None:
    page = visitor.new_page()
    page.goto(f"{shop.url}/landing?{query}")
    page.goto(f"{shop.url}/thanks?cid=not-a-click")
    assert _read(sent())["click_id"].lower() == CLICK


def test_it_reads_the_parameter_that_its_tag_names(
    visitor: BrowserContext, shop: Shop, sent: Callable[[], PostbackEvent]
) -> None:
    shop.order += ' data-parameters="other, quem"'
    page = visitor.new_page()
    page.goto(f"{shop.url}/thanks?clickid=0199b3c0-5f0a-7d31-9a55-000000000000&quem={CLICK}")
    assert _read(sent()) == ORDERED


def test_it_remembers_without_cookies(
    visitor: BrowserContext, shop: Shop, sent: Callable[[], PostbackEvent]
) -> None:
    page = visitor.new_page()
    page.goto(f"{shop.url}/landing?clickid={CLICK}")
    visitor.clear_cookies()
    page.goto(f"{shop.url}/thanks")
    assert _read(sent()) == ORDERED


def test_it_sends_an_order_of_nobody_too(
    visitor: BrowserContext, shop: Shop, sent: Callable[[], PostbackEvent]
) -> None:
    """It may be matched by its coupon or customer; and somebody will ask where it is."""
    visitor.new_page().goto(f"{shop.url}/thanks")
    assert _read(sent()) == {name: value for name, value in ORDERED.items() if name != "click_id"}


def test_it_sends_a_picture_where_the_shop_forbids_all_else(
    visitor: BrowserContext, shop: Shop, sent: Callable[[], PostbackEvent]
) -> None:
    shop.allows = "img-src {0}"
    visitor.new_page().goto(f"{shop.url}/thanks?clickid={CLICK}")
    postback = sent()
    assert (postback.kind, postback.method) == ("pixel", "GET")
    assert _read(postback) == ORDERED


def test_it_sends_a_beacon_from_an_older_browser(
    visitor: BrowserContext, shop: Shop, sent: Callable[[], PostbackEvent]
) -> None:
    visitor.add_init_script("delete Request.prototype.keepalive")
    visitor.new_page().goto(f"{shop.url}/thanks?clickid={CLICK}")
    postback = sent()
    assert (postback.kind, postback.method) == ("script", "POST")
    assert _read(postback) == ORDERED


def test_it_sends_again_what_could_not_be_kept(
    visitor: BrowserContext,
    tracker: tuple[Valkey, Trackers],
    shop: Shop,
    sent: Callable[[], PostbackEvent],
) -> None:
    """The tracker is asked to come again, and by then it is there."""
    page = visitor.new_page()
    answers = iter([503, 503])

    def route(route: object) -> None:
        status = next(answers, None)
        if status is None:
            route.continue_()  # type: ignore[attr-defined]
        else:
            headers = {"access-control-allow-origin": "*"}
            route.fulfill(status=status, headers=headers)  # type: ignore[attr-defined]

    page.route("**/postback/**", route)
    page.clock.install()
    page.goto(f"{shop.url}/thanks?clickid={CLICK}")
    wait_until(lambda: page.clock.run_for(2_000) or tracker[0].publisher.postbacks(), "it was sent again")
    assert _read(sent()) == ORDERED
