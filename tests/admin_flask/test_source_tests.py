"""The live test of a source: what goes out, what comes back, what was read, what is missing."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.contracts.click_event import unix_ms
from core.contracts.postback_event import PostbackEvent
from core.db import conversion_store, postback_store
from core.db.conversions import ConversionSource, SourceTest
from core.db.models import Campaign
from core.services import conversion_sources as service
from core.services import domains, links, source_tests
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING, Clock

Sit = Callable[..., Browser]
Came = Callable[..., UUID]


@pytest.fixture
def source(db: Session) -> ConversionSource:
    """Keitaro, number 1; amounts are in USD."""
    return service.make_source(db, name="Rede K", preset="keitaro", actor=COMMAND, now=MORNING).source


@pytest.fixture
def came(engine: Engine, clock: Clock) -> Came:
    """Store a postback, and judge it, as a worker does: `came("subid=...")`."""
    count = 0

    def store(query: str = "", *, judged: bool = True, **event: object) -> UUID:
        nonlocal count
        count += 1
        ms = int(clock.now.timestamp() * 1000)
        number = UUID(int=ms << 80 | 7 << 76 | 2 << 62 | count)
        sent = PostbackEvent(
            id=number.bytes,
            query=query,
            **{"source_id": 1, "token_hint": "pb_ab…wxyz", **event},  # type: ignore[arg-type]
        )
        with engine.begin() as connection:
            sources = conversion_store.load_sources(connection)
            postback_store.store(connection, [sent], now=clock.now)
            if judged:
                rows = postback_store.rows_of(connection, [number], locked=True)
                conversion_store.judge(
                    connection, rows, sources=sources, now=clock.now, report_currency="USD"
                )
        return number

    return store


def start(browser: Browser) -> tuple[str, str]:
    """Start a test; gives its page's address and its click id."""
    answer = browser.post("/settings/sources/1/test")
    assert answer.status_code == 303
    return answer.location, answer.location.partition("click=")[2]


def poll_of(page: str) -> str:
    """The address that the page asks for news."""
    found = re.search(r'hx-get="([^"]+)" hx-trigger="every 2s, look"', page)
    assert found
    return found[1].replace("&amp;", "&")


def block(page: str) -> str:
    """What the page asks for again."""
    return page[page.index('id="live"') :]


def test_it_makes_a_click_id_and_waits(sit_down: Sit, db: Session, source: ConversionSource) -> None:
    browser = sit_down("support")
    assert "Start a test" in browser.get("/settings/sources/1/test").text
    address, click = start(browser)
    row = db.scalars(select(SourceTest)).one()
    assert (str(row.click_id), row.source_id) == (click, 1)
    assert row.click_id.version == 7
    assert unix_ms(row.click_id.bytes) == int(MORNING.timestamp() * 1000)
    page = browser.get(address).text
    assert click in page
    assert source.tokens[0].hint in page
    assert "Waiting for a postback with this click id" in block(page)
    assert browser.get(poll_of(page), htmx=True).status_code == 204


def test_it_shows_what_came_and_that_nothing_is_missing(
    sit_down: Sit, source: ConversionSource, came: Came
) -> None:
    browser = sit_down("admin")
    address, click = start(browser)
    poll = poll_of(browser.get(address).text)
    came(f"subid={click}&status=sale&payout=12,34&tid=A-1&currency=BRL&loja=S%C3%A3o+Paulo")
    answer = browser.get(poll, htmx=True)
    assert answer.status_code == 200
    text = answer.text
    assert "Everything is there." in text
    assert f"GET /postback/pb_ab…wxyz?subid={click}" in text
    assert "<b>12.34</b>" in text
    assert "<b>Approved</b>" in text
    assert "kept, not used" in text
    assert "São" in text
    assert "A test, so it counts nowhere." in text
    assert "<html" not in text
    assert browser.get(poll_of(text), htmx=True).status_code == 204


@pytest.mark.parametrize(
    ("query", "verdict", "missing"),
    [
        ("status=sale&payout=5&currency=USD", "something is missing", ["No transaction came"]),
        ("status=sale&tid=1", "something is missing", ["No amount came"]),
        ("status=sale&tid=1&payout=5", "something is missing", ["No currency came"]),
        ("status=won&tid=1&payout=5&currency=USD", "could not be read", ["“won” is no status"]),
        ("status=sale&tid=1&payout=lots&currency=USD", "could not be read", ["“lots” is no amount"]),
        ("status=sale&tid=1&payout=5&currency=XXY", "could not be read", ["no currency “XXY”"]),
        (
            "status=won&payout=lots",
            "could not be read",
            ["“won” is no status", "“lots” is no amount"],
        ),
    ],
)
def test_it_says_what_is_missing(
    sit_down: Sit, source: ConversionSource, came: Came, query: str, verdict: str, missing: list[str]
) -> None:
    browser = sit_down("admin")
    address, click = start(browser)
    came(f"subid={click}&{query}")
    text = block(browser.get(address).text)
    assert verdict in text
    assert [words for words in missing if words not in text] == []


def test_it_waits_until_one_is_judged(sit_down: Sit, source: ConversionSource, came: Came) -> None:
    browser = sit_down("admin")
    address, click = start(browser)
    came(f"subid={click}&status=sale", judged=False)
    text = block(browser.get(address).text)
    assert "Waiting for a postback with this click id" in text
    assert "Also came meanwhile" not in text


