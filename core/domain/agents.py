"""Browser, operating system and kind of device of a user agent."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from ua_parser import Parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

LONGEST_AGENT = 512
"""What is looked at and stored of an agent; real ones have 100 to 300 characters."""

MOBILE, TABLET, DESKTOP, TV = "mobile", "tablet", "desktop", "tv"

_BROWSERS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "HeadlessChrome": "Headless Chrome",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "iOS WebView",
    "Opera Mobile": "Opera",
}
_SYSTEMS = {"Mac OS X": "macOS"}
_DESKTOPS = {"Windows", "macOS", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS", "FreeBSD", "OpenBSD"}
_TV = re.compile(
    r"(?i)smart-?tv|apple ?tv|google ?tv|android tv|hbbtv|bravia|\bcrkey\b|\baft[a-z]{1,3}\b|roku|web0s"
)
_TABLET = re.compile(r"(?i)ipad|tablet|kindle|silk/|playbook")


@dataclass(frozen=True, slots=True)
class Agent:
    """Names as people know them; "" for what is not known."""

    browser: str = ""
    os: str = ""
    device: str = ""


def read_agent(user_agent: str) -> Agent:
    """What an agent says of itself; only its first LONGEST_AGENT characters count. The first call takes 0.3 s."""
    return _read(user_agent[:LONGEST_AGENT])


@lru_cache(maxsize=10_000)
def _read(user_agent: str) -> Agent:
    if not user_agent or user_agent.isspace():
        return Agent()
    found = _parser().parse(user_agent)
    browser = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    system = _SYSTEMS.get(system, system)
    return Agent(
        browser=_known(_BROWSERS.get(browser, browser)), os=_known(system), device=_device(user_agent, system)
    )


def _known(name: str) -> str:
    return "" if name == "Other" else name


def _device(user_agent: str, system: str) -> str:
    if _TV.search(user_agent):
        return TV
    if _TABLET.search(user_agent) or (system == "Android" and "Mobile" not in user_agent):
        return TABLET
    if system in ("iOS", "Android", "Windows Phone", "KaiOS") or "Mobi" in user_agent:
        return MOBILE
    return DESKTOP if system in _DESKTOPS else ""


@cache
def _parser() -> Any:
    return Parser(Resolver(load_lazy_builtins()))
