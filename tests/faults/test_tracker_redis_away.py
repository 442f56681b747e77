"""Redis stopped, killed, hung, slow, emptied, full, not there yet: visitors are redirected, and no click is lost."""

import asyncio
import json
from pathlib import Path

import pytest

from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from tests.faults.books import ON_DISK, Held, balance, held
from tests.tracker_quart.conftest import URL
from tests.tracker_quart.rig import Trackers, Valkey, Visitors, rig, wait_until

pytestmark = pytest.mark.faults


def refuses_strangers(trackers: Trackers) -> bool:
    """An unknown slug is not called unknown while nobody can know."""
    status, headers, _ = trackers.answer("/never-seen")
    return status == 503 and int(headers["retry-after"]) > 0


@pytest.mark.parametrize("fault", ["stopped", "killed", "hung"])
async def test_it_spools_while_redis_is_away_and_replays(tmp_path: Path, fault: str) -> None:
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port)
        break_it = {"stopped": valkey.stop, "killed": valkey.kill, "hung": valkey.hang}[fault]

        async def scenario() -> None:
            await visitors.answers(200)
            break_it()
            await visitors.answers(300)
            status, body = await asyncio.to_thread(trackers.get, "/readyz")
            assert status == 200
            assert json.loads(body)["redis"] is False
            assert json.loads(body)["spooled"] > 0
            assert await asyncio.to_thread(refuses_strangers, trackers)
            valkey.resume() if fault == "hung" else valkey.start()
            await visitors.answers(100)

        await visitors.visit(16, scenario)
        balance(visitors, trackers, valkey)
        assert trackers.metric(ON_DISK) > 0
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown again")
        assert json.loads(trackers.get("/readyz")[1]) == {"redis": True, "spooled": 0}
        assert trackers.stop() == [0]


async def test_it_keeps_each_click_once_while_redis_stutters_and_drops_connections(tmp_path: Path) -> None:
    """Each pause is longer than a visitor waits: what travels then is on disk, and in Redis too when it goes on."""
    with rig(tmp_path, count=2) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            for _ in range(4):
                await visitors.answers(100)
                valkey.hang()
                await visitors.answers(100)
                valkey.resume()
                await visitors.answers(100)
                valkey.client.client_kill_filter(_type="normal", skipme=True)

        await visitors.visit(16, scenario)
        assert balance(visitors, trackers, valkey) > 0


async def test_it_obeys_a_change_that_was_made_while_it_could_not_hear(tmp_path: Path) -> None:
    with rig(tmp_path) as (valkey, trackers):
        assert trackers.get("/sale") == (302, URL)
        valkey.client.client_kill_filter(_type="pubsub")
        valkey.publisher.link("sale", LinkSnapshot(link_id=7, url="https://shop.example/new"))
        wait_until(lambda: trackers.get("/sale") == (302, "https://shop.example/new"), "the change is obeyed")


async def test_it_starts_without_redis(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    valkey = Valkey(tmp_path / "valkey")
    valkey.publisher.world()
    valkey.kill()
    trackers = Trackers(tmp_path, valkey.url)
    try:
        assert trackers.get("/livez") == (200, "alive\n")
        assert trackers.get("/readyz")[0] == 503
        assert trackers.get("/sale")[0] == 503
        valkey.start()
        wait_until(lambda: trackers.get("/readyz")[0] == 200, "ready")
        assert trackers.get("/sale") == (302, URL)
        assert trackers.stop() == [0]
    finally:
        trackers.close()
        valkey.close()


async def test_it_goes_on_over_an_emptied_redis(tmp_path: Path) -> None:
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port)
        thrown_away: list[Held] = []

        async def scenario() -> None:
            await visitors.answers(100)
            thrown_away.append(held(valkey, then_empty=True))
            valkey.client.script_flush()
            await visitors.answers(100)
            assert await asyncio.to_thread(refuses_strangers, trackers)
            valkey.publisher.world()
            await visitors.answers(100)

        await visitors.visit(8, scenario)
        assert thrown_away[0].clicks
        balance(visitors, trackers, *thrown_away, valkey)
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown again")


async def test_it_spools_while_redis_is_full_and_still_reads(tmp_path: Path) -> None:
    """Filled by the clicks themselves, while they come."""
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port, padding="&x=" + "y" * 2000)

        async def scenario() -> None:
            await visitors.answers(50)
            valkey.client.config_set("maxmemory", valkey.client.info("memory")["used_memory"] + (256 << 10))
            while not trackers.logged("OutOfMemoryError"):
                await visitors.answers(50)
            await visitors.answers(100)
            assert (await asyncio.to_thread(trackers.get, "/never-seen"))[0] == 404
            valkey.client.config_set("maxmemory", "0")
            await visitors.answers(50)

        await visitors.visit(8, scenario)
        balance(visitors, trackers, valkey)
        assert trackers.metric(ON_DISK) > 0


async def test_it_goes_on_with_a_replay_that_redis_takes_only_in_parts(tmp_path: Path) -> None:
    """Workers make room in a full Redis, each time less than what waits would take."""
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port, padding="&x=" + "y" * 2000)
        taken: list[Held] = []

        def refusals() -> int:
            return int(valkey.client.info("errorstats").get("errorstat_OOM", {"count": 0})["count"])

        def waits() -> bool:
            return bool(list(trackers.spool.glob("*.spool")))

        async def scenario() -> None:
            await visitors.answers(20)
            valkey.client.config_set("maxmemory", valkey.client.info("memory")["used_memory"] + (1500 << 10))
            valkey.hang()
            await visitors.answers(1500)

        await visitors.visit(8, scenario)
        valkey.resume()
        while waits():
            assert len(taken) < 10
            before = refusals()
            wait_until(lambda before=before: refusals() > before or not waits(), "a part is taken")  # type: ignore[misc]
            taken.append(held(valkey, then_empty=True))
        assert len(taken) > 1
        balance(visitors, trackers, *taken, valkey)


async def test_it_leaves_stranded_clicks_to_the_next_start(tmp_path: Path) -> None:
    with rig(tmp_path, DRAIN_LIMIT="1") as (valkey, trackers):
        assert trackers.get("/sale?n=0")[0] == 302
        valkey.kill()
        for number in range(1, 6):
            assert trackers.get(f"/sale?n={number}")[0] == 302
        assert trackers.stop() == [0]
        assert set(trackers.spooled()) == {f"n={number}" for number in range(1, 6)}
        assert trackers.logged("clicks.stranded") == 1
        valkey.start()
        stranded = json.loads(
            next(line for line in trackers.log.read_text().splitlines() if "clicks.stranded" in line)
        )["ids"]
        assert len(stranded) == 5
        trackers.start()
        wait_until(lambda: len(valkey.numbers()) == 6, "the next start replays")
        assert valkey.client.xlen(keys.stream("track")) == 6
