"""Why a visitor is taken for a robot. The tracker asks at the door; the worker asks again with the same function.

The patterns are the list `crawler-user-agents` 1.60.0 (MIT, `data/`), with the corrections below. All of them are one
automaton, so a look-up costs about 1 us whatever their number.
"""

import json
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import re2

HEAD, PREFETCH, EMPTY_AGENT, AGENT = "head", "prefetch", "empty_agent", "agent"
REASONS = (HEAD, PREFETCH, EMPTY_AGENT, AGENT)

_LIST = "crawler-user-agents.json"

_PEOPLE_TOO = {
    "MetaIAB Facebook",  # Facebook's in-app browser on Android, not its preview fetcher
    "Fluid",  # a browser for single sites
    "WhatsApp",  # replaced by ^WhatsApp: the preview fetcher says nothing else, people's browsers start with Mozilla
    "Viber",
}

_OURS = (
    "^WhatsApp",
    "^Viber",
    "^(?i:curl|wget|httpie|xh/|lwp|libwww|java|ruby|perl|php|guzzle|insomnia|postmanruntime|dart|deno|bun/|node|undici)",
    "^(?i:python|aiohttp|httpx|urllib|got[ /]|axios|apache-httpclient|jakarta|rest-client|reqwest|hackney|fasthttp)",
    "(?i:headlesschrome|phantomjs|slimerjs|selenium|puppeteer|playwright|cypress)",
    "(?i:ms-office|microsoft office|bitlybot|mailto:)",  # Office asks for a link before it opens the browser
    r"(?i)\b(?:bot|crawler|spider|scraper|robot|fetcher|link ?preview|link ?checker|url ?preview)\b",
    r"(?i)[a-z]bot/[0-9]",
    r"\+https?://",  # an agent that says where to read about it
)


def door_verdict(*, method: str, user_agent: str, purpose: str) -> str:
    """The reason to take a request for a robot's (one of REASONS), or "" for a person's.

    `purpose` is what `Sec-Purpose`, `Purpose` or `X-Moz` said. The first reason that fits is given, in the order of
    REASONS; an agent that nobody knows is a person.
    """
    if method == "HEAD":
        return HEAD
    if purpose and any(word in purpose.lower() for word in ("prefetch", "prerender", "preview")):
        return PREFETCH
    if not user_agent or user_agent.isspace():
        return EMPTY_AGENT
    return AGENT if _is_known(user_agent) else ""


@lru_cache(maxsize=4096)
def _is_known(user_agent: str) -> bool:
    """Agents repeat; the trackers bound their length, so that all of them take some MB at most."""
    return bool(_known_robots().Match(user_agent))


@cache
def _known_robots() -> Any:
    """Compiled when first asked for: 10 ms, 2 MB."""
    text = files("core.domain").joinpath("data", _LIST).read_text(encoding="utf-8")
    listed = [entry["pattern"] for entry in json.loads(text)]
    robots = re2.Set.SearchSet()
    for pattern in [*(pattern for pattern in listed if pattern not in _PEOPLE_TOO), *_OURS]:
        robots.Add(pattern)
    robots.Compile()
    return robots
