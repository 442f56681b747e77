"""Who was here before: told by a mark in Redis, without a cookie, and only where a rule asks."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from core.config import Settings
from core.contracts import keys
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule
from tests.tracker_quart.conftest import CHROME, URL, Publisher
from tests.tracker_quart.lanes import LAST, Lane, outcomes, two_lanes
from tracker_quart import returning
from tracker_quart.contact import Breaker, make_client
from tracker_quart.returning import Visitors, marker

AGAIN, NEW = "https://shop.example/again", "https://shop.example/new"
KEY = b"0123456789abcdef"
RETURNING = Rule(id=1, conditions=(Condition("returning"),), url=AGAIN)
FRESH = Rule(id=2, conditions=(Condition("returning", is_not=True),), url=NEW)
LINK = LinkSnapshot(link_id=7, url=URL, rules=(RETURNING,), split_key=KEY, pass_query=False)
BROWSER = {"user-agent": CHROME, "x-forwarded-for": "203.0.113.9"}


@pytest.fixture
def tracker_settings(environment: dict[str, str]) -> Settings:
    """One proxy stands before the tracker, whoever it is."""
    return Settings.from_env(
        {**environment, "DEFAULT_HOSTS": "localhost", "DRAIN_LIMIT": "2", "TRUSTED_PROXIES": "1"}
    )


def marks(publisher: Publisher) -> list[bytes]:
    return list(publisher.redis.scan_iter(match="rastro:seen:*"))


async def located(client: Client, path: str = "/back", **headers: str) -> str:
    answer = await client.get(
        path, headers={**BROWSER, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )
    return str(answer.headers.get("location", answer.status_code))


async def test_it_knows_who_comes_back(client: Client, publisher: Publisher) -> None:
    publisher.link("back", LINK)
    assert [await located(client) for _ in range(3)] == [URL, AGAIN, AGAIN]
    assert await located(client, x_forwarded_for="203.0.113.10") == URL
    assert await located(client, user_agent=f"{CHROME} Edg/131.0.0.0") == URL
    assert await located(client, x_forwarded_for="203.0.113.10") == AGAIN
    assert [click.rule for click in await publisher.kept(6)] == [0, 1, 1, 0, 0, 1]


async def test_it_knows_who_is_new(client: Client, publisher: Publisher) -> None:
    publisher.link("back", LinkSnapshot(link_id=7, url=URL, rules=(FRESH,), split_key=KEY))
    assert [await located(client) for _ in range(2)] == [NEW, URL]


async def test_it_marks_a_visit_that_another_rule_led(client: Client, publisher: Publisher) -> None:
    vip = Rule(id=3, conditions=(Condition("query", name="vip"),), url=NEW)
    publisher.link(
        "back", LinkSnapshot(link_id=7, url=URL, rules=(vip, RETURNING), split_key=KEY, pass_query=False)
    )
    assert await located(client, "/back?vip") == NEW
    assert await located(client) == AGAIN


async def test_it_knows_visitors_of_each_link_apart(client: Client, publisher: Publisher) -> None:
    publisher.link("back", LINK)
    publisher.link("other", LinkSnapshot(link_id=8, url=URL, rules=(RETURNING,), split_key=KEY))
    assert [await located(client), await located(client, "/other")] == [URL, URL]


async def test_it_keeps_no_address_and_forgets_in_the_end(client: Client, publisher: Publisher) -> None:
    publisher.link("back", LINK)
    await located(client)
    (mark,) = marks(publisher)
    assert mark.startswith(b"rastro:seen:7:") and len(mark) == len("rastro:seen:7:") + 16
    assert publisher.redis.get(mark) == b"1"
    publisher.redis.expire(mark, 60)
    await located(client)
    assert keys.SEEN_TTL_S - 600 < publisher.redis.ttl(mark) <= keys.SEEN_TTL_S


@pytest.mark.parametrize(
    ("method", "headers", "changes"),
    [
        ("HEAD", {}, {}),
        ("GET", {"user-agent": "curl/8.5"}, {}),
        ("GET", {"purpose": "prefetch"}, {}),
        ("GET", {}, {"state": "paused"}),
        ("GET", {}, {"expires_ms": 1, "fallback_url": "https://a.example/"}),
        ("GET", {}, {"starts_ms": 1 << 50}),
        ("GET", {}, {"split_key": b""}),
        ("GET", {}, {"rules": (Rule(id=3, conditions=(Condition("robot"),), url=NEW),)}),
    ],
)
async def test_it_marks_only_people_whom_it_leads(
    client: Client,
    publisher: Publisher,
    method: str,
    headers: dict[str, str],
    changes: dict[str, object],
) -> None:
    known = {"link_id": 7, "url": URL, "rules": (RETURNING,), "split_key": KEY}
    publisher.link("back", LinkSnapshot(**{**known, **changes}))  # type: ignore[arg-type]
    for _ in range(2):
        answer = await client.open("/back", method=method, headers={**BROWSER, **headers})
        assert answer.headers.get("location") != AGAIN
    assert marks(publisher) == []


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lane, Lane]]:
    with two_lanes(tmp_path_factory.mktemp("lanes") / "here") as lanes:
        yield lanes


def test_it_knows_visitors_alike_in_both_lanes(lanes: tuple[Lane, Lane]) -> None:
    for lane in lanes:
        lane.publisher.link("back", LINK)
    request = f"GET /back HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {CHROME}\r\n\r\n".encode()
    for location in (URL, AGAIN):
        fast, slow = outcomes(lanes, request + LAST)
        assert fast == slow and f"location: {location}\r\n".encode() in fast.answers
    pipelined = request.replace(b"\r\n\r\n", b"; x\r\n\r\n")
    fast, slow = outcomes(lanes, pipelined * 3 + LAST)
    assert fast == slow
    assert [fast.answers.count(f"location: {url}\r\n".encode()) for url in (URL, AGAIN)] == [1, 2]


async def test_it_asks_for_a_hundred_in_few_round_trips(
    publisher: Publisher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        returning, "PATIENCE_S", 20.0
    )  # however slow this machine is: it is round trips that count
    client = make_client(settings.redis_url)
    mark = marker(client)
    groups: list[int] = []

    async def counted(names: Sequence[str]) -> Sequence[bool]:
        groups.append(len(names))
        return await mark(names)

    visitors = Visitors(mark=counted, breaker=Breaker("test"))
    names = [keys.seen(7, str(number % 100)) for number in range(300)]
    known = await asyncio.gather(*map(visitors.return_of, names))
    assert known == [False] * 100 + [True] * 200
    assert sum(groups) == 300 and len(groups) <= 3
    await client.aclose()


async def test_it_takes_everybody_for_new_while_redis_is_away(tmp_path: Path) -> None:
    client = make_client(f"unix://{tmp_path}/nothing.sock")
    breaker = Breaker("test")
    visitors = Visitors(mark=marker(client), breaker=breaker)
    assert await asyncio.gather(*(visitors.return_of("a") for _ in range(5))) == [False] * 5
    assert breaker.failing and not await visitors.return_of("a")
    await client.aclose()


async def test_it_waits_for_nobody_who_does_not_answer() -> None:
    async def hang(names: Sequence[str]) -> Sequence[bool]:
        await asyncio.Event().wait()
        return []

    visitors = Visitors(mark=hang, breaker=Breaker("test"))
    assert await asyncio.gather(*(visitors.return_of("a") for _ in range(5))) == [False] * 5
