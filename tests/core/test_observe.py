"""Logs are lines of JSON that hold nothing private; metrics answer on their own port."""

import json
import subprocess
import sys
import urllib.request

import pytest

from core.observe import CLOCK_BACK, masked, scrub, serve_metrics


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_it_masks_addresses(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_it_takes_private_things_out() -> None:
    event = {"event": "x", "query": "email=a@b", "ip": "203.0.113.77", "url": "/a?secret=1", "clicks": 3}
    assert scrub(None, "info", event) == {"event": "x", "ip": "203.0.113.0", "url": "/a", "clicks": 3}


PROGRAM = """
import logging
from core.observe import logger, setup_logging
setup_logging("tracker", log_format="{format}", log_level="info")
logger("a").info("spool.replayed", clicks=2, query="private")
logger("a").debug("not shown")
logging.getLogger("other").warning("from %s", "a library")
"""


def test_it_writes_json_for_its_own_and_other_loggers() -> None:
    lines = _run("json")
    first, second = (json.loads(line) for line in lines)
    assert first["event"] == "spool.replayed"
    assert (first["program"], first["clicks"], first["level"]) == ("tracker", 2, "info")
    assert (second["program"], second["event"], second["logger"]) == ("tracker", "from a library", "other")
    assert "private" not in "".join(lines)


def test_it_writes_text() -> None:
    lines = _run("text")
    assert len(lines) == 2
    assert "spool.replayed" in lines[0]
    assert "clicks=2" in lines[0]


def test_it_serves_metrics() -> None:
    CLOCK_BACK.inc(0)
    port = serve_metrics(0, host="127.0.0.1")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"rastro_clock_back_total" in answer.read()


def _run(log_format: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{format}", log_format)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()
