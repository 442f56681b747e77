"""What visitors are answered, and which click is kept."""

import asyncio
import time
from dataclasses import replace
from unicodedata import normalize
from urllib.parse import quote

import pytest
from quart.typing import TestClientProtocol as Client

from core.config import Settings
from core.contracts import keys, link_snapshot
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule
from core.domain.networks import Networks
from core.domain.ranges import parse_ranges
from core.domain.urls import LONGEST_SLUG, check_slug
from tests.tracker_quart.conftest import CHROME, URL, Publisher
from tracker_quart.app import create_app

BROWSER = {"user-agent": CHROME}
_ROBOTS_OF_A_NETWORK = Rule(
    id=1, conditions=(Condition("robot", values=("network",)),), url="https://shop.example/robot"
)


async def test_it_redirects_and_keeps_the_click(client: Client, publisher: Publisher) -> None:
    before = int(time.time() * 1000)
    answer = await client.get(
        "/sale?utm_source=x%20y&q",
        headers={
            **BROWSER,
            "Referer": "https://news.example/a",
            "Accept-Language": "pt-BR",
            "X-Forwarded-For": "203.0.113.9",
        },
    )
    assert answer.status_code == 302
    assert sorted((name.lower(), value) for name, value in answer.headers.items()) == [
        ("cache-control", "private, no-store"),
        ("content-length", "0"),
        ("location", "https://shop.example/sale?x=%20y&utm_source=x%20y&q#top"),
        ("x-robots-tag", "noindex"),
    ]
    assert await answer.get_data() == b""
    (click,) = await publisher.kept(1)
    assert (click.link_id, click.outcome, click.door_bot, click.method) == (7, "redirect", "", "GET")
    assert (click.host, click.path, click.query) == ("localhost", "/sale", "utm_source=x%20y&q")
    assert (click.user_agent, click.referrer, click.language) == (CHROME, "https://news.example/a", "pt-BR")
    assert click.revision > 0
    assert before <= click.unix_ms <= time.time() * 1000
    assert click.id[6] >> 4 == 7
    assert publisher.accepted() >= 1


async def test_it_answers_head_and_keeps_it_as_a_robots(client: Client, publisher: Publisher) -> None:
    answer = await client.head("/sale", headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (302, URL)
    assert [(click.method, click.door_bot) for click in await publisher.kept(1)] == [("HEAD", "head")]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"user-agent": "curl/8.5.0"}, "agent"),
        ({"user-agent": "WhatsApp/2.23.20.0"}, "preview"),
        ({"user-agent": "Barracuda Sentinel (EE)"}, "scanner"),
        ({"user-agent": ""}, "empty_agent"),
        ({**BROWSER, "sec-purpose": "prefetch;prerender"}, "prefetch"),
        ({**BROWSER, "purpose": "prefetch"}, "prefetch"),
        ({**BROWSER, "x-moz": "prefetch"}, "prefetch"),
        (BROWSER, ""),
    ],
)
async def test_it_redirects_robots_and_says_why(
    client: Client, publisher: Publisher, headers: dict[str, str], reason: str
) -> None:
    answer = await client.get("/sale", headers=headers)
    assert answer.status_code == 302
    assert [click.door_bot for click in await publisher.kept(1)] == [reason]


async def test_it_knows_the_operators_networks_of_robots(
    publisher: Publisher, tracker_settings: Settings
) -> None:
    publisher.world()
    publisher.link("ruled", LinkSnapshot(link_id=70, url=URL, rules=(_ROBOTS_OF_A_NETWORK,)))
    settings = replace(
        tracker_settings, trusted_proxies=Networks(hops=1), robot_networks=parse_ranges("203.0.113.0/24")
    )
    app = create_app(settings)
    async with app.test_app():
        found = [
            (await app.test_client().get("/ruled", headers={**BROWSER, "x-forwarded-for": ip})).headers[
                "location"
            ]
            for ip in ("203.0.113.9", "198.51.100.9")
        ]
    assert found == [_ROBOTS_OF_A_NETWORK.url, URL]
    assert [click.door_bot for click in await publisher.kept(2)] == ["network", ""]


