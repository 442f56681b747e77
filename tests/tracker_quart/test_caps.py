"""Links with a click cap: so many people are led, by all trackers together, and every click is kept."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from core.config import Settings
from core.contracts import click_event, keys
from core.contracts.click_event import ClickEvent
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot, Variant
from core.domain.decision import Decision
from core.observe import CLICKS
from tests.tracker_quart.conftest import CHROME, URL, Publisher
from tests.tracker_quart.rig import LIMIT_S
from tracker_quart import caps, replaying
from tracker_quart.answered import Answered
from tracker_quart.cap_stream import CappedClick, CapStream
from tracker_quart.caps import Caps, capped_click
from tracker_quart.click_ids import ClickIds
from tracker_quart.contact import Breaker, make_client
from tracker_quart.event_stream import Event
from tracker_quart.keeping import Keeping
from tracker_quart.pipeline import Pipeline
from tracker_quart.replaying import Replay
from tracker_quart.service import Service
from tracker_quart.spool import Spool
from tracker_quart.visit import read_visit

BROWSER = {"user-agent": CHROME}
OVER, PARKED = "https://shop.example/over", "https://shop.example/parked"
LINK = LinkSnapshot(link_id=60, url="https://shop.example/", click_cap=2)
IDS = ClickIds()

Make = Callable[[str], Caps]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not make a Redis that is slow for a moment look like one that is away."""
    monkeypatch.setattr("tracker_quart.service.PATIENCE_S", LIMIT_S)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path / "clicks", limit_bytes=1 << 20)
    yield spool
    await spool.close()


@pytest.fixture
async def make(spool: Spool, publisher: Publisher) -> AsyncIterator[Make]:
    """`make(url)`: what one tracker over that Redis asks about caps."""
    async with AsyncExitStack() as stack:

        def make(url: str) -> Caps:
            client = make_client(url)
            stack.push_async_callback(client.aclose)
            pipeline = Pipeline(client, patience=LIMIT_S)
            stack.callback(pipeline.close)
            keeping = Keeping(spool=spool, breaker=Breaker("test"), answered=Answered())
            return Caps(stream=CapStream(pipeline), keeping=keeping)

        yield make


@pytest.fixture
async def replay(redis_url: str, publisher: Publisher) -> AsyncIterator[Replay]:
    client = make_client(redis_url)
    replay = Replay(client)
    yield replay
    replay.close()
    await client.aclose()


def click(*, cap: int = 1, door_bot: str = "", link_id: int = 60) -> CappedClick:
    event = ClickEvent(id=IDS.new(), link_id=link_id, door_bot=door_bot, landing_utm="utm_source=x")
    return capped_click(event, cap=cap, over=Decision(410, "capped"))


def count(publisher: Publisher, link_id: int = 60) -> int:
    return int(publisher.redis.hget(keys.CAP_COUNTS, str(link_id)) or 0)


