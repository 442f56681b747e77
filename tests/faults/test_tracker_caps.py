"""A click cap under load: over two processes, and with Redis killed in between. Who was led is counted."""

import asyncio
import json
from pathlib import Path

import pytest

from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import URL
from tests.tracker_quart.rig import Trackers, Valkey, Visitors, rig, wait_until

pytestmark = pytest.mark.faults

CAP = 50


def assert_balanced(valkey: Valkey, trackers: Trackers, visitors: Visitors) -> None:
    """Once nothing waits on disk: every answer is a click, and everybody who was led counts."""
    wait_until(
        lambda: json.loads(trackers.get("/readyz")[1]) == {"redis": True, "spooled": 0}, "all replayed"
    )
    assert visitors.failed == []
    assert set(visitors.statuses) <= {302, 410}
    clicks = valkey.publisher.clicks()
    assert len({click.id for click in clicks}) == sum(visitors.statuses.values())
    led = {click.query for click in clicks if click.outcome == "redirect"}
    assert led == visitors.answered
    assert valkey.client.hget(keys.CAP_COUNTS, "60") == str(len(led)).encode()


async def test_it_holds_over_two_processes(tmp_path: Path) -> None:
    with rig(tmp_path, count=2) as (valkey, trackers):
        valkey.publisher.link("few", LinkSnapshot(link_id=60, url=URL, click_cap=CAP))
        visitors = Visitors(trackers.port, path="/few")
        await visitors.visit(32, lambda: visitors.answers(600))
        assert_balanced(valkey, trackers, visitors)
        if not trackers.logged("redis.away"):  # as on a machine that did not stand still
            assert visitors.statuses[302] == CAP


async def test_it_counts_those_who_were_led_while_redis_was_away(tmp_path: Path) -> None:
    with rig(tmp_path) as (valkey, trackers):
        valkey.publisher.link("few", LinkSnapshot(link_id=60, url=URL, click_cap=CAP))
        visitors = Visitors(trackers.port, path="/few")

        async def scenario() -> None:
            await visitors.answers(200)
            assert visitors.statuses[410] > 0
            valkey.kill()
            await visitors.answers(50)  # those that were on their way
            refused = visitors.statuses[410]
            await visitors.answers(200)
            assert visitors.statuses[410] == refused
            valkey.start()

        await visitors.visit(16, scenario)
        await asyncio.to_thread(assert_balanced, valkey, trackers, visitors)
        assert trackers.metric("rastro_cap_overshoot_total") >= visitors.statuses[302] - CAP > 0
        assert trackers.get("/few")[0] == 410
        assert trackers.stop() == [0]
