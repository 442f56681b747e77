"""Whatever goes wrong, the log holds no query string and no visitor's full address."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracker_quart.conftest import Publisher
from tests.tracker_quart.rig import LIMIT_S, ROOT, wait_until

PROGRAM = """
import asyncio, sys
from tracker_quart.__main__ import main
from tracker_quart.redirect import Redirector

prepare = Redirector.prepare

def fail(visit, target):
    raise RuntimeError(f"later: {visit} {target}")

def careless(self, visit):
    if visit.path == "/later":
        asyncio.get_running_loop().call_soon(fail, visit, f"https://shop.example/?{visit.query}")
    if visit.path == "/broken":
        raise RuntimeError(f"can not read {visit}, {visit.query}")
    return prepare(self, visit)

Redirector.prepare = careless
sys.exit(main())
"""
SECRET, ADDRESS, SIXTH = "marker", "203.0.113.77", "2001:db8:1:2:3:4:5:6"


@pytest.mark.parametrize("fast", ["1", "0"])
def test_it_logs_no_query_and_no_address(
    tmp_path: Path, redis_url: str, publisher: Publisher, fast: str
) -> None:
    publisher.world()
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": redis_url,
            "TRACKER_FD": str(listening.fileno()),
            "DEFAULT_HOSTS": "localhost",
            "TRUSTED_PROXIES": "127.0.0.1",
            "SPOOL_DIR": str(tmp_path / "spool"),
            "LOG_LEVEL": "debug",
            "DRAIN_HOLD": "0",
            "FAST_LANE": fast,
        }
        with log.open("wb") as file:
            tracker = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], env=environment, stderr=file, pass_fds=(listening.fileno(),)
            )
        try:
            wait_until(lambda: "tracker.ready" in log.read_text(), "tracker ready")
            port = listening.getsockname()[1]
            for request in requests():
                with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
                    client.sendall(request)
                    while client.recv(1 << 16):
                        pass
        finally:
            tracker.terminate()
            tracker.wait(LIMIT_S)
    text = log.read_text()
    events = [json.loads(line) for line in text.splitlines()]
    tracebacks = [event["exception"] for event in events if "exception" in event]
    assert sum("RuntimeError: later" in one for one in tracebacks) == 2
    assert sum("RuntimeError: can not read" in one for one in tracebacks) == 2
    for private in (SECRET, ADDRESS, SIXTH, "0113794620"):
        assert private not in text


def requests() -> list[bytes]:
    """What goes well, what fails, and what no parser takes; each says its secret in the query."""
    found = []
    for address in (ADDRESS, SIXTH):
        rest = f"HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n\r\n"
        for target in ("/sale", "/unknown", "/later", "/broken", "//x"):
            found.append(f"GET {target}?email={SECRET}@x.example&{SECRET}&n=55%2B0113794620 {rest}".encode())
        found.append(f"POST /sale?{SECRET} {rest}".encode())
        found.append(f"GET /sa\0le?{SECRET} {rest}".encode())
    return found
