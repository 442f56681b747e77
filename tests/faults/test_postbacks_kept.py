"""Postbacks while Redis is away, the tracker killed, the disk full: an answered one is a kept one."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from core.contracts import click_event, keys, postback_event
from core.contracts.postback_event import PostbackEvent
from tests.tracker_quart.conftest import TOKEN, source
from tests.tracker_quart.rig import Trackers, Valkey, Visitors, rig, wait_until

pytestmark = pytest.mark.faults

PATH = f"/postback/{TOKEN}"
IN_REDIS, ON_DISK, LOST = (
    f'rastro_postbacks_total{{kept="{where}"}}' for where in ("redis", "spool", "lost")
)


def senders(trackers: Trackers, **more: object) -> Visitors:
    """Networks, as soon as the tracker knows their source."""
    wait_until(lambda: trackers.get(f"{PATH}?n=known")[0] == 200, "the source is known")
    return Visitors(trackers.port, path=PATH, hopes=200, **more)  # type: ignore[arg-type]


def balance(networks: Visitors, trackers: Trackers, *held: list[PostbackEvent], valkey: Valkey) -> None:
    """Once nothing waits on disk: every answered postback is kept, under one id, and counted where it is kept."""
    wait_until(lambda: not list(trackers.spool.rglob("*.spool")), "nothing waits on disk")
    events = [
        event
        for part in (*held, valkey.publisher.postbacks())
        for event in part
        if "known" not in event.query
    ]
    number_of = {event.id: event.query.partition("&")[0] for event in events}
    kept = set(number_of.values())
    assert len(kept) == len(number_of)
    assert networks.answered <= kept <= networks.answered | networks.unanswered
    counted = {hour.decode(): int(count) for hour, count in valkey.client.hgetall(keys.RECEIVED).items()}
    hours = Counter(
        click_event.hour_name(click_event.unix_ms(event.id)) for event in valkey.publisher.postbacks()
    )
    assert counted == hours
    assert valkey.publisher.clicks() == []
    assert valkey.client.hgetall(keys.ANSWERED) == {}


@pytest.mark.parametrize("fault", ["stopped", "killed", "hung"])
async def test_it_spools_while_redis_is_away_and_replays(tmp_path: Path, fault: str) -> None:
    with rig(tmp_path) as (valkey, trackers):
        valkey.publisher.sources(source())
        networks = senders(trackers)
        break_it = {"stopped": valkey.stop, "killed": valkey.kill, "hung": valkey.hang}[fault]

        async def scenario() -> None:
            await networks.answers(200)
            break_it()
            await networks.answers(300)
            body = (await asyncio.to_thread(trackers.get, "/readyz"))[1]
            assert json.loads(body)["spooled"] > 0
            assert (await asyncio.to_thread(trackers.get, "/postback/nobody?n=known"))[0] == 401
            valkey.resume() if fault == "hung" else valkey.start()
            await networks.answers(100)

        await networks.visit(16, scenario)
        assert set(networks.statuses) == {200}
        assert networks.failed == []
        balance(networks, trackers, valkey=valkey)
        assert trackers.metric(ON_DISK) > 0
        assert trackers.metric(LOST) == 0
        replayed = trackers.metric("rastro_postbacks_replayed_total")
        assert replayed == trackers.metric(ON_DISK)
        assert trackers.metric("rastro_replayed_total") == 0
        assert trackers.stop() == [0]


async def test_it_keeps_every_answered_one_when_all_programs_are_killed_again_and_again(
    tmp_path: Path,
) -> None:
    with rig(tmp_path, count=2) as (valkey, trackers):
        valkey.publisher.sources(source())
        networks = senders(trackers)

        async def scenario() -> None:
            for turn in range(3):
                await networks.answers(150)
                valkey.kill()
                await networks.answers(50)
                trackers.kill(2 * turn)
                trackers.kill(2 * turn + 1)
                valkey.start()
                await asyncio.to_thread(trackers.start)
                await asyncio.to_thread(trackers.start)

        await networks.visit(16, scenario)
        balance(networks, trackers, valkey=valkey)


async def test_it_asks_them_to_come_again_when_the_disk_refuses_too(tmp_path: Path) -> None:
    with rig(tmp_path, SPOOL_MAX_MB="1") as (valkey, trackers):
        valkey.publisher.sources(source())
        networks = senders(trackers, padding="&x=" + "y" * 4000)

        async def scenario() -> None:
            await networks.answers(20)
            valkey.kill()
            while networks.statuses[503] < 20:
                await networks.answers(20)
            valkey.start()
            while trackers.metric(ON_DISK) > trackers.metric("rastro_postbacks_replayed_total"):
                await networks.answers(20)
            before = networks.statuses[200]
            while networks.statuses[200] < before + 20:
                await networks.answers(20)

        await networks.visit(8, scenario)
        assert set(networks.statuses) == {200, 503}
        balance(networks, trackers, valkey=valkey)
        assert trackers.metric(LOST) == networks.statuses[503]
        assert trackers.logged("postbacks.lost") == 1
        assert trackers.metric('rastro_clicks_total{kept="lost"}') == 0


async def test_it_goes_on_over_an_emptied_redis_and_a_new_tracker_waits_for_the_sources(
    tmp_path: Path,
) -> None:
    with rig(tmp_path) as (valkey, trackers):
        valkey.publisher.sources(source())
        networks = senders(trackers)
        thrown_away: list[list[PostbackEvent]] = []

        async def scenario() -> None:
            await networks.answers(100)
            with valkey.client.pipeline(transaction=True) as pipe:
                entries, _ = pipe.xrange(keys.stream("conversion")).flushall().execute()
            thrown_away.append([postback_event.decode(fields[keys.EVENT_FIELD]) for _, fields in entries])
            valkey.client.script_flush()
            await networks.answers(100)

        await networks.visit(8, scenario)
        assert set(networks.statuses) == {200}
        balance(networks, trackers, *thrown_away, valkey=valkey)
        assert trackers.stop() == [0]
        await asyncio.to_thread(trackers.start)
        status, headers, _ = trackers.answer(PATH)
        assert (status, int(headers["retry-after"]) > 0) == (503, True)
        before = len(valkey.publisher.postbacks())
        valkey.publisher.sources(source())
        valkey.publisher.world()
        wait_until(lambda: trackers.get(PATH)[0] == 200, "the sources are known again")
        assert len(valkey.publisher.postbacks()) == before + 1


async def test_it_drains_under_load_beside_others_on_the_same_socket(tmp_path: Path) -> None:
    with rig(tmp_path, count=2) as (valkey, trackers):
        valkey.publisher.sources(source())
        networks = senders(trackers)

        async def scenario() -> None:
            await networks.answers(300)
            assert await asyncio.to_thread(trackers.drain, 0) == 0
            await networks.answers(300)

        await networks.visit(32, scenario)
        assert trackers.stop() == [0, 0]
        assert set(networks.statuses) == {200}
        assert networks.failed == []
        balance(networks, trackers, valkey=valkey)


async def test_it_leaves_stranded_ones_to_the_next_start(tmp_path: Path) -> None:
    with rig(tmp_path, DRAIN_LIMIT="1") as (valkey, trackers):
        valkey.publisher.sources(source())
        senders(trackers)
        valkey.kill()
        for number in range(1, 6):
            assert trackers.get(f"{PATH}?n={number}")[0] == 200
        assert trackers.stop() == [0]
        assert trackers.logged("postbacks.stranded") == 1
        assert trackers.logged("clicks.stranded") == 0
        valkey.start()
        trackers.start()
        wait_until(
            lambda: (
                {f"n={number}" for number in range(1, 6)}
                <= {event.query for event in valkey.publisher.postbacks()}
            ),
            "the next start replays",
        )