def test_it_shows_why_one_was_refused(sit_down: Sit, source: ConversionSource, came: Came) -> None:
    browser = sit_down("admin")
    address, click = start(browser)
    came(f"subid={click}", refused="address", status=403)
    text = block(browser.get(address).text)
    assert "Refused with 403:" in text
    assert "an address that is not on this source" in text


def test_it_says_when_the_url_of_another_source_was_called(
    sit_down: Sit, db: Session, source: ConversionSource, came: Came
) -> None:
    service.make_source(db, name="Other", preset="plain", actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    address, click = start(browser)
    came(f"click_id={click}&amount=1&currency=USD&order_id=1", source_id=2)
    text = block(browser.get(address).text)
    assert "It came to the URL of another source." in text
    assert "Everything is there." not in text


def test_it_says_when_a_status_is_ignored(sit_down: Sit, db: Session, came: Came) -> None:
    service.make_source(db, name="ClickBank", preset="clickbank", actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    address, click = start(browser)
    came(f"tid={click}&order_id=1&amount=5&currency=USD&type=TEST_SALE")
    assert "one that this source ignores" in block(browser.get(address).text)


def test_it_shows_what_came_without_the_click_id(
    sit_down: Sit, source: ConversionSource, came: Came, clock: Clock
) -> None:
    came("subid=&status=sale&tid=before")
    clock.pass_by(timedelta(minutes=1))
    browser = sit_down("admin")
    address, _ = start(browser)
    came("subid=%7Bexternal_id%7D&status=sale&tid=1&payout=1")
    came("subid=&status=sale&tid=2&payout=1")
    came("status=sale&tid=3&payout=1")
    came("subid=1", source_id=0, refused="token", status=401)
    text = block(browser.get(address).text)
    assert "Waiting for a postback with this click id" in text
    assert "“{external_id}” came as it was pasted: the network does not fill it in." in text
    assert "The click id came empty" in text
    assert "It named no click id." in text
    assert "its token is not known" in text
    assert "tid=before" not in text


def test_it_shows_a_body_of_json_and_broken_bytes(sit_down: Sit, db: Session, came: Came) -> None:
    service.make_source(db, name="Loja", preset="shopify", actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    address, click = start(browser)
    body = (
        '{"id": 7, "total_price": "10.00", "currency": "EUR", "financial_status": "paid", "name": "<b>#1</b>", '
        f'"note_attributes": [{{"name": "clickid", "value": "{click}"}}]}}'
    )
    came("", body=body.encode() + b" ", content_type="application/json", method="POST")
    text = block(browser.get(address).text)
    assert "Everything is there." in text
    assert "&lt;b&gt;#1&lt;/b&gt;" in text
    came("", body=f'{{"id": "\xff{click}'.encode("latin-1"), content_type="application/json", method="POST")
    assert browser.get(address).status_code == 200


def test_it_offers_links_that_carry_the_click_id(
    sit_down: Sit, db: Session, source: ConversionSource
) -> None:
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=MORNING)
    for url, title in (
        ("https://shop.example/a?x={clickid}", "With a macro"),
        ("https://shop.example/b?y=1", "Without"),
    ):
        links.create_link(db, url=url, title=title, actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    address, click = start(browser)
    page = browser.get(address).text
    assert f"https://shop.example/a?x={click}" in page
    assert f"https://shop.example/b?y=1&amp;external_id={click}" in page
    assert page.count("hands no click id over") == 1
    assert f"/postback/YOUR_TOKEN?subid={click}&amp;status=sale&amp;payout=12.34&amp;tid=TEST-1001" in page


def test_it_offers_only_links_that_the_source_may_sell_for(db: Session, source: ConversionSource) -> None:
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=MORNING)
    campaign = Campaign(name="Natal")
    db.add(campaign)
    db.commit()
    inside = links.create_link(
        db, url="https://shop.example/", campaign_id=campaign.id, actor=COMMAND, now=MORNING
    )
    links.create_link(db, url="https://shop.example/2", actor=COMMAND, now=MORNING)
    found = source_tests.landings(db, campaigns=(campaign.id,), click_id=UUID(int=7), click_param="clickid")
    assert [one.link.id for one in found] == [inside.id]


def test_it_stops_asking_after_a_while(sit_down: Sit, source: ConversionSource, clock: Clock) -> None:
    browser = sit_down("admin")
    address, _ = start(browser)
    clock.pass_by(timedelta(hours=2))
    page = browser.get(address).text
    assert "This page stopped looking." in page
    assert "hx-trigger" not in block(page)


def test_a_test_belongs_to_its_source(sit_down: Sit, db: Session, source: ConversionSource) -> None:
    service.make_source(db, name="Other", preset="plain", actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    _, click = start(browser)
    for path in (f"2/test?click={click}", f"1/test?click={UUID(int=7)}", "1/test?click=x"):
        assert browser.get(f"/settings/sources/{path}").status_code == 404
    assert browser.get(f"/settings/sources/1/test/live?click={UUID(int=7)}").status_code == 404


def test_tests_of_long_ago_are_forgotten(db: Session, source: ConversionSource) -> None:
    for days in (31, 29, 0):
        source_tests.start_test(
            db, source_id=1, actor=COMMAND, now=datetime(2026, 11, 27, tzinfo=UTC) - timedelta(days=days)
        )
    assert len(db.scalars(select(SourceTest)).all()) == 2
