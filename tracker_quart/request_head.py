"""Which requests the fast lane takes: heads that every parser reads alike, and that ask for nothing but a short link.

httptools reads them; what surrounds it refuses whatever httptools and Hypercorn's h11 might see differently (bare CR
or LF, control characters, repeated headers, folded lines, two spaces), and whatever needs more than an answer.
"""

import re
from urllib.parse import unquote

import httptools
import msgspec

from core.domain.networks import Networks
from tracker_quart.visit import Visit, visit_of

OWN_PATHS = frozenset(
    {
        "livez",
        "readyz",
        "robots.txt",
        "favicon.ico",
        "apple-touch-icon.png",
        "apple-touch-icon-precomposed.png",
    }
)
"""Paths of one segment that the app answers itself; a test compares them with its routes."""

_METHODS = {b"GET": "GET", b"HEAD": "HEAD"}
_STARTS = (b"GET /", b"HEAD /")
_VERSIONS = {"1.1": False, "1.0": True}  # whether the connection closes when nothing else is said
_TARGET = re.compile(rb"[\x21-\x7e]+")
_HOST = re.compile(rb"[A-Za-z0-9.:\-_\[\]]*")
_NEEDS_MORE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings"})


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request that the fast lane takes. `closes`: the client wants no other answer on this connection."""

    visit: Visit
    closes: bool


class HeadReader:
    """Reads whole heads, one after the other, whichever connections they come from."""

    def __init__(self, proxies: Networks) -> None:
        self._proxies = proxies
        self._headers: dict[bytes, bytes] = {}
        self._target = b""
        self.on_header = self._headers.setdefault  # httptools calls these two by name
        self._parser = httptools.HttpRequestParser(self)

    def on_url(self, target: bytes) -> None:
        """Called by httptools with the target as it was sent."""
        self._target = target

    def read(self, head: bytes, *, peer: str) -> Asked | None:
        """What a head asks for, or None when Hypercorn has to read it. `head` ends with its empty line."""
        try:
            asked = self._read(head, peer)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            asked = None
        if asked is None or asked.closes:
            self._parser = httptools.HttpRequestParser(self)  # one that has seen a close reads no more
        return asked

    def _read(self, head: bytes, peer: str) -> Asked | None:
        headers = self._headers
        headers.clear()
        self._parser.feed_data(head)
        method = _METHODS.get(self._parser.get_method())
        version = self._parser.get_http_version()
        closes = _VERSIONS.get(version)
        target = self._target
        if method is None or closes is None or head.find(b"\n") != len(method) + len(target) + 11:
            return None
        if not _TARGET.fullmatch(target):
            return None
        found = dict(zip(map(bytes.lower, headers), map(bytes.rstrip, headers.values()), strict=True))
        if len(found) != head.count(b"\n") - 2 or not _NEEDS_MORE.isdisjoint(found):
            return None
        host = found.get(b"host")
        if (host is None and not closes) or (host is not None and not _HOST.fullmatch(host)):
            return None
        connection = found.get(b"connection")
        if connection is not None:
            connection = connection.lower()
            if connection == b"close":
                closes = True
            elif connection != b"keep-alive":
                return None
        path, _, query = target.partition(b"?")
        if not _is_slug(path):
            return None
        visit = visit_of(
            method=method, target=path, query=query, headers=found, peer=peer, proxies=self._proxies
        )
        return Asked(visit, closes)


def may_become_plain(start: bytes) -> bool:
    """False when bytes without an empty line, the beginning of a request, can not become one for the fast lane."""
    return (
        any(start[: len(begin)] == begin[: len(start)] for begin in _STARTS)
        and start.count(b"\n") == start.count(b"\r\n")
        and b"\0" not in start
    )


def _is_slug(path: bytes) -> bool:
    """True for a path of one segment that the app leaves to the redirect route."""
    name = path[1:].decode("ascii")
    if "%" in name:
        name = unquote(name)
        if not name.isprintable():
            return False
    return bool(name) and path[:1] == b"/" and "/" not in name and name not in OWN_PATHS
