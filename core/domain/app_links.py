"""Addresses that open an app on a phone: which ones a link may have, and how a phone is led to one with a way back.

| address | what visitors get |
|---|---|
| `https://...` | a redirect: the app where it is installed and claims the address, else the browser opens it |
| `myapp://...` or `intent://...` on Android | a redirect to an intent whose fallback is the link's destination |
| `myapp://...` on iOS | a page that tries the app and goes on to the destination: a redirect may end in an error |
"""

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote

from core.contracts.link_snapshot import AppLinks
from core.domain.urls import (
    LONGEST_DESTINATION,
    DestinationRefused,
    ascii_url,
    check_characters,
    check_destination,
)

IOS, ANDROID = "ios", "android"
SYSTEMS = (IOS, ANDROID)

_WEB = ("https://", "http://")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)(.*)", re.DOTALL)
_INTENT = re.compile(r"intent://([^/?#]*)([^#]*)#Intent;((?:[A-Za-z.]+=[^;=]+;)+)end")
_INTENT_PARTS = {
    "scheme": re.compile(r"[a-z][a-z0-9+.\-]*"),
    "package": re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)+"),
    "action": re.compile(r"[A-Za-z0-9_.]+"),
    "category": re.compile(r"[A-Za-z0-9_.]+"),
}
_NO_APPS = re.compile(
    r"(?i)javascript|data|file|filesystem|vbscript|blob|about|intent|view-source|jar|content|resource|android-app"
    r"|itms-services|ftp|wss?|chrome.*|edge|opera|brave|moz-.*|safari-.*|ms-.*"
)
"""Schemes that run scripts, read files, install or belong to browsers. An intent is written in its own form."""


class Way(NamedTuple):
    """The system of a visitor's phone, and the address that opens the app there."""

    system: str
    url: str

    @property
    def is_web(self) -> bool:
        return _is_web(self.url)


def way_of(apps: AppLinks, user_agent: str) -> Way | None:
    """The way into the app for this visitor; None for one who is led as everybody.

    An iPad that asks for desktop pages says that it is a Mac, and is led like one. Apps on Android that show pages
    themselves (`; wv)`) stop with an error at intents, so only web addresses are for them.
    """
    if "Windows Phone" in user_agent:  # names the others, too
        return None
    if "iPhone" in user_agent or "iPad" in user_agent or "iPod" in user_agent:
        return Way(IOS, apps.ios) if apps.ios else None
    if "Android" not in user_agent or not apps.android:
        return None
    return None if "; wv)" in user_agent and not _is_web(apps.android) else Way(ANDROID, apps.android)


def intent_of(url: str, *, fallback: str) -> str:
    """The intent for an app's address, custom scheme or intent, on Android. Browsers go to `fallback` where no app
    opens it."""
    back = f"S.browser_fallback_url={quote(fallback, safe='')};end"
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "intent":
        return f"intent://{rest.removesuffix('end')}{back}"
    return f"intent://{rest}#Intent;scheme={scheme.lower()};{back}"


def check_app_url(url: str, *, system: str, own_hosts: Collection[str]) -> str:
    """An app's address as it is stored: as typed, without surrounding white space.

    http and https are checked as destinations are. Else a scheme of the app's own with two slashes, or on Android an
    intent with a scheme and, if wanted, package, action and category: its fallback is the destination. Macros stand in
    path and query alone. Raises DestinationRefused.
    """
    typed = url.strip()
    if _is_web(typed):
        return check_destination(typed, own_hosts=own_hosts)
    if len(ascii_app_url(typed)) > LONGEST_DESTINATION:
        raise DestinationRefused("too_long", f"The address is longer than {LONGEST_DESTINATION:,} bytes.")
    check_characters(typed)
    found = _ADDRESS.fullmatch(typed)
    if found is None:
        raise DestinationRefused(
            "scheme", "Write an address of an app, such as myapp://product/1, or of the web."
        )
    scheme, authority, rest = found.groups()
    if scheme.lower() == "intent":
        _check_intent(typed, system)
    elif _NO_APPS.fullmatch(scheme):
        raise DestinationRefused("scheme", f"{scheme.lower()}: is no scheme of an app.")
    elif system == ANDROID and "#" in rest:
        raise DestinationRefused("characters", "Write # as %23: what follows it would not reach the app.")
    if "{" in authority or "}" in authority:
        raise DestinationRefused("host", "Macros can stand after the first single slash only.")
    return typed


def ascii_app_url(url: str) -> str:
    """A checked address as it travels. What was ASCII stays as typed."""
    if _is_web(url):
        return ascii_url(url)
    return "".join(char if char.isascii() else quote(char, safe="", errors="replace") for char in url)


def _is_web(url: str) -> bool:
    return url[:8].lower().startswith(_WEB)


def _check_intent(typed: str, system: str) -> None:
    if system != ANDROID:
        raise DestinationRefused("scheme", "Only Android knows intents.")
    found = _INTENT.fullmatch(typed)
    parts = [part.partition("=") for part in found[3].split(";")[:-1]] if found else []
    names = [name for name, _, _ in parts]
    if "S.browser_fallback_url" in names:
        raise DestinationRefused("intent", "Leave the fallback out: it is the link's destination.")
    known = all(name in _INTENT_PARTS and _INTENT_PARTS[name].fullmatch(value) for name, _, value in parts)
    if not known or "scheme" not in names or len(set(names)) < len(names):
        raise DestinationRefused(
            "intent",
            "Write an intent as “intent://product/1#Intent;scheme=myapp;package=com.example.app;end”.",
        )
    scheme = {name: value for name, _, value in parts}["scheme"]
    if _NO_APPS.fullmatch(scheme):
        raise DestinationRefused("scheme", f"{scheme}: is no scheme of an app.")