@pytest.mark.parametrize(
    ("path", "status", "outcome", "words"),
    [("/paused", 404, "paused", "Not available right now"), ("/gone", 410, "gone", "This link has ended")],
)
async def test_it_keeps_clicks_on_links_that_do_not_redirect(
    client: Client, publisher: Publisher, path: str, status: int, outcome: str, words: str
) -> None:
    answer = await client.get(path, headers=BROWSER)
    text = await answer.get_data(as_text=True)
    assert answer.status_code == status
    assert words in text
    assert "Casa Aroeira" in text
    assert "location" not in answer.headers
    assert [click.outcome for click in await publisher.kept(1)] == [outcome]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/",
        "/sale/more",
        "/sale%2Fmore",
        "/%FF%FE",
        "/sale%00",
        "/x" + "y" * 3000,
        "/%",
        "//sale",
        "/sa le",
    ],
)
async def test_it_knows_no_other_slugs(client: Client, publisher: Publisher, path: str) -> None:
    answer = await client.get(path, headers=BROWSER)
    assert answer.status_code == 404
    assert "No link at this address" in await answer.get_data(as_text=True)
    assert answer.headers["cache-control"] == "private, no-store"
    assert publisher.clicks() == []


async def test_it_answers_an_unknown_host_with_421(client: Client, publisher: Publisher) -> None:
    for host in ("elsewhere.example", "*", "go.example:8080", "a b", ""):
        answer = await client.get("/sale", headers={**BROWSER, "host": host})
        assert answer.status_code == 421, host
    assert publisher.clicks() == []


async def test_it_finds_the_domain_by_host(client: Client, publisher: Publisher) -> None:
    publisher.link("only", LinkSnapshot(link_id=20, url="https://two.example/"), domain_id=2)
    assert (await client.get("/only", headers={"host": "CASE.example:443"})).status_code == 302
    assert (await client.get("/only", headers={"host": "case.example."})).status_code == 302
    assert (await client.get("/only", headers={"host": "go.example"})).status_code == 404
    assert (await client.get("/sale", headers={"host": "go.example"})).status_code == 302


@pytest.mark.parametrize(
    ("slug", "asked", "host", "found"),
    [
        ("Sale-2026", "SALE-2026", "go.example", True),
        ("Sale-2026", "sale-2026", "case.example", False),
        ("Sale-2026", "Sale-2026", "case.example", True),
        ("promoção", "promo\u00e7\u00e3o", "go.example", True),
        ("promoção", "promoc\u0327a\u0303o", "go.example", True),
        ("promoção", "PROMOÇÃO", "go.example", True),
        ("promoção", "PROMOÇÃO", "case.example", False),
        ("promoção", "promoc\u0327a\u0303o", "case.example", True),
        ("лето", "ЛЕТО", "go.example", True),
        ("a_b-c", "%61_b%2Dc", "go.example", True),
    ],
)
async def test_it_looks_slugs_up_by_the_domains_case_rule(
    client: Client, publisher: Publisher, slug: str, asked: str, host: str, found: bool
) -> None:
    domain_id = 2 if host == "case.example" else 1
    publisher.link(slug, LinkSnapshot(link_id=30, url=URL), domain_id=domain_id)
    answer = await client.get(f"/{quote(asked, safe='%')}", headers={"host": host})
    assert (answer.status_code == 302) == found


async def test_it_finds_the_longest_slug_in_any_normal_form(client: Client, publisher: Publisher) -> None:
    slug = check_slug("\u1ec7" * LONGEST_SLUG)
    publisher.link(slug, LinkSnapshot(link_id=3, url=URL))
    for form in ("NFC", "NFD"):
        answer = await client.get("/" + quote(normalize(form, slug)), headers=BROWSER)
        assert answer.status_code == 302, form


