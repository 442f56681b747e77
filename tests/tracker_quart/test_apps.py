"""Links that open apps: what each phone is answered, and what the click keeps of it."""

import base64
import hashlib
import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import unquote
from uuid import UUID

import pytest
from quart.typing import TestClientProtocol as Client

from core.contracts import click_event
from core.contracts.link_snapshot import AppLinks, Condition, LinkSnapshot, Rule, Variant
from tests.core.domain.test_app_links import IN_APP, IPHONE, MAC, PHONE
from tests.tracker_quart.conftest import Publisher
from tests.tracker_quart.lanes import LAST, Lane, outcomes, two_lanes
from tracker_quart.app_page import AppPage

WEB = "https://shop.example/a?utm_source=mail#top"
SCHEMED = "myapp://product/1?id={click_id}"
APPS = AppLinks(ios=SCHEMED, android=SCHEMED)
VIP = Rule(id=1, conditions=(Condition("query", name="vip"),), url="https://shop.example/vip")
PAIR = (Variant(id=2, url="https://a.example/"), Variant(id=3, url="https://b.example/"))


def linked(**fields: object) -> LinkSnapshot:
    known = {"link_id": 7, "url": WEB, "apps": APPS, "pass_query": False}
    return LinkSnapshot(**{**known, **fields})  # type: ignore[arg-type]


def hrefs(text: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'<a class="button[^>]* href="([^"]*)"', text)]


async def test_it_leads_android_to_an_intent_with_a_way_back(client: Client, publisher: Publisher) -> None:
    publisher.link("app", linked(pass_query=True, status=307, no_referrer=True))
    answer = await client.get("/app?x=%23Intent;y=a;b&s=flyer", headers={"user-agent": PHONE})
    (click,) = await publisher.kept(1)
    intent, _, back = answer.headers["location"].partition("S.browser_fallback_url=")
    passed = "x=%23Intent;y=a;b"
    assert intent == f"intent://product/1?id={UUID(bytes=click.id)}&{passed}#Intent;scheme=myapp;"
    assert unquote(back) == f"https://shop.example/a?utm_source=mail&{passed}#top;end"
    assert (answer.status_code, answer.headers["referrer-policy"]) == (307, "no-referrer")
    assert (click.outcome, click.app, click.source) == ("redirect", "android", "flyer")
    assert click.landing_utm == "utm_source=mail"


async def test_it_gives_ios_a_page_that_tries_the_app(client: Client, publisher: Publisher) -> None:
    publisher.link("app", linked(apps=AppLinks(ios="myapp://a?b=\"<&>{_referrer}'")))
    answer = await client.get("/app", headers={"user-agent": IPHONE, "referer": 'https://x/"><script>'})
    text = await answer.get_data(as_text=True)
    assert answer.status_code == 200 and "location" not in answer.headers
    app, web = hrefs(text)
    assert (app, web) == ("myapp://a?b=\"<&>https://x/%22%3E%3Cscript%3E'", WEB)
    assert text.count("<script>") == 1 and "Open in the app" in text and "Casa Aroeira" in text
    (click,) = await publisher.kept(1)
    assert (click.outcome, click.app, click.landing_utm) == ("redirect", "ios", "utm_source=mail")


@pytest.mark.parametrize("agent", [IPHONE, PHONE, IN_APP])
async def test_it_redirects_to_an_address_that_the_phone_knows_as_an_apps(
    client: Client, publisher: Publisher, agent: str
) -> None:
    address = "https://app.example/1?utm_source=app"
    publisher.link(
        "app", linked(apps=AppLinks(ios=address, android=address), split=PAIR, split_key=b"k" * 16)
    )
    answer = await client.get("/app", headers={"user-agent": agent})
    assert (answer.status_code, answer.headers["location"]) == (302, address)
    (click,) = await publisher.kept(1)
    assert (click.variant, click.landing_utm) == (0, "utm_source=app")


