"""From the visitor's answer to the row in PostgreSQL, with Redis hanging and the tracker killed on the way."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.faults.books import balance
from tests.faults.programs import Workers, until
from tests.faults.test_worker_kill import each_once, stored, waiting
from tests.tracker_quart.rig import Visitors, rig

pytestmark = pytest.mark.faults


async def test_it_stores_each_answered_click_once(
    tmp_path: Path, environment: dict[str, str], engine: Engine, clean_database: None
) -> None:
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            for turn in range(2):
                await visitors.answers(200)
                valkey.hang()
                await visitors.answers(200)
                valkey.resume()
                trackers.kill(turn)
                await asyncio.to_thread(trackers.start)

        await visitors.visit(16, scenario)
        doubled = balance(visitors, trackers, valkey)
        assert doubled > 0
        clicks = len(valkey.numbers())

        workers = Workers({**environment, "REDIS_URL": valkey.url}, tmp_path)
        try:
            workers.start()
            until(lambda: not waiting(valkey.client))
        finally:
            workers.end_all()
        assert stored(engine) == each_once(clicks)
        assert clicks >= len(visitors.answered)