async def test_it_obeys_a_change_within_a_second(client: Client, publisher: Publisher) -> None:
    assert (await client.get("/sale")).status_code == 302
    assert (await client.get("/later")).status_code == 404
    publisher.link("sale", LinkSnapshot(link_id=7, url="https://shop.example/new"))
    publisher.link("later", LinkSnapshot(link_id=40, url=URL))
    for path, location in (("/sale", "https://shop.example/new"), ("/later", URL)):
        await _until(client, path, status=302, location=location)
    publisher.link("sale", LinkSnapshot())
    await _until(client, "/sale", status=404)


async def test_it_obeys_a_changed_domain(client: Client, publisher: Publisher) -> None:
    publisher.domain("new.example", DomainSnapshot(domain_id=1, host="new.example"))
    assert (await client.get("/sale", headers={"host": "new.example"})).status_code == 302
    publisher.domain("new.example", DomainSnapshot())
    deadline = time.monotonic() + 10
    while (await client.get("/sale", headers={"host": "new.example"})).status_code != 421:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_it_never_says_unknown_before_all_snapshots_are_there(
    client: Client, publisher: Publisher
) -> None:
    assert (await client.get("/sale")).status_code == 302
    publisher.redis.delete(keys.SNAPSHOTS_READY)
    answer = await client.get("/unknown")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["cache-control"] == "private, no-store"
    assert "Casa Aroeira" in await answer.get_data(as_text=True)
    assert (await client.get("/sale")).status_code == 302
    publisher.redis.delete(keys.link(1, "sale"))
    publisher.redis.publish(keys.CHANGED, keys.link(1, "sale"))
    await asyncio.sleep(0.1)
    assert (await client.get("/sale")).status_code == 302  # held, and nobody says that it is gone
    publisher.ready()
    assert (await client.get("/unknown")).status_code == 404
    await _until(client, "/sale", status=404)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x82\xa1v\x63\xa1i\x07", id="of a newer schema"),
        pytest.param(b"\xc1 nonsense", id="of no schema"),
        pytest.param(
            link_snapshot.encode(
                LinkSnapshot(link_id=7, url="https://a.example/\r\nset-cookie: x"), revision=0
            )[8:],
            id="that would split a header",
        ),
    ],
)
async def test_it_keeps_what_it_had_when_a_snapshot_can_not_be_read(
    client: Client, publisher: Publisher, body: bytes
) -> None:
    assert (await client.get("/sale")).status_code == 302
    framed = publisher.revision().to_bytes(8, "big") + body
    publisher.write(keys.link(1, "sale"), framed)
    publisher.write(keys.link(1, "fresh"), framed)
    await asyncio.sleep(0.1)
    answer = await client.get("/sale")
    assert (answer.status_code, answer.headers["location"]) == (302, URL)
    assert (await client.get("/fresh")).status_code == 503
    publisher.link("sale", LinkSnapshot(link_id=7, url="https://shop.example/mended"))
    await _until(client, "/sale", status=302, location="https://shop.example/mended")


async def test_it_commits_many_clicks_in_few_groups(client: Client, publisher: Publisher) -> None:
    await client.get(
        "/sale", headers=BROWSER
    )  # the link is at hand: a busy machine may take longer than its bound
    answers = await asyncio.gather(*(client.get("/sale", headers=BROWSER) for _ in range(199)))
    assert {answer.status_code for answer in answers} == {302}
    assert len(await publisher.kept(200)) == 200


async def _until(client: Client, path: str, *, status: int, location: str | None = None) -> None:
    deadline = time.monotonic() + 10
    while True:
        answer = await client.get(path)
        if answer.status_code == status and answer.headers.get("location") == location:
            return
        assert time.monotonic() < deadline, (answer.status_code, answer.headers)
        await asyncio.sleep(0.01)
