"""Redis stopped, hung, emptied, full, not there yet: visitors are redirected, and no click is lost."""

import asyncio
import json
from pathlib import Path

import pytest

from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import URL
from tests.tracker_quart.rig import Trackers, Valkey, Visitors, rig, wait_until

pytestmark = pytest.mark.faults


def replayed(valkey: Valkey, trackers: Trackers) -> None:
    """Wait until Redis answers and nothing waits on disk."""
    wait_until(
        lambda: json.loads(trackers.get("/readyz")[1]) == {"redis": True, "spooled": 0}, "all replayed"
    )
    assert list(trackers.spool.glob("*.spool")) == []


@pytest.mark.parametrize("fault", ["killed", "hung"])
async def test_it_spools_while_redis_is_away_and_replays(tmp_path: Path, fault: str) -> None:
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(200)
            valkey.kill() if fault == "killed" else valkey.hang()
            await visitors.answers(300)
            status, body = await asyncio.to_thread(trackers.get, "/readyz")
            assert status == 200
            assert json.loads(body)["redis"] is False
            assert json.loads(body)["spooled"] > 0
            assert (await asyncio.to_thread(trackers.get, "/never-seen"))[0] == 503
            valkey.start() if fault == "killed" else valkey.resume()
            await visitors.answers(100)

        await visitors.visit(16, scenario)
        await asyncio.to_thread(replayed, valkey, trackers)
        assert visitors.failed == []
        assert set(visitors.statuses) == {302}
        assert set(valkey.numbers()) == visitors.answered
        assert len(set(valkey.ids())) == len(visitors.answered)  # a time-out may queue an id twice, no more
        assert trackers.metric("rastro_replayed_total") > 0
        assert trackers.metric('rastro_clicks_total{kept="lost"}') == 0
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown again")
        assert trackers.stop() == [0]


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
        earlier: set[str] = set()

        async def scenario() -> None:
            await visitors.answers(100)
            valkey.client.flushall()
            valkey.client.script_flush()
            await visitors.answers(8)  # those that were on their way
            earlier.update(visitors.answered)
            await visitors.answers(100)
            assert (await asyncio.to_thread(trackers.get, "/never-seen"))[0] == 503

        await visitors.visit(8, scenario)
        assert visitors.failed == []
        assert set(visitors.statuses) == {302}
        await asyncio.to_thread(replayed, valkey, trackers)
        assert visitors.answered - earlier <= set(valkey.numbers())


async def test_it_spools_when_redis_is_full_and_still_reads(tmp_path: Path) -> None:
    with rig(tmp_path) as (valkey, trackers):
        valkey.client.config_set("maxmemory", "1")
        visitors = Visitors(trackers.port)
        await visitors.visit(8, lambda: visitors.answers(200))
        assert set(visitors.statuses) == {302}
        assert trackers.get("/paused")[0] == 404  # not held before
        valkey.client.config_set("maxmemory", "0")
        await asyncio.to_thread(replayed, valkey, trackers)
        assert visitors.answered <= set(valkey.numbers())


async def test_it_redirects_with_a_full_spool_and_counts_the_loss(tmp_path: Path) -> None:
    with rig(tmp_path, SPOOL_MAX_MB="1") as (valkey, trackers):
        assert trackers.get("/sale")[0] == 302
        valkey.kill()
        visitors = Visitors(trackers.port, padding="&x=" + "y" * 4000)
        await visitors.visit(8, lambda: visitors.answers(600))
        assert set(visitors.statuses) == {302}
        lost = trackers.metric('rastro_clicks_total{kept="lost"}')
        assert lost > 0
        assert trackers.logged("clicks.lost") == 1
        valkey.start()
        await asyncio.to_thread(replayed, valkey, trackers)
        assert len(visitors.answered - set(valkey.numbers())) == lost


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
