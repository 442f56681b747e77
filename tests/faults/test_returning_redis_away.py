"""A link with a rule for returning visitors, while Redis is away: it leads, and takes everybody for new."""

from pathlib import Path

import pytest

from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule
from tests.tracker_quart.conftest import URL
from tests.tracker_quart.rig import rig, wait_until

pytestmark = pytest.mark.faults

AGAIN = "https://shop.example/again"


@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_it_leads_without_knowing_who_returns(tmp_path: Path, fault: str) -> None:
    rule = Rule(id=1, conditions=(Condition("returning"),), url=AGAIN)
    with rig(tmp_path) as (valkey, trackers):
        valkey.publisher.link("back", LinkSnapshot(link_id=7, url=URL, rules=(rule,), split_key=b"k" * 16))
        assert trackers.get("/back") == (302, URL)
        wait_until(lambda: trackers.get("/back") == (302, AGAIN), "known again")
        valkey.kill() if fault == "killed" else valkey.hang()
        assert [trackers.get("/back") for _ in range(3)] == [(302, URL)] * 3
        valkey.start() if fault == "killed" else valkey.resume()
        wait_until(lambda: trackers.get("/back") == (302, AGAIN), "known again")
        assert trackers.stop() == [0]
