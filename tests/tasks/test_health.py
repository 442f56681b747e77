"""What probes are told, and when."""

import http.client
import json
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import redis

from core.contracts import keys
from core.ops.listening import free_ports
from tasks.health import HEARTBEAT, LOOP, POSTGRES, REDIS, STALE_S, Health


def test_it_lives_while_its_threads_move() -> None:
    now = [0.0]
    health = Health(draining=lambda: False, clock=lambda: now[0])
    assert health.live() == {LOOP: True, HEARTBEAT: True}
    now[0] = STALE_S + 1
    health.seen(LOOP)
    assert health.live() == {LOOP: True, HEARTBEAT: False}
    health.seen(HEARTBEAT)
    now[0] = 2 * STALE_S + 1.5
    assert health.live() == {LOOP: False, HEARTBEAT: False}


def test_its_loop_may_wait_for_what_drains() -> None:
    now = [0.0]
    health = Health(draining=lambda: True, clock=lambda: now[0])
    now[0] = STALE_S + 1
    health.seen(HEARTBEAT)
    assert health.live() == {LOOP: True, HEARTBEAT: True}


def test_it_is_ready_once_both_servers_were_reached_and_until_it_drains() -> None:
    now, draining = [0.0], [False]
    health = Health(draining=lambda: draining[0], clock=lambda: now[0])
    assert health.ready() == {REDIS: False, POSTGRES: False, "working": True}
    health.seen(REDIS)
    health.seen(POSTGRES)
    assert all(health.ready().values())
    now[0] = STALE_S + 1
    health.seen(REDIS)
    assert health.ready() == {REDIS: True, POSTGRES: False, "working": True}
    health.seen(POSTGRES)
    draining[0] = True
    assert health.ready() == {REDIS: True, POSTGRES: True, "working": False}


@pytest.mark.usefixtures("clean_database")
def test_a_worker_answers_probes_and_shows_its_queues(
    environment: dict[str, str], valkey: redis.Redis
) -> None:
    """Lives before it is ready, is no longer ready while it drains, and counts what waits in its queues."""
    (port,) = free_ports(1)
    valkey.sadd(keys.PAUSED, "system")
    valkey.xadd(keys.held("system"), {keys.TASK_FIELD: b"x"})
    program = subprocess.Popen(
        [sys.executable, "-m", "tasks", "--pool", "default"],
        env={**environment, "METRICS_PORT": str(port), "HOST": "127.0.0.1", "LOG_LEVEL": "error"},
    )
    try:
        _until(port, "/readyz", 200)
        assert _get(port, "/livez") == (200, {"loop": True, "heartbeat": True})
        status, text = _get(port, "/metrics")
        assert status == 200
        assert 'rastro_queue_held{queue="system"} 1.0' in text
        assert 'rastro_queue_paused{queue="system"} 1.0' in text
        assert 'rastro_queue_waiting{queue="track"} 0.0' in text
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) == 0
    finally:
        program.kill()
        program.wait(timeout=20)


def _until(port: int, path: str, status: int, limit: float = 30.0) -> None:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            if _get(port, path)[0] == status:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{path} did not answer {status}")


def _get(port: int, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = answer.getheader("Content-Type") == "application/json"
        return answer.status, json.loads(text) if is_json else text
    finally:
        connection.close()
