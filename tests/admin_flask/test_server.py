"""`python -m admin_flask`: starts, answers, stops in order; a bad setting stops it with one line."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        try:
            for port in range(first, first + count):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


def wait_for(url: str, process: "subprocess.Popen[bytes]", *, limit: float = 30) -> int:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        assert process.poll() is None, "the manager ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status)
        time.sleep(0.1)
    raise AssertionError(f"no answer from {url} within {limit} s")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_it_serves_until_it_is_told_to_stop(environment: dict[str, str], processes: str) -> None:
    port = free_port()
    told = {
        "ADMIN_URL": f"http://localhost:{port}",
        "PORT": str(port),
        "MANAGER_PROCESSES": processes,
        "LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "admin_flask"]
    process = subprocess.Popen(command, env={**environment, **told}, stderr=subprocess.PIPE)
    try:
        assert wait_for(f"http://127.0.0.1:{port}/livez", process) == 200
        assert wait_for(f"http://localhost:{port}/login", process) == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b'"event": "manager.answered"' in log


@pytest.mark.parametrize("processes", [1, 2])
def test_it_counts_answers_on_a_port_of_its_own(environment: dict[str, str], processes: int) -> None:
    port, metrics = free_port(), free_ports(processes)
    told = {
        "ADMIN_URL": f"http://localhost:{port}",
        "PORT": str(port),
        "METRICS_PORT": str(metrics),
        "MANAGER_PROCESSES": str(processes),
    }
    command = [sys.executable, "-m", "admin_flask"]
    with subprocess.Popen(command, env={**environment, **told}, stderr=subprocess.DEVNULL) as process:
        try:
            for number in range(processes):  # every process answers at a port of its own
                assert wait_for(f"http://127.0.0.1:{metrics + number}/metrics", process) == 200
            assert wait_for(f"http://127.0.0.1:{port}/livez", process) == 200
            assert wait_for(f"http://localhost:{port}/login", process) == 200
            shown = ""
            for number in range(processes):
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{metrics + number}/metrics", timeout=30
                ) as answer:
                    shown += answer.read().decode()
            assert 'rastro_manager_answered_total{status="200",view="auth.login"} 1.0' in shown
            assert "rastro_manager_seconds_count 1.0" in shown
            assert "livez" not in shown
            with pytest.raises(urllib.error.HTTPError):  # and visitors of the website do not see them
                urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=30)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("told", "words"),
    [({"DATABASE_URL": ""}, "DATABASE_URL is not set"), ({"SECRET_KEY": "short"}, "SECRET_KEY must have")],
)
def test_it_stops_with_one_line_for_a_bad_setting(
    environment: dict[str, str], told: dict[str, str], words: str
) -> None:
    command = [sys.executable, "-m", "admin_flask"]
    ended = subprocess.run(
        command, env={**environment, **told}, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
