"""The tracker itself drained, killed, restarted under load: no request is cut by a drain, no answered click is lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from core.contracts import keys
from tests.faults.books import IN_REDIS, ON_DISK, balance
from tests.tracker_quart.rig import LIMIT_S, ROOT, Visitors, answered_in, rig, wait_until

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("fast_lane", ["1", "0"])
async def test_it_drains_under_load_beside_others_on_the_same_socket(tmp_path: Path, fast_lane: str) -> None:
    with rig(tmp_path, count=2, FAST_LANE=fast_lane) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(300)
            assert await asyncio.to_thread(trackers.drain, 0) == 0
            await visitors.answers(300)

        await visitors.visit(32, scenario)
        assert trackers.stop() == [0, 0]
        balance(visitors, trackers, valkey)


@pytest.mark.parametrize("redis", ["answers", "is killed", "hangs"])
async def test_it_is_replaced_under_load_process_by_process(tmp_path: Path, redis: str) -> None:
    with rig(tmp_path, count=2) as (valkey, trackers):
        visitors = Visitors(trackers.port, stay=10)

        async def scenario() -> None:
            for number in (0, 1):
                leaving = trackers.processes[number]
                while not all(trackers.metrics(IN_REDIS)):  # each has learnt from Redis where the link leads
                    await visitors.answers(20)
                if redis != "answers":
                    valkey.kill() if redis == "is killed" else valkey.hang()
                    await visitors.answers(200)
                leaving.send_signal(signal.SIGTERM)
                await visitors.answers(200)
                if redis != "answers":
                    valkey.start() if redis == "is killed" else valkey.resume()
                assert await asyncio.to_thread(leaving.wait, LIMIT_S) == 0
                await asyncio.to_thread(trackers.start)
            await visitors.answers(100)

        await visitors.visit(32, scenario)
        balance(visitors, trackers, valkey)
        assert trackers.logged("connections.cut") == 0
        assert trackers.logged("clicks.stranded") == 0


async def test_it_drains_alone_when_visitors_are_led_elsewhere(tmp_path: Path) -> None:
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port, reconnect=False)

        async def scenario() -> None:
            await visitors.answers(300)
            trackers.processes[0].send_signal(signal.SIGTERM)
            wait_until(lambda: trackers.get("/readyz")[0] == 503, "says that it leaves")
            assert (await asyncio.to_thread(trackers.get, "/sale?n=late"))[0] == 302
            visitors.answered.add("n=late")
            assert await asyncio.to_thread(trackers.processes[0].wait, 60) == 0

        await visitors.visit(32, scenario)
        balance(visitors, trackers, valkey)
        assert trackers.logged("connections.cut") == 0


@pytest.mark.parametrize("fast_lane", ["1", "0"])
@pytest.mark.parametrize("redis", ["answers", "is killed just before"])
async def test_it_keeps_every_answered_click_over_a_kill(tmp_path: Path, redis: str, fast_lane: str) -> None:
    with rig(tmp_path, FAST_LANE=fast_lane) as (valkey, trackers):
        visitors = Visitors(trackers.port, reconnect=False)

        async def scenario() -> None:
            await visitors.answers(500)
            if redis == "is killed just before":
                valkey.kill()
                await visitors.answers(100)
            trackers.kill(0)

        await visitors.visit(32, scenario)
        if redis == "is killed just before":
            assert trackers.spooled()
            valkey.start()
        trackers.start()  # the next process adopts what the dead one left
        balance(visitors, trackers, valkey)


async def test_it_adopts_what_a_killed_neighbour_left_while_redis_is_still_away(tmp_path: Path) -> None:
    with rig(tmp_path, count=2) as (valkey, trackers):
        visitors = Visitors(trackers.port, stay=10)

        async def scenario() -> None:
            while not all(trackers.metrics(IN_REDIS)):
                await visitors.answers(20)
            valkey.kill()
            while not all(trackers.metrics(ON_DISK)):
                await visitors.answers(20)
            trackers.kill(0)
            await visitors.answers(100)
            while not trackers.logged("spool.adopted"):
                await visitors.answers(20)
            valkey.start()
            await visitors.answers(50)

        await visitors.visit(32, scenario)
        balance(visitors, trackers, valkey)
        assert trackers.stop()[1:] == [0]


async def test_it_keeps_every_answered_click_when_all_programs_are_killed_again_and_again(
    tmp_path: Path,
) -> None:
    """As when the machine's power fails, but for the disk's own memory."""
    with rig(tmp_path, count=2) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            for turn in range(3):
                await visitors.answers(150)
                valkey.kill()
                await visitors.answers(50)
                trackers.kill(2 * turn)
                trackers.kill(2 * turn + 1)
                valkey.start()
                await asyncio.to_thread(trackers.start)
                await asyncio.to_thread(trackers.start)

        await visitors.visit(16, scenario)
        balance(visitors, trackers, valkey)


async def test_it_keeps_acknowledged_clicks_over_a_kill_of_redis(tmp_path: Path) -> None:
    with rig(tmp_path) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            for _ in range(3):
                await visitors.answers(150)
                valkey.kill()
                await visitors.answers(20)
                valkey.start()

        await visitors.visit(16, scenario)
        balance(visitors, trackers, valkey)
        assert trackers.stop() == [0]


def test_it_refuses_a_bad_setting_and_a_taken_port(tmp_path: Path) -> None:
    base = {"PATH": os.environ["PATH"], "REDIS_URL": "unix:///nowhere", "SPOOL_DIR": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = [
            ({}, 2, "REDIS_URL is not set"),
            ({**base, "PORT": "http"}, 2, "PORT must be a whole number"),
            ({**base, "REDIS_URL": "postgres://x"}, 2, "REDIS_URL must start with"),
            ({**base, "PORT": port}, 3, "can not listen on 127.0.0.1"),
        ]
        for environment, code, words in cases:
            done = subprocess.run(
                [sys.executable, "-m", "tracker_quart"],
                env={"PYTHONPATH": str(ROOT), **environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == code, done.stderr
            assert words in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1


async def test_it_keeps_the_count_of_what_a_killed_tracker_answered(tmp_path: Path) -> None:
    """What was answered is known, whatever reached the queue: by the file that a killed process leaves."""
    with rig(tmp_path, count=2) as (valkey, trackers):
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(2000)
            trackers.kill(1)
            await visitors.answers(1000)

        await visitors.visit(16, scenario)
        wait_until(lambda: len(list(trackers.spool.glob("*.answered"))) == 1, "its file is adopted")
        assert trackers.stop() == [0, -9]
        told = sum(int(count) for count in valkey.client.hvals(keys.ANSWERED))
        assert len(visitors.answered) <= told <= len(set(valkey.ids()))
        assert answered_in(trackers.spool) == {}
