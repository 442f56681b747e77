"""What a tracker process does beside answering visitors."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.config import Settings
from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import Publisher
from tracker_quart.click_ids import ClickIds
from tracker_quart.event_stream import Event, EventStream
from tracker_quart.service import Service
from tracker_quart.spool import Spool, SpoolStuck


async def test_it_notices_that_redis_reads_again_in_the_middle_of_a_long_replay(
    publisher: Publisher, tracker_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every link would be served as it was, edits unseen, until the last click is replayed."""
    ids = ClickIds()
    left = Spool(tracker_settings.spool_dir, limit_bytes=1 << 20)
    await left.append([Event(ids.new(), b"x") for _ in range(1500)])
    await left.close()
    go_on, add = asyncio.Event(), EventStream.add
    groups = 0

    async def slowly(stream: EventStream, clicks: Sequence[Event]) -> None:
        nonlocal groups
        groups += 1
        if groups == 1:
            service._reads.failed(TimeoutError("slow for a moment"))
        elif groups == 3:
            await go_on.wait()
        await add(stream, clicks)

    monkeypatch.setattr(EventStream, "add", slowly)
    publisher.ready()
    service = Service(tracker_settings)
    await service.start()
    async with asyncio.timeout(30):
        while groups < 3:
            await asyncio.sleep(0.01)
    assert service.redis_answers
    go_on.set()
    await service.stop()
    assert service.spooled == 0


async def test_it_holds_as_many_snapshots_as_it_is_told(
    publisher: Publisher, tracker_settings: Settings
) -> None:
    for number in range(8):
        publisher.link(f"link-{number}", LinkSnapshot(link_id=number + 1, url="https://shop.example/"))
    service = Service(replace(tracker_settings, snapshot_cache=3))
    await service.start()
    for number in range(8):
        await service.snapshots.ask(keys.link(1, f"link-{number}"))
    assert len(service.snapshots) == 3
    await service.stop()


@pytest.mark.parametrize("stuck", ["_spool", "_postback_spool"])
async def test_it_sends_what_one_spool_holds_while_a_file_of_the_other_is_stuck(
    publisher: Publisher, tracker_settings: Settings, monkeypatch: pytest.MonkeyPatch, stuck: str
) -> None:
    ids = ClickIds()
    for folder in (tracker_settings.spool_dir, tracker_settings.postback_spool_dir):
        left = Spool(folder, limit_bytes=1 << 20)
        await left.append([Event(ids.new(), b"x")])
        await left.close()
    publisher.ready()
    service = Service(replace(tracker_settings, drain_limit=0.5))

    async def refuse(_send: object) -> None:
        raise SpoolStuck

    monkeypatch.setattr(getattr(service, stuck), "replay", refuse)
    await service.start()
    queue, other = ("conversion", "track") if stuck == "_spool" else ("track", "conversion")
    async with asyncio.timeout(30):
        while not publisher.redis.xlen(keys.stream(queue)):
            await asyncio.sleep(0.01)
    assert not publisher.redis.xlen(keys.stream(other))
    assert service.spooled == 1
    await service.stop()
