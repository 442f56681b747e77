"""Group commit: in Redis, on disk, or counted as lost; never forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.contracts import click_event, keys
from core.contracts.click_event import ClickEvent
from core.observe import CLICKS
from tests.tracker_quart.conftest import Publisher
from tests.tracker_quart.rig import LIMIT_S, Valkey
from tracker_quart import event_log
from tracker_quart.answered import Answered
from tracker_quart.click_ids import ClickIds
from tracker_quart.contact import Breaker, make_client
from tracker_quart.event_log import LARGE, MOST_TRAVELLING, EventLog
from tracker_quart.event_stream import Event, EventStream
from tracker_quart.keeping import Keeping
from tracker_quart.pipeline import Pipeline
from tracker_quart.spool import Spool

IDS = ClickIds()


def kept_by(spool: Spool, breaker: Breaker | None = None) -> Keeping:
    return Keeping(spool=spool, breaker=breaker or Breaker("test"), answered=Answered())


def click(click_id: bytes | None = None) -> Event:
    click_id = click_id or IDS.new()
    return Event(click_id, click_event.encode(ClickEvent(id=click_id, link_id=7)))


@pytest.fixture
async def stream(redis_url: str, publisher: Publisher) -> AsyncIterator[EventStream]:
    client = make_client(redis_url)
    pipeline = Pipeline(client, patience=LIMIT_S)
    yield EventStream(pipeline)
    pipeline.close()
    await client.aclose()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    yield spool
    await spool.close()


async def test_it_adds_in_order_and_counts_by_the_clicks_hour(
    stream: EventStream, publisher: Publisher
) -> None:
    hour = 3_600_000
    moments = [hour * 497_000 - 1, hour * 497_000, hour * 497_000 + 5]
    made = [click(ClickIds(clock_ns=lambda ms=ms: ms * 1_000_000).new()) for ms in moments]
    publisher.redis.script_flush()
    await stream.add(made[:2])
    await stream.add(made[2:])
    assert [event.id for event in publisher.clicks()] == [one.id for one in made]
    counts = publisher.redis.hgetall(keys.ACCEPTED)
    assert counts == {
        click_event.hour_name(moments[0]).encode(): b"1",
        click_event.hour_name(moments[1]).encode(): b"2",
    }


async def test_it_closes_after_everything_it_took(
    stream: EventStream, spool: Spool, publisher: Publisher
) -> None:
    log = EventLog(stream=stream, keeping=kept_by(spool))
    for _ in range(1200):
        log.submit(click())
    await log.close()
    assert len(publisher.clicks()) + spool.waiting == 1200


async def test_it_keeps_a_click_whose_caller_gave_up(
    stream: EventStream, spool: Spool, publisher: Publisher
) -> None:
    log = EventLog(stream=stream, keeping=kept_by(spool))
    future = log.submit(click())
    future.cancel()
    await log.close()
    assert len(publisher.clicks()) + spool.waiting == 1


async def test_it_spools_when_redis_refuses(spool: Spool) -> None:
    client = make_client("unix:///nowhere/valkey.sock")
    breaker = Breaker("test")
    log = EventLog(stream=EventStream(Pipeline(client, patience=LIMIT_S)), keeping=kept_by(spool, breaker))
    await asyncio.gather(*(log.submit(click()) for _ in range(20)))
    assert (spool.waiting, breaker.failing) == (20, True)
    await client.aclose()


async def test_it_lets_visitors_go_when_even_the_disk_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "spool", limit_bytes=1 << 20)
    client = make_client("unix:///nowhere/valkey.sock")
    log = EventLog(stream=EventStream(Pipeline(client, patience=LIMIT_S)), keeping=kept_by(spool))
    lost = CLICKS.labels("lost").value
    await asyncio.gather(*(log.submit(click()) for _ in range(20)))
    assert CLICKS.labels("lost").value - lost == 20
    await spool.close()
    await client.aclose()


async def test_it_holds_a_bounded_number(
    stream: EventStream, spool: Spool, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "MOST_PENDING", 10)
    log = EventLog(stream=stream, keeping=kept_by(spool))
    futures = [log.submit(click()) for _ in range(15)]
    assert [future.done() for future in futures] == [False] * 10 + [True] * 5
    await log.close()
    assert len(publisher.clicks()) + spool.waiting == 10


async def test_it_speaks_to_a_server_with_a_password_and_a_database_number(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path)
    valkey.client.config_set("requirepass", "s3cret")
    path = valkey.url.removeprefix("unix://")
    client: Any = make_client(f"unix://:s3cret@{path}?db=3")
    try:
        pipeline = Pipeline(client, patience=LIMIT_S)
        await EventStream(pipeline).add([click(), click()])
        pipeline.close()
        assert await client.xlen(keys.stream("track")) == 2
        wrong: Any = make_client(f"unix://{path}?db=3")
        spool = Spool(tmp_path / "spool", limit_bytes=1 << 20)
        log = EventLog(stream=EventStream(Pipeline(wrong, patience=LIMIT_S)), keeping=kept_by(spool))
        await log.submit(click())
        assert spool.waiting == 1
        await spool.close()
        await wrong.aclose()
    finally:
        await client.aclose()
        valkey.close()


class Slow:
    """A stream that acknowledges nothing until it is told to."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, Callable[[object], None]]] = []

    def send(self, clicks: Sequence[Event], then: Callable[[object], None]) -> bool:
        self.groups.append((len(clicks), then))
        return True

    @property
    def sizes(self) -> list[int]:
        return [size for size, _ in self.groups]


async def test_it_sends_one_small_group_and_more_large_ones_at_a_time(spool: Spool) -> None:
    stream = Slow()
    log = EventLog(stream=stream, keeping=kept_by(spool))  # type: ignore[arg-type]

    async def come(clicks: int) -> None:
        for _ in range(clicks):
            log.submit(click())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    await come(1)
    await come(LARGE - 1)
    assert stream.sizes == [1]
    await come(1)
    assert stream.sizes == [1, LARGE]
    for _ in range(MOST_TRAVELLING):
        await come(LARGE)
    assert stream.sizes == [1] + [LARGE] * (MOST_TRAVELLING - 1)
    stream.groups[0][1](1)  # acknowledged
    await come(0)
    assert stream.sizes[-1] == 2 * LARGE
    for _, then in stream.groups[1:]:
        then(1)
    async with asyncio.timeout(LIMIT_S):
        await log.close()
