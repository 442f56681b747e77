"""The sampled access log: off, or one line for every so many requests, without anything private."""

import json
import subprocess
import sys

from tracker_quart.access_log import access_log

PROGRAM = """
from core.observe import setup_logging
from tracker_quart.access_log import AccessLog
from tracker_quart.visit import Visit
setup_logging("tracker", log_format="json", log_level="info")
visit = Visit(method="GET", host="go.example", path="/sale", query="email=private", ip="203.0.113.77",
              address=(4, 3405803853), user_agent="private", referrer="https://private.example/", language="",
              purpose="")
AccessLog(1).note(visit, status=302, outcome="redirect", seconds=0.0012041, click_id=bytes(16))
AccessLog(1).note(visit, status=404, outcome="unknown", seconds=0.1)
"""


def test_it_is_off_unless_asked_for() -> None:
    assert access_log(0) is None


def test_it_takes_every_so_many_requests() -> None:
    log = access_log(3)
    assert log is not None
    assert [log.is_due() for _ in range(7)] == [False, False, True, False, False, True, False]
    every = access_log(1)
    assert every is not None
    assert every.is_due()
    assert every.is_due()


def test_it_says_what_was_asked_and_answered_and_nothing_of_who() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    for key in ("timestamp", "level", "logger", "program"):
        del first[key]
    assert first == {
        "event": "access",
        "method": "GET",
        "host": "go.example",
        "path": "/sale",
        "status": 302,
        "outcome": "redirect",
        "duration_ms": 1.204,
        "ip": "203.0.113.0",
        "click": "00000000-0000-0000-0000-000000000000",
    }
    assert (second["outcome"], second["click"]) == ("unknown", "")
    assert "private" not in done.stderr
