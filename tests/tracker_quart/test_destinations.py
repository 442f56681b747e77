"""Where visitors are led with a query, macros and a click id, and what the click keeps of it."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest
from quart.typing import TestClientProtocol as Client

from core.config import Settings
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule, Variant
from core.domain.networks import Networks
from tests.tasks.mmdb import write_mmdb
from tests.tracker_quart.conftest import CHROME, Publisher
from tracker_quart.app import create_app

BROWSER = {
    "user-agent": CHROME,
    "host": "go.example",
    "accept-language": "pt-BR",
    "referer": "https://n.example/",
}


async def test_it_passes_the_query_on_and_keeps_the_source(client: Client, publisher: Publisher) -> None:
    answer = await client.get("/sale?utm_source=web&s=mail%201&y=%C3%A9&y", headers=BROWSER)
    assert answer.headers["location"] == "https://shop.example/sale?x=%20y&utm_source=web&y=%C3%A9&y#top"
    (click,) = await publisher.kept(1)
    assert (click.source, click.landing_utm) == ("mail 1", "utm_source=web")
    assert click.query == "utm_source=web&s=mail%201&y=%C3%A9&y"


async def test_it_names_the_source_as_the_domain_says(client: Client, publisher: Publisher) -> None:
    publisher.link("a", LinkSnapshot(link_id=50, url="https://a.example/", pass_query=False))
    publisher.link("b", LinkSnapshot(link_id=51, url="https://a.example/"))
    for name, location, source in (("ref", "s=1", "2"), ("", "s=1&ref=2", "")):
        host = f"{name or 'none'}.example"
        publisher.domain(host, DomainSnapshot(domain_id=1, host=host, source_param=name))
        answer = await client.get("/b?s=1&ref=2", headers={**BROWSER, "host": host})
        assert answer.headers["location"] == f"https://a.example/?{location}"
        assert (await publisher.kept(1))[-1].source == source
        publisher.redis.delete("{rastro}:q:track")
    answer = await client.get("/a?s=1&ref=2", headers=BROWSER)
    assert answer.headers["location"] == "https://a.example/"
    assert [click.source for click in await publisher.kept(1)] == ["1"]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("{click_id}", "ID"),
        ("{campaign}.{campaign_id}.{link_id}", "Black%20Friday.3.60"),
        ("{domain}.{slug}.{source}", "go.example.m.mail"),
        ("{device}.{os}.{browser}", "desktop.Linux.Chrome"),
        ("{language}.{referrer}", "pt-BR.https%3A%2F%2Fn.example%2F"),
        ("{timestamp}", "TIME"),
        ("{colour}", ""),
    ],
)
async def test_it_fills_macros_in(client: Client, publisher: Publisher, url: str, wanted: str) -> None:
    publisher.link(
        "m",
        LinkSnapshot(
            link_id=60,
            url=f"https://a.example/?v={url}",
            campaign_id=3,
            campaign="Black Friday",
            pass_query=False,
        ),
    )
    answer = await client.get("/m?s=mail", headers=BROWSER)
    (click,) = await publisher.kept(1)
    value = {"ID": str(UUID(bytes=click.id)), "TIME": str(click.unix_ms // 1000)}.get(wanted, wanted)
    assert answer.headers["location"] == f"https://a.example/?v={value}"


async def test_it_fills_in_the_country_where_it_is_known(
    publisher: Publisher, tracker_settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "geo.mmdb"
    write_mmdb(path, ip_network("203.0.113.0/24"), {"country": {"iso_code": "BR"}})
    publisher.world()
    publisher.link("c", LinkSnapshot(link_id=60, url="https://a.example/{country}?c={COUNTRY}"))
    for known, country in ((path, "BR"), (None, "")):
        app = create_app(replace(tracker_settings, geoip_mmdb=known, trusted_proxies=Networks(hops=1)))
        async with app.test_app():
            found = [
                (await app.test_client().get("/c", headers={**BROWSER, "x-forwarded-for": ip})).headers[
                    "location"
                ]
                for ip in ("203.0.113.9", "198.51.100.9")
            ]
        assert found == [f"https://a.example/{country}?c={country}", "https://a.example/?c="]


async def test_it_adds_the_click_id_that_it_keeps(client: Client, publisher: Publisher) -> None:
    publisher.link(
        "p", LinkSnapshot(link_id=61, url="https://a.example/", click_id_param="subid", status=307)
    )
    answer = await client.get("/p?subid=forged", headers=BROWSER)
    (click,) = await publisher.kept(1)
    assert (answer.status_code, answer.headers["location"]) == (
        307,
        f"https://a.example/?subid={UUID(bytes=click.id)}",
    )


_PAIR = (Variant(id=2, url="https://b.example/{slug}?v=1"), Variant(id=3, url="https://b.example/{slug}?v=1"))


@pytest.mark.parametrize(
    ("rules", "split", "rule", "has_variant"),
    [
        ((Rule(id=1, conditions=(Condition("query", name="vip"),), url=_PAIR[0].url),), _PAIR, 1, False),
        ((Rule(id=1, conditions=(Condition("query", name="vip"),), split=_PAIR),), (), 1, True),
        (
            (Rule(id=1, conditions=(Condition("query", name="other"),), url="https://c.example/"),),
            _PAIR,
            0,
            True,
        ),
    ],
    ids=["rule", "split of a rule", "split"],
)
async def test_it_treats_what_a_rule_or_split_chose_as_the_links_own_destination(
    client: Client,
    publisher: Publisher,
    rules: tuple[Rule, ...],
    split: tuple[Variant, ...],
    rule: int,
    has_variant: bool,
) -> None:
    publisher.link(
        "r",
        LinkSnapshot(
            link_id=63,
            url="https://a.example/",
            status=307,
            no_referrer=True,
            click_id_param="subid",
            rules=rules,
            split=split,
            split_key=b"k" * 16,
        ),
    )
    answer = await client.get("/r?vip=1&s=mail&utm_source=web&subid=forged", headers=BROWSER)
    (click,) = await publisher.kept(1)
    wanted = f"https://b.example/r?v=1&subid={UUID(bytes=click.id)}&vip=1&utm_source=web"
    assert (answer.status_code, answer.headers["location"]) == (307, wanted)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert (click.rule, click.variant in (2, 3)) == (rule, has_variant)
    assert (click.outcome, click.source, click.landing_utm) == ("redirect", "mail", "utm_source=web")


async def test_it_asks_no_rule_outside_the_links_time(client: Client, publisher: Publisher) -> None:
    rules = (Rule(id=1, conditions=(Condition("query", name="vip"),), url="https://b.example/"),)
    over = LinkSnapshot(
        link_id=64,
        url="https://a.example/",
        expires_ms=1,
        fallback_url="https://c.example/",
        rules=rules,
        split=_PAIR,
    )
    publisher.link("t", over)
    answer = await client.get("/t?vip=1", headers=BROWSER)
    assert answer.headers["location"] == "https://c.example/"
    (click,) = await publisher.kept(1)
    assert (click.outcome, click.rule, click.variant) == ("expired", 0, 0)


async def test_it_passes_nothing_to_a_fallback(client: Client, publisher: Publisher) -> None:
    publisher.link(
        "o",
        LinkSnapshot(link_id=62, url="https://a.example/", expires_ms=1, fallback_url="https://b.example/"),
    )
    answer = await client.get("/o?x=1&s=mail", headers=BROWSER)
    assert answer.headers["location"] == "https://b.example/"
    (click,) = await publisher.kept(1)
    assert (click.outcome, click.source, click.landing_utm) == ("expired", "mail", None)
