"""Why a visitor is taken for a robot. The tracker asks at the door; the worker asks again with the same function.

The patterns are the list `crawler-user-agents` 1.60.0 (MIT, `data/`), with the corrections below; its tags say which
are scanners and which fetch previews. All of them are one automaton, so a look-up costs about 1 us whatever their
number.
"""

import json
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import re2

from core.domain.ranges import Ranges

HEAD, PREFETCH, EMPTY_AGENT, AGENT = "head", "prefetch", "empty_agent", "agent"
PREVIEW, SCANNER, NETWORK = "preview", "scanner", "network"
REASONS = (HEAD, PREFETCH, EMPTY_AGENT, PREVIEW, SCANNER, AGENT, NETWORK)

_LIST = "crawler-user-agents.json"

_PEOPLE_TOO = {
    "MetaIAB Facebook",  # Facebook's in-app browser on Android, not its preview fetcher
    "Fluid",  # a browser for single sites
    "WhatsApp",  # replaced by ^WhatsApp: the preview fetcher says nothing else, people's browsers start with Mozilla
    "Viber",
}

_REASON_OF_TAG = {"social-preview": PREVIEW, "scanner": SCANNER}
_TAGGED_OTHERWISE = {
    r"meta-externalagent\/": AGENT,  # gathers texts for Meta's models; its previews are facebookexternalhit's
    "meta-webindexer": AGENT,
    "AASA-Bot": AGENT,  # asks for the domain's app files
    "Google-Safety": SCANNER,
}

_OURS = (
    # Previews of links: by a messenger's servers, or by its app before anybody has opened the link.
    (PREVIEW, "^WhatsApp"),
    (PREVIEW, "^Viber"),
    (PREVIEW, "^GoogleMessages/"),
    (PREVIEW, r"(?i)\b(?:link|url) ?preview\b"),
    # Scanners of mail and the web that give their maker's name. Names that people's browsers carry as well (Avast,
    # Norton, McAfee, AnyConnect) are left out: most scanners pretend to be browsers, and ROBOT_NETWORKS tells those.
    (
        SCANNER,
        "(?i:barracuda|proofpoint|mimecast|safelinks|ironport|fireeye|trellix|forcepoint|websense|messagelabs)",
    ),
    (SCANNER, "(?i:symantec|trend ?micro|zscaler|fortiguard|urlscan|virustotal|phishtank|openphish)"),
    (SCANNER, "(?i:(?:link|url)[ _-]?check|checklink|(?:broken|dead)[ _-]?link)"),
    (
        AGENT,
        "^(?i:curl|wget|httpie|xh/|lwp|libwww|java|ruby|perl|php|guzzle|insomnia|postmanruntime|dart|deno|bun/)",
    ),
    (
        AGENT,
        "^(?i:node|undici|python|aiohttp|httpx|urllib|got[ /]|axios|apache-httpclient|jakarta|rest-client)",
    ),
    (AGENT, "^(?i:reqwest|hackney|fasthttp)"),
    (AGENT, "(?i:headlesschrome|phantomjs|slimerjs|selenium|puppeteer|playwright|cypress)"),
    # Office asks for a link before it opens the browser.
    (AGENT, "(?i:ms-office|microsoft office|bitlybot|mailto:)"),
    (AGENT, r"(?i)\b(?:bot|crawler|spider|scraper|robot|fetcher)\b"),
    (AGENT, r"(?i)[a-z]bot/[0-9]"),
    (AGENT, r"\+https?://"),  # an agent that says where to read about it
)


def door_verdict(
    method: str, user_agent: str, purpose: str, *, ip: str = "", networks: Ranges | None = None
) -> str:
    """The reason to take a request for a robot's (one of REASONS), or "" for a person's.

    `purpose` is what `Sec-Purpose`, `Purpose` or `X-Moz` said; `networks` are the operator's ranges of robots, None for
    none. The first reason that fits is given, in the order of REASONS; an agent that nobody knows, from an address that
    nobody named, is a person.
    """
    if method == "HEAD":
        return HEAD
    if purpose and any(word in purpose.lower() for word in ("prefetch", "prerender", "preview")):
        return PREFETCH
    if not user_agent or user_agent.isspace():
        return EMPTY_AGENT
    named = _reason_of(user_agent)
    if not named and networks is not None and networks.contains(ip):
        return NETWORK
    return named


@lru_cache(maxsize=4096)
def _reason_of(user_agent: str) -> str:
    """Agents repeat; the trackers bound their length, so that all of them take some MB at most."""
    robots, reasons = _known_robots()
    found = {reasons[place] for place in robots.Match(user_agent) or ()}
    return next((reason for reason in (PREVIEW, SCANNER, AGENT) if reason in found), "")


@cache
def _known_robots() -> tuple[Any, tuple[str, ...]]:
    """The automaton, and each pattern's reason. Made when first asked for: 10 ms, 2 MB."""
    text = files("core.domain").joinpath("data", _LIST).read_text(encoding="utf-8")
    listed = [(_reason_in(entry), entry["pattern"]) for entry in json.loads(text)]
    every = [*(entry for entry in listed if entry[1] not in _PEOPLE_TOO), *_OURS]
    robots = re2.Set.SearchSet()
    for _, pattern in every:
        robots.Add(pattern)
    robots.Compile()
    return robots, tuple(reason for reason, _ in every)


def _reason_in(entry: dict[str, Any]) -> str:
    tags = (_REASON_OF_TAG[tag] for tag in entry.get("tags", ()) if tag in _REASON_OF_TAG)
    return _TAGGED_OTHERWISE.get(entry["pattern"]) or next(tags, AGENT)
