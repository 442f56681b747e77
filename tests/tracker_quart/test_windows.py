"""What visitors of a link outside its time, of a bare host and of an unknown slug are answered."""

import time

import pytest
from quart.typing import TestClientProtocol as Client

from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import CHROME, URL, Publisher

BROWSER = {"user-agent": CHROME}
OVER, PARKED, HOME, LOST = (f"https://shop.example/{name}" for name in ("over", "parked", "home", "lost"))
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.mark.parametrize(
    ("window", "status", "outcome", "words"),
    [
        ((DAY_MS, None), 404, "scheduled", "Not open yet"),
        ((DAY_MS, 2 * DAY_MS), 404, "scheduled", "Not open yet"),
        ((None, -DAY_MS), 410, "expired", "which is over"),
        ((-DAY_MS, DAY_MS), 302, "redirect", ""),
    ],
)
async def test_it_keeps_to_a_links_time(
    client: Client,
    publisher: Publisher,
    now_ms: int,
    window: tuple[int | None, int | None],
    status: int,
    outcome: str,
    words: str,
) -> None:
    starts, expires = (None if part is None else now_ms + part for part in window)
    publisher.link("soon", LinkSnapshot(link_id=40, url=URL, starts_ms=starts, expires_ms=expires))
    answer = await client.get("/soon", headers=BROWSER)
    assert answer.status_code == status
    assert words in await answer.get_data(as_text=True)
    assert [(click.link_id, click.outcome) for click in await publisher.kept(1)] == [(40, outcome)]


async def test_it_opens_while_its_snapshot_lies_in_the_cache(
    client: Client, publisher: Publisher, now_ms: int
) -> None:
    publisher.link("soon", LinkSnapshot(link_id=40, url=URL, starts_ms=now_ms + 1500))
    assert (await client.get("/soon", headers=BROWSER)).status_code == 404
    while time.time() * 1000 < now_ms + 1501:
        time.sleep(0.05)
    assert (await client.get("/soon", headers=BROWSER)).status_code == 302


async def test_it_sends_visitors_to_the_fallback_and_keeps_why(
    client: Client, publisher: Publisher, now_ms: int
) -> None:
    publisher.link("over", LinkSnapshot(link_id=41, url=URL, expires_ms=1, fallback_url=OVER, status=307))
    publisher.link("ended", LinkSnapshot(link_id=42, url=URL, expires_ms=1))
    publisher.domain("go.example", DomainSnapshot(domain_id=1, host="go.example", expired_url=PARKED))
    for slug, location in (("over", OVER), ("ended", PARKED)):
        answer = await client.get(f"/{slug}?x=1", headers={**BROWSER, "host": "go.example"})
        assert (answer.status_code, answer.headers["location"]) == (302, location)
        assert answer.headers["cache-control"] == "private, no-store"
    assert [click.outcome for click in await publisher.kept(2)] == ["expired", "expired"]


async def test_it_answers_by_the_links_status_and_referrer_policy(
    client: Client, publisher: Publisher
) -> None:
    publisher.link("a", LinkSnapshot(link_id=43, url=URL, status=307, no_referrer=True))
    answer = await client.get("/a", headers=BROWSER)
    assert (answer.status_code, answer.headers["referrer-policy"]) == (307, "no-referrer")
    assert "referrer-policy" not in (await client.get("/sale", headers=BROWSER)).headers


@pytest.mark.parametrize(
    ("path", "location"),
    [("/", HOME), ("/?x=1", HOME), ("/nothing", LOST), ("/sale/more", LOST), ("/%FF", LOST), ("/x/", LOST)],
)
async def test_it_sends_visitors_to_the_domains_targets(
    client: Client, publisher: Publisher, path: str, location: str
) -> None:
    publisher.domain(
        "go.example", DomainSnapshot(domain_id=1, host="go.example", root_url=HOME, not_found_url=LOST)
    )
    answer = await client.get(path, headers={**BROWSER, "host": "go.example"})
    assert (answer.status_code, answer.headers["location"]) == (302, location)
    assert answer.headers["cache-control"] == "private, no-store"
    assert (await client.get("/sale", headers={**BROWSER, "host": "go.example"})).headers["location"] == URL
    assert [click.link_id for click in await publisher.kept(1)] == [7]


async def test_it_serves_no_target_that_can_not_stand_in_a_header(
    client: Client, publisher: Publisher
) -> None:
    publisher.link("bad", LinkSnapshot(link_id=44, url=URL, fallback_url="https://a.example/\r\nx: y"))
    assert (await client.get("/bad", headers=BROWSER)).status_code == 503


async def test_it_answers_the_files_that_phones_ask_for(client: Client, publisher: Publisher) -> None:
    publisher.domain(
        "go.example",
        DomainSnapshot(
            domain_id=1, host="go.example", not_found_url=LOST, apple_file=memoryview(b'{"applinks":{}}')
        ),
    )
    headers = {**BROWSER, "host": "go.example"}
    answer = await client.get("/.well-known/apple-app-site-association?x", headers=headers)
    assert (answer.status_code, await answer.get_data()) == (200, b'{"applinks":{}}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == "15"
    for name in ("assetlinks.json", "security.txt", ""):
        answer = await client.get(f"/.well-known/{name}", headers=headers)
        assert (answer.status_code, "location" in answer.headers) == (404, False)
    assert publisher.clicks() == []
