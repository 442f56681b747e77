"""Which requests the fast lane takes: heads that every parser reads alike, and that ask for nothing but a short link.

A head is plain when each of its lines has the one shape that leaves nothing to a parser's judgement: no bare CR or LF,
no control characters, no repeated or folded headers, single spaces in the request line, and no header that announces
more than a head. Everything else is Hypercorn's.

Lines repeat from visitor to visitor (browsers are few, and so are the links of an hour), so what a line means is
remembered: a head costs a few look-ups instead of a parse.
"""

import re
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from core.domain.networks import Networks, visitor_address
from tracker_quart.visit import Visit, field_of, path_of, query_of

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

_STARTS = (b"GET /", b"HEAD /")
_REQUEST_LINE = re.compile(rb"(GET|HEAD) (/[\x21-\x7e]*) HTTP/1\.([01])")
_HEADER_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*)?)[ \t]*"
)
_HOST = re.compile(rb"[A-Za-z0-9.:\-_\[\]]*")
_NEEDS_MORE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings"})
_CONNECTION = {b"close": "close", b"keep-alive": "keep-alive"}

_REMEMBERED = 4096
_LONGEST_REMEMBERED = 2048
"""Lines of longer heads are read anew each time, so that nobody fills the memory with lines that never come back."""

_NOT_PLAIN = ("", "")

Line = tuple[str, str, str, bool]
"""Method, path and query of a request line, and whether its version closes by itself."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request that the fast lane takes. `closes`: the client wants no other answer on this connection."""

    visit: Visit
    closes: bool


class HeadReader:
    """Reads whole heads, whichever connections they come from."""

    def __init__(self, proxies: Networks) -> None:
        self._proxies = proxies

    def read(self, head: bytes, *, peer: str) -> Asked | None:
        """What a head asks for, or None when Hypercorn has to read it. `head` ends with its empty line."""
        lines = head.split(b"\r\n")
        is_short = len(head) <= _LONGEST_REMEMBERED
        asked = _known_line(lines[0]) if is_short else _request_line(lines[0])
        if asked is None:
            return None
        fields = dict(map(_known_header if is_short else _header, lines[1:-2]))
        if (
            "" in fields or len(fields) != len(lines) - 3
        ):  # a line that is not plain; a header that comes twice
            return None
        method, path, query, closes = asked
        get = fields.get
        host = get("host")
        if host is None:
            if not closes:
                return None
            host = ""
        if get("connection") == "close":
            closes = True
        forwarded = get("x-forwarded-for")
        ip = visitor_address(peer, forwarded, self._proxies) if forwarded else peer
        visit = Visit(
            method,
            host,
            path,
            query,
            ip,
            get("user-agent", ""),
            get("referer", ""),
            get("accept-language", ""),
            get("purpose", ""),
        )
        return Asked(visit, closes)


def may_become_plain(start: bytes) -> bool:
    """False when bytes without an empty line, the beginning of a request, can not become one for the fast lane."""
    return (
        any(start[: len(begin)] == begin[: len(start)] for begin in _STARTS)
        and start.count(b"\n") == start.count(b"\r\n")
        and b"\0" not in start
    )


def _request_line(line: bytes) -> Line | None:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        return None
    path, _, query = found[2].partition(b"?")
    if not _is_slug(path):
        return None
    return found[1].decode("ascii"), path_of(path), query_of(query), found[3] == b"0"


def _header(line: bytes) -> tuple[str, str]:
    """A header's name, by which `Visit` knows it, and its text; _NOT_PLAIN for one that is for Hypercorn."""
    found = _HEADER_LINE.fullmatch(line)
    if found is None:
        return _NOT_PLAIN
    name, value = found[1].lower(), found[2]
    if name in _NEEDS_MORE or (name == b"host" and not _HOST.fullmatch(value)):
        return _NOT_PLAIN
    if name == b"connection":
        wanted = _CONNECTION.get(value.lower())
        return _NOT_PLAIN if wanted is None else ("connection", wanted)
    return field_of(name, value)


_known_line = lru_cache(maxsize=_REMEMBERED)(_request_line)
_known_header = lru_cache(maxsize=_REMEMBERED)(_header)


def _is_slug(path: bytes) -> bool:
    """True for a path of one segment that the app leaves to the redirect route."""
    name = path[1:].decode("ascii")
    if "%" in name:
        name = unquote(name)
        if not name.isprintable():
            return False
    return bool(name) and "/" not in name and name not in OWN_PATHS
