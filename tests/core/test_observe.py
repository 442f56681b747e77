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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "no way: Visit(path='/sale', query='secret', ip='203.0.113.77', user_agent='x')",
            "no way: Visit(path='/sale', query='…', ip='203.0.113.0', user_agent='x')",
        ),
        ("{'query': \"it's secret\", 'n': 1}", "{'query': \"…\", 'n': 1}"),
        ("b'GET /sale?secret&x HTTP/1.1\\r\\nHost: x'", "b'GET /sale?… HTTP/1.1\\r\\nHost: x'"),
        ("to https://shop.example/?n='secret'&b=1#c (302)", "to https://shop.example/?… (302)"),
        (
            "For:2001:db8:1:2::7, [2001:db8:1:2::7]:443",
            "For:2001:db8:1::, [2001:db8:1::]:443",
        ),
        ("X:203.0.113.77, 203.0.113.77:4711.", "X:203.0.113.0, 203.0.113.0:4711."),
        ("::ffff:203.0.113.77", "::"),
        ("at 12:34:56 on 127.0.0.1:8080 and ::1", "at 12:34:56 on 127.0.0.1:8080 and ::1"),
    ],
)
def test_it_takes_queries_and_addresses_out_of_texts_that_are_not_ours(text: str, shown: str) -> None:
    for event in ({"exception": text}, {"event": text, "_from_structlog": False}):
        assert scrub(None, "error", dict(event)) == {**event, next(iter(event)): shown}


def test_it_takes_values_out_of_tracebacks() -> None:
    text = 'File "a.py", line 12, in f\nValueError: can not read email=ana@b.example&x[y]=3'
    event = scrub(None, "error", {"exception": text})
    assert event["exception"] == 'File "a.py", line 12, in f\nValueError: can not read email=…'


def test_it_takes_out_the_tokens_of_postbacks() -> None:
    path = "/postback/pb_abcdefghijklmnopqrstuvwxyz"
    event = {
        "event": f"Exception on request GET {path}",
        "path": path,
        "error": path,
        "_from_structlog": False,
    }
    scrubbed = scrub(None, "error", event)
    assert scrubbed["event"] == "Exception on request GET /postback/pb_…"
    assert (scrubbed["path"], scrubbed["error"]) == ("/postback/pb_…", "/postback/pb_…")


def test_it_leaves_the_addresses_of_servers_in_what_it_says_itself() -> None:
    event = {"event": "redis.away", "error": "Error 111 connecting to 10.1.2.3:6379. Connection refused."}
    assert scrub(None, "warning", dict(event)) == event


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
