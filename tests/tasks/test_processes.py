"""Several worker processes under one command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from core.contracts import keys
from tasks.main import NICENESS
from tasks.processes import environments

Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(environment: dict[str, str], valkey: redis.Redis, tmp_path: Path) -> Iterator[Start]:
    """Two processes of the pool `track`, under one that is ended with the test, and they with it."""
    running: list[subprocess.Popen[bytes]] = []

    def begin() -> "subprocess.Popen[bytes]":
        with (tmp_path / "worker.log").open("w") as log:
            program = subprocess.Popen(
                [sys.executable, "-m", "tasks", "--pool", "track"],
                env={**environment, "WORKER_PROCESSES": "2", "DRAIN_LIMIT": "10"},
                stderr=log,
            )
        running.append(program)
        return program

    yield begin
    for program in running:
        program.kill()
        program.wait(timeout=20)


def pids(valkey: redis.Redis) -> set[int]:
    beats = [valkey.hget(name, "pid") for name in valkey.scan_iter(match=keys.worker("*"))]
    return {int(pid) for pid in beats if pid}


def until(condition: Callable[[], object], limit: float = 30.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.mark.usefixtures("clean_database")
def test_it_runs_several_processes_and_stops_them_in_order(start: Start, valkey: redis.Redis) -> None:
    program = start()
    until(lambda: len(pids(valkey)) == 2)
    assert program.pid not in pids(valkey)
    program.send_signal(signal.SIGTERM)
    assert program.wait(timeout=30) == 0
    assert pids(valkey) == set()


@pytest.mark.usefixtures("clean_database")
def test_its_processes_give_way_to_those_that_visitors_wait_for(start: Start, valkey: redis.Redis) -> None:
    start()
    until(lambda: len(pids(valkey)) == 2)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, pid) - own for pid in pids(valkey)} == {NICENESS}


@pytest.mark.usefixtures("clean_database")
def test_it_starts_again_what_died(start: Start, valkey: redis.Redis) -> None:
    start()
    until(lambda: len(pids(valkey)) == 2)
    first = pids(valkey)
    os.kill(min(first), signal.SIGKILL)
    until(lambda: len(pids(valkey) - first) == 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
@pytest.mark.usefixtures("clean_database")
def test_its_processes_do_not_outlive_it(start: Start, valkey: redis.Redis) -> None:
    program = start()
    until(lambda: len(pids(valkey)) == 2)
    program.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids(valkey)))


def test_each_process_shows_its_metrics_on_a_port_of_its_own() -> None:
    told = environments({"A": "b"}, processes=3, metrics_port=9100)
    assert [env["METRICS_PORT"] for env in told] == ["9100", "9101", "9102"]
    assert {(env["A"], env["WORKER_PROCESSES"]) for env in told} == {("b", "1")}
    free = environments({"METRICS_PORT": "0"}, processes=2, metrics_port=0)
    assert [env["METRICS_PORT"] for env in free] == ["0", "0"]
