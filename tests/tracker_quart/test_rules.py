"""Rules and splits as visitors meet them, and what is kept of it."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from core.config import Settings
from core.contracts import link_snapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule, Variant
from tests.tasks.mmdb import write_mmdb
from tests.tracker_quart.conftest import CHROME, URL, Publisher
from tracker_quart import compiled
from tracker_quart.app import create_app
from tracker_quart.snapshots import Entry, link_in

PHONE = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36"
)
RULED = LinkSnapshot(
    link_id=7,
    url=URL,
    rules=(
        Rule(id=1, conditions=(Condition("robot"),), url="https://shop.example/robot"),
        Rule(id=2, conditions=(Condition("query", name="vip"),), url="https://shop.example/vip"),
        Rule(
            id=3,
            conditions=(
                Condition("device", values=("mobile",)),
                Condition("language", values=("pt",)),
                Condition("ip", values=("203.0.113.0/24", "2001:db8::/32")),
            ),
            split=(Variant(id=31, url="https://a.example/"), Variant(id=32, url="https://b.example/")),
        ),
        Rule(
            id=4,
            conditions=(Condition("referrer", values=("news.example",)),),
            url="https://shop.example/news",
        ),
    ),
    split=(Variant(id=41, url="https://c.example/", weight=3), Variant(id=42, url="https://d.example/")),
    split_key=b"0123456789abcdef",
)


@pytest.fixture
def tracker_settings(environment: dict[str, str]) -> Settings:
    """One proxy stands before the tracker, whoever it is."""
    return Settings.from_env(
        {**environment, "DEFAULT_HOSTS": "localhost", "DRAIN_LIMIT": "2", "TRUSTED_PROXIES": "1"}
    )


@pytest.mark.parametrize(
    ("path", "headers", "location", "rule"),
    [
        ("/ruled?vip", {"user-agent": "curl/8.5.0"}, "https://shop.example/robot", 1),
        ("/ruled?a=1&vip=0", {}, "https://shop.example/vip", 2),
        ("/ruled", {"referer": "https://www.news.example/a"}, "https://shop.example/news", 4),
    ],
)
async def test_it_follows_the_first_rule_that_matches(
    client: Client, publisher: Publisher, path: str, headers: dict[str, str], location: str, rule: int
) -> None:
    publisher.link("ruled", RULED)
    answer = await client.get(path, headers={"user-agent": CHROME, **headers})
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (302, location)
    assert [(click.rule, click.variant) for click in await publisher.kept(1)] == [(rule, 0)]


@pytest.mark.parametrize("ip", ["203.0.113.9", "2001:db8::9"])
async def test_it_keeps_a_visitor_at_the_variant_of_a_rule(
    client: Client, publisher: Publisher, ip: str
) -> None:
    publisher.link("ruled", RULED)
    headers = {"user-agent": PHONE, "accept-language": "pt-BR", "x-forwarded-for": ip}
    locations = {(await client.get("/ruled", headers=headers)).headers["location"] for _ in range(5)}
    (location,) = locations
    led = {(click.rule, click.variant) for click in await publisher.kept(5)}
    assert led == {(3, 31 if location == "https://a.example/" else 32)}


async def test_it_deals_visitors_out_who_match_no_rule(client: Client, publisher: Publisher) -> None:
    publisher.link("ruled", RULED)
    for number in range(60):
        headers = {"user-agent": CHROME, "x-forwarded-for": f"198.51.100.{number}"}
        answer = await client.get("/ruled", headers=headers)
        assert answer.headers["location"] in ("https://c.example/", "https://d.example/")
    counts = Counter(click.variant for click in await publisher.kept(60))
    assert counts.keys() == {41, 42} and 30 < counts[41] < 57


async def test_it_obeys_a_changed_rule_within_a_second(client: Client, publisher: Publisher) -> None:
    publisher.link("ruled", RULED)
    headers = {"user-agent": CHROME}
    assert "/vip" in (await client.get("/ruled?vip", headers=headers)).headers["location"]
    changed = Rule(id=2, conditions=(Condition("query", name="vip"),), url="https://shop.example/gold")
    publisher.link("ruled", LinkSnapshot(link_id=7, url=URL, rules=(changed,)))
    deadline = time.monotonic() + 10  # generous: the benchmark says how soon it is
    while changed.url not in (await client.get("/ruled?vip", headers=headers)).headers["location"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert (await client.get("/ruled", headers=headers)).headers["location"] == URL


async def test_it_holds_a_paused_link_whatever_its_rules_say(client: Client, publisher: Publisher) -> None:
    paused = LinkSnapshot(link_id=7, url=URL, state="paused", rules=RULED.rules, split=RULED.split)
    publisher.link("ruled", paused)
    assert (await client.get("/ruled?vip", headers={"user-agent": CHROME})).status_code == 404
    assert [(click.outcome, click.rule) for click in await publisher.kept(1)] == [("paused", 0)]


@pytest.mark.parametrize("where", ["rule", "split", "split of a rule"])
async def test_it_takes_no_address_that_would_split_a_header(
    client: Client, publisher: Publisher, where: str
) -> None:
    bad = "https://a.example/\r\nset-cookie: x"
    variants = (Variant(id=1, url=URL), Variant(id=2, url=bad))
    condition = Condition("query", name="vip")
    links = {
        "rule": LinkSnapshot(link_id=7, url=URL, rules=(Rule(id=1, conditions=(condition,), url=bad),)),
        "split": LinkSnapshot(link_id=7, url=URL, split=variants),
        "split of a rule": LinkSnapshot(
            link_id=7, url=URL, rules=(Rule(id=1, conditions=(condition,), split=variants),)
        ),
    }
    publisher.link("ruled", links[where])
    assert (await client.get("/ruled")).status_code == 503


async def test_it_looks_countries_up_for_a_rule(
    publisher: Publisher, tracker_settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "geo.mmdb"
    write_mmdb(path, ip_network("203.0.113.0/24"), {"country": {"iso_code": "BR"}})
    publisher.world()
    brazil = Rule(id=9, conditions=(Condition("country", values=("BR",)),), url="https://shop.example/br")
    publisher.link("ruled", LinkSnapshot(link_id=7, url=URL, rules=(brazil,)))
    for known, locations in ((path, ["https://shop.example/br", URL]), (None, [URL, URL])):
        app = create_app(replace(tracker_settings, geoip_mmdb=known))
        async with app.test_app():
            found = [
                (await app.test_client().get("/ruled", headers={"x-forwarded-for": ip})).headers["location"]
                for ip in ("203.0.113.9", "198.51.100.9")
            ]
        assert found == locations


def test_it_compiles_a_link_once_and_only_one_that_has_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    compile_plan = compiled.plan_of
    monkeypatch.setattr(
        compiled,
        "plan_of",
        lambda link: made.append(link.link_id) or compile_plan(link),  # type: ignore[func-returns-value]
    )
    compiled.compiled_of.cache_clear()
    ruled = Entry(link_snapshot.encode(RULED, revision=1), 0.0, 0)
    for _ in range(3):
        assert link_in(ruled).link == RULED and link_in(ruled).plan is not None
        compiled.compiled_of.cache_clear()  # as a link that is not asked for often falls out of it
    assert made == [7]
    plain = Entry(link_snapshot.encode(LinkSnapshot(link_id=8), revision=1), 0.0, 0)
    assert link_in(plain).link.link_id == 8 and link_in(plain).plan is None and plain.ruled is None
