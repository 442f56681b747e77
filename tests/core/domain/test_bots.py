"""Who is taken for a robot at the door, by real agents."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from core.domain.bots import (
    AGENT,
    EMPTY_AGENT,
    HEAD,
    NETWORK,
    PREFETCH,
    PREVIEW,
    REASONS,
    SCANNER,
    door_verdict,
)
from core.domain.ranges import parse_ranges

PEOPLE, ROBOTS, PREVIEWS, SCANNERS = (
    Path(__file__).with_name(f"agents_of_{who}.txt").read_text(encoding="utf-8").splitlines()
    for who in ("people", "robots", "previews", "scanners")
)
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"


@pytest.mark.parametrize("agent", PEOPLE)
def test_it_takes_people_for_people(agent: str) -> None:
    assert door_verdict(method="GET", user_agent=agent, purpose="") == ""


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        *((agent, AGENT) for agent in ROBOTS),
        *((agent, PREVIEW) for agent in PREVIEWS),
        *((agent, SCANNER) for agent in SCANNERS),
    ],
)
def test_it_knows_robots_and_what_they_do(agent: str, reason: str) -> None:
    assert door_verdict(method="GET", user_agent=agent, purpose="") == reason


@pytest.mark.parametrize(
    ("method", "agent", "ip", "reason"),
    [
        ("GET", BROWSER, "198.51.100.7", NETWORK),
        ("GET", BROWSER, "2001:db8::7", NETWORK),
        ("GET", BROWSER, "203.0.113.7", ""),
        ("GET", BROWSER, "", ""),
        ("GET", "Barracuda Sentinel (EE)", "198.51.100.7", SCANNER),
        ("HEAD", BROWSER, "198.51.100.7", HEAD),
    ],
)
def test_it_tells_robots_by_address_where_nothing_else_does(
    method: str, agent: str, ip: str, reason: str
) -> None:
    networks = parse_ranges("198.51.100.0/24, 2001:db8::/32")
    assert door_verdict(method=method, user_agent=agent, purpose="", ip=ip, networks=networks) == reason


@pytest.mark.parametrize(
    ("method", "agent", "purpose", "reason"),
    [
        ("HEAD", BROWSER, "", HEAD),
        ("HEAD", "curl/8.5.0", "prefetch", HEAD),
        ("GET", BROWSER, "prefetch", PREFETCH),
        ("GET", BROWSER, "Prefetch;Prerender", PREFETCH),
        ("GET", BROWSER, "prefetch;anonymous-client-ip", PREFETCH),
        ("GET", BROWSER, "preview", PREFETCH),
        ("GET", BROWSER, "navigate", ""),
        ("GET", "", "", EMPTY_AGENT),
        ("GET", "  \t", "", EMPTY_AGENT),
        ("GET", "\ufffd\ufffd", "", ""),
        ("GET", "x" * 1024, "", ""),
    ],
)
def test_it_gives_the_first_reason(method: str, agent: str, purpose: str, reason: str) -> None:
    assert door_verdict(method=method, user_agent=agent, purpose=purpose) == reason
    assert reason in ("", *REASONS)


def test_it_knows_every_example_of_the_list_but_browsers() -> None:
    entries = json.loads(files("core.domain").joinpath("data", "crawler-user-agents.json").read_text("utf-8"))
    missed = {
        entry["pattern"]
        for entry in entries
        for agent in entry["instances"]
        if not door_verdict(method="GET", user_agent=agent, purpose="")
    }
    assert missed == {"MetaIAB Facebook", "Fluid"}