@pytest.mark.parametrize(
    ("method", "path", "headers", "location"),
    [
        ("GET", "/app", {"user-agent": MAC}, WEB),
        ("GET", "/app", {"user-agent": IN_APP}, WEB),
        ("HEAD", "/app", {"user-agent": IPHONE}, WEB),
        ("GET", "/app", {"user-agent": f"{IPHONE} facebookexternalhit/1.1 Facebot Twitterbot/1.0"}, WEB),
        ("GET", "/app", {"user-agent": IPHONE, "purpose": "prefetch"}, WEB),
        ("GET", "/app?vip", {"user-agent": IPHONE}, VIP.url),
        ("GET", "/app?vip", {"user-agent": PHONE}, VIP.url),
    ],
)
async def test_it_leads_others_to_the_destination(
    client: Client, publisher: Publisher, method: str, path: str, headers: dict[str, str], location: str
) -> None:
    publisher.link("app", linked(rules=(VIP,)))
    answer = await client.open(path, method=method, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (302, location)
    assert [click.app for click in await publisher.kept(1)] == [""]


async def test_it_leads_back_to_the_variant_of_the_visitor(client: Client, publisher: Publisher) -> None:
    publisher.link("app", linked(rules=(VIP,), split=PAIR, split_key=b"k" * 16))
    urls = {variant.id: variant.url for variant in PAIR}
    page = await client.get("/app", headers={"user-agent": IPHONE})
    web = hrefs(await page.get_data(as_text=True))[1]
    intent = (await client.get("/app", headers={"user-agent": PHONE})).headers["location"]
    ios, android = await publisher.kept(2)
    assert web == urls[ios.variant]
    assert unquote(intent).endswith(f"S.browser_fallback_url={urls[android.variant]};end")


@pytest.mark.parametrize(
    "changes", [{"state": "paused"}, {"expires_ms": 1, "fallback_url": "https://c.example/"}]
)
async def test_it_opens_no_app_where_the_link_does_not_lead(
    client: Client, publisher: Publisher, changes: dict[str, object]
) -> None:
    publisher.link("app", linked(**changes))
    answer = await client.get("/app", headers={"user-agent": IPHONE})
    assert "myapp" not in await answer.get_data(as_text=True)
    assert answer.headers.get("location", "") == changes.get("fallback_url", "")
    assert [click.app for click in await publisher.kept(1)] == [""]


@pytest.mark.parametrize("system", ["ios", "android"])
async def test_it_takes_no_address_that_would_split_a_header(
    client: Client, publisher: Publisher, system: str
) -> None:
    publisher.link("app", linked(apps=AppLinks(**{system: "myapp://a\r\nset-cookie: x"})))
    assert (await client.get("/app", headers={"user-agent": MAC})).status_code == 503


@pytest.mark.parametrize(
    ("language", "words"), [("pt-BR", "Continuar na web"), ("de", "Continue on the web")]
)
@pytest.mark.parametrize("brand", ["", "<b>A & B</b>"])
def test_it_has_a_small_page_that_runs_its_own_script_alone(language: str, words: str, brand: str) -> None:
    answer = AppPage().answer(
        app_url="myapp://a\ufdd1", web_url="https://b.example/?c&d", accept_language=language, brand=brand
    )
    headers, text = dict(answer.headers), answer.body.decode()
    assert words in text and len(answer.body) < 15_000
    assert "<b>" not in text and ("A &amp; B" in text) is bool(brand)
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"] and " on" + "click=" not in text
    assert headers["cache-control"] == "private, no-store"
    assert headers["content-length"] == str(len(answer.body))


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lane, Lane]]:
    with two_lanes(tmp_path_factory.mktemp("lanes") / "here") as lanes:
        yield lanes


@pytest.mark.parametrize("agent", [IPHONE, PHONE, IN_APP, MAC])
@pytest.mark.parametrize(
    "apps", [AppLinks(ios="myapp://1", android="myapp://1"), AppLinks(ios="https://a.example/")]
)
def test_it_leads_alike_in_both_lanes(lanes: tuple[Lane, Lane], agent: str, apps: AppLinks) -> None:
    for lane in lanes:
        lane.publisher.link("app", linked(apps=apps, link_id=len(agent)))
    request = f"GET /app?x=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\n\r\n".encode()
    fast, slow = outcomes(lanes, request * 2 + LAST)
    assert fast == slow
    assert [click.outcome for click in fast.clicks].count(click_event.REDIRECT) == 3