async def test_it_leads_so_many_people_and_keeps_every_click(client: Client, publisher: Publisher) -> None:
    publisher.link("few", LINK)
    answers = [await client.get("/few?x=1", headers=BROWSER) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [302, 302, 410, 410]
    assert answers[0].headers["location"] == "https://shop.example/?x=1"
    assert "has reached its limit" in await answers[2].get_data(as_text=True)
    assert answers[2].headers["cache-control"] == "private, no-store"
    clicks = await publisher.kept(4)
    assert [(click.outcome, click.cap, click.landing_utm) for click in clicks] == [
        ("redirect", 2, ""),
        ("redirect", 2, ""),
        ("capped", 0, None),
        ("capped", 0, None),
    ]
    assert (publisher.accepted(), count(publisher)) == (4, 2)
    assert 0 < publisher.redis.ttl(keys.counted(clicks[0].id)) <= keys.COUNTED_TTL_S
    assert len(publisher.redis.keys("{rastro}:counted:*")) == 2


async def test_it_speaks_the_visitors_language_about_it(client: Client, publisher: Publisher) -> None:
    publisher.link("few", LINK)
    publisher.redis.hset(keys.CAP_COUNTS, "60", 2)
    answer = await client.get("/few", headers={**BROWSER, "accept-language": "pt-BR"})
    assert "Este link atingiu o limite" in await answer.get_data(as_text=True)


async def test_it_sends_those_beyond_the_cap_to_a_fallback(client: Client, publisher: Publisher) -> None:
    split = (Variant(id=5, url="https://a.example/"),)
    publisher.link(
        "few",
        LinkSnapshot(
            link_id=60, url=URL, split=split, split_key=b"0" * 16, click_cap=1, fallback_url=OVER, status=307
        ),
    )
    publisher.link("none", LinkSnapshot(link_id=61, url="https://b.example/", click_cap=1, no_referrer=True))
    publisher.domain("go.example", DomainSnapshot(domain_id=1, host="go.example", expired_url=PARKED))
    headers = {**BROWSER, "host": "go.example"}
    found = [await client.get(f"/{slug}?x=1", headers=headers) for slug in ("few", "few", "none", "none")]
    assert [(answer.status_code, answer.headers["location"]) for answer in found] == [
        (307, "https://a.example/?x=1"),
        (302, OVER),
        (302, "https://b.example/?x=1"),
        (302, PARKED),
    ]
    assert found[3].headers["referrer-policy"] == "no-referrer"
    assert [(click.outcome, click.variant) for click in await publisher.kept(4)] == [
        ("redirect", 5),
        ("capped", 0),
        ("redirect", 0),
        ("capped", 0),
    ]


async def test_it_counts_no_robots_and_answers_them_alike(client: Client, publisher: Publisher) -> None:
    publisher.link("few", LINK)
    curl = {"user-agent": "curl/8.5"}
    before = [
        await client.get("/few", headers=curl),
        await client.head("/few", headers=BROWSER),
        await client.get("/few", headers={**BROWSER, "purpose": "prefetch"}),
    ]
    people = [await client.get("/few", headers=BROWSER) for _ in range(2)]
    after = [await client.get("/few", headers=curl), await client.head("/few", headers=BROWSER)]
    assert [answer.status_code for answer in before + people + after] == [302] * 5 + [410] * 2
    clicks = await publisher.kept(7)
    assert [(click.outcome, click.cap) for click in clicks] == [
        *[("redirect", 0)] * 3,
        *[("redirect", 2)] * 2,
        *[("capped", 0)] * 2,
    ]
    assert count(publisher) == 2


async def test_it_obeys_a_raised_and_a_removed_cap(client: Client, publisher: Publisher) -> None:
    async def leads() -> None:
        async with asyncio.timeout(LIMIT_S):
            while (await client.get("/few", headers=BROWSER)).status_code != 302:
                await asyncio.sleep(0.01)

    publisher.link("few", LinkSnapshot(link_id=60, url=URL, click_cap=1))
    await leads()
    assert (await client.get("/few", headers=BROWSER)).status_code == 410
    publisher.link("few", LinkSnapshot(link_id=60, url=URL, click_cap=2))
    await leads()
    assert (await client.get("/few", headers=BROWSER)).status_code == 410
    publisher.link("few", LinkSnapshot(link_id=60, url=URL))
    await leads()
    await leads()
    assert count(publisher) == 2


async def test_it_never_leads_one_too_many_however_many_trackers(
    publisher: Publisher, tracker_settings: Settings, tmp_path: Path
) -> None:
    publisher.world()
    publisher.link("few", LinkSnapshot(link_id=60, url=URL, click_cap=50))
    services = [Service(replace(tracker_settings, spool_dir=tmp_path / name)) for name in ("a", "b")]
    visit = read_visit(
        method="GET",
        target=b"/few",
        query=b"",
        headers=[(b"host", b"localhost"), (b"user-agent", CHROME.encode())],
        peer="203.0.113.7",
        proxies=tracker_settings.trusted_proxies,
    )
    for service in services:
        await service.start()
    try:
        found = await asyncio.gather(
            *(service.redirector.redirect(visit) for _ in range(300) for service in services)
        )
    finally:
        for service in services:
            await service.stop()
    assert Counter(answer.status for answer in found) == {302: 50, 410: 550}
    clicks = publisher.clicks()
    assert Counter(click.outcome for click in clicks) == {"redirect": 50, "capped": 550}
    assert len({click.id for click in clicks}) == publisher.accepted() == 600
    assert count(publisher) == 50


async def test_it_counts_a_click_once_however_often_it_comes(
    make: Make, redis_url: str, publisher: Publisher
) -> None:
    asked = make(redis_url)
    one, other, robot = click(), click(), click(door_bot="agent")
    publisher.redis.script_flush()
    for _ in range(3):
        group = [asked.submit(part) for part in (one, other, robot)]
        assert [await part for part in group] == [True, False, False]
    assert count(publisher) == 1
    assert Counter(kept.id for kept in publisher.clicks()) == {one.id: 1, other.id: 3, robot.id: 3}
    assert publisher.accepted() == 7  # as the stream holds


async def test_it_counts_every_link_by_its_own_cap_and_the_clicks_hour(
    make: Make, redis_url: str, publisher: Publisher
) -> None:
    asked = make(redis_url)
    clicks = [click(cap=cap, link_id=link_id) for link_id, cap in ((60, 1), (61, 2)) for _ in range(3)]
    hour = 3_600_000
    early = capped_click(
        ClickEvent(id=ClickIds(clock_ns=lambda: hour * 497_000 * 1_000_000).new(), link_id=61),
        cap=3,
        over=Decision(410, "capped"),
    )
    verdicts = [await asked.submit(part) for part in (*clicks, early)]
    assert verdicts == [True, False, False, True, True, False, True]
    assert (count(publisher, 60), count(publisher, 61)) == (1, 3)
    counts = publisher.redis.hgetall(keys.ACCEPTED)
    assert counts[click_event.hour_name(hour * 497_000).encode()] == b"1"
    assert publisher.accepted() == 7


async def test_it_leads_while_redis_is_away_and_counts_what_it_replays(
    make: Make, redis_url: str, spool: Spool, publisher: Publisher, replay: Replay
) -> None:
    away, asked = make("unix:///nowhere/valkey.sock"), make(redis_url)
    clicks = [click(cap=2) for _ in range(5)] + [click(cap=2, door_bot="agent")]
    assert await asyncio.gather(*(away.submit(part) for part in clicks)) == [True] * 6
    assert spool.waiting == 6
    beyond = replaying.CAP_OVERSHOOT._value.get()
    await spool.replay(replay.send)
    assert [kept.id for kept in publisher.clicks()] == [part.id for part in clicks]
    assert {kept.outcome for kept in publisher.clicks()} == {"redirect"}
    assert (count(publisher), publisher.accepted()) == (5, 6)
    assert replaying.CAP_OVERSHOOT._value.get() - beyond == 3
    await replay.send([Event(part.id, part.led) for part in clicks])
    assert (count(publisher), len(publisher.clicks())) == (5, 7)  # the robot's alone is there twice
    assert await asked.submit(click(cap=5)) is False


async def test_it_replays_what_redis_had_counted_without_saying_so(
    make: Make, redis_url: str, publisher: Publisher, replay: Replay
) -> None:
    """The reply came too late: the click was counted, and lies on disk as well."""
    asked = make(redis_url)
    one, two = click(cap=1), click(cap=1)
    assert [await asked.submit(part) for part in (one, two)] == [True, False]
    await replay.send([Event(part.id, part.led) for part in (one, two)])
    assert count(publisher) == 2  # both visitors were led
    assert [kept.id for kept in publisher.clicks()] == [one.id, two.id, two.id]


async def test_it_passes_on_what_counts_for_no_cap(publisher: Publisher, replay: Replay) -> None:
    plain = ClickEvent(id=IDS.new(), link_id=7)
    await replay.send([Event(plain.id, click_event.encode(plain)), Event(IDS.new(), b"x")])
    assert [fields[keys.EVENT_FIELD] for _, fields in publisher.redis.xrange(keys.stream("track"))] == [
        click_event.encode(plain),
        b"x",
    ]
    assert count(publisher, 7) == 0


async def test_it_holds_a_bounded_number(
    make: Make, redis_url: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "MOST_PENDING", 10)
    asked, lost = make(redis_url), CLICKS.labels("lost").value
    futures = [asked.submit(click(cap=1)) for _ in range(15)]
    assert [future.done() for future in futures] == [False] * 10 + [True] * 5
    await asked.close()
    assert [await future for future in futures] == [True, *[False] * 9, *[True] * 5]
    assert CLICKS.labels("lost").value - lost == 5
    assert len(publisher.clicks()) == 10


async def test_it_keeps_a_click_whose_caller_gave_up(
    make: Make, redis_url: str, publisher: Publisher
) -> None:
    asked = make(redis_url)
    asked.submit(click()).cancel()
    assert await asked.submit(click()) is False
    assert [kept.outcome for kept in publisher.clicks()] == ["redirect", "capped"]
