"""Which requests the fast lane takes: heads that every parser reads alike, and that ask for nothing but a short link,
or bring a postback or pixel in their address.

A head is plain when each of its lines has the one shape that leaves nothing to a parser's judgement: no bare CR or LF,
no control characters, no repeated or folded headers, single spaces in the request line, and no header that announces
more than a head. Everything else is Hypercorn's.

Lines repeat from visitor to visitor (browsers are few, and so are the links of an hour), so what a line means is
remembered: a head costs a few look-ups instead of a parse.
"""

import re
import string
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from core.domain.networks import Networks, Number, forwarded_address, number_of
from tracker_quart.hits import Hit, read_hit
from tracker_quart.visit import Visit, field_of, path_of, query_of

OWN_PATHS = frozenset(
    {
        "livez",
        "readyz",
        "robots.txt",
        "favicon.ico",
        "apple-touch-icon.png",
        "apple-touch-icon-precomposed.png",
        "rastro.js",
    }
)
"""Paths of one segment that the app answers itself; a test compares them with its routes."""

_STARTS = (b"GET /", b"HEAD /")
_REQUEST_LINE = re.compile(rb"(GET|HEAD) (/[\x21-\x7e]*) HTTP/1\.([01])")
_HIT_LINE = re.compile(
    rb"(GET|HEAD) (/(?:postback/([A-Za-z0-9_-]+)|pixel/([A-Za-z0-9_-]+)\.gif))"
    rb"(?:\?([\x21-\x7e\x80-\xff]*))? HTTP/1\.([01])"
)
_LONG_HIT = re.compile(rb"(?:GET|HEAD) /(?:postback/[A-Za-z0-9_-]+|pixel/[A-Za-z0-9_-]+\.gif)\?[^\r\n]*")
_HOST = re.compile(rb"[A-Za-z0-9.:\-_\[\]]*")
_IN_NAMES = b"!#$%&'*+-.^_`|~" + string.digits.encode() + string.ascii_letters.encode()
_IN_VALUES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_NEEDS_MORE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"http2-settings"})
_CONNECTION = {b"close": "close", b"keep-alive": "keep-alive"}

_REMEMBERED = 4096
_LONGEST_REMEMBERED = 512
"""Longer lines are read anew each time, so that nobody fills the memory with lines that never come back."""

_NOT_PLAIN = ("", "")
T = TypeVar("T")

Line = tuple[str, str, str, bool]
"""Method, path and query of a request line, and whether its version closes by itself."""


class Peer(msgspec.Struct, frozen=True, gc=False):
    """Who is at the other end of a connection, and whether it is a proxy of ours that says for whom it asks."""

    ip: str
    address: Number | None
    forwards: bool


class HeadReader:
    """Reads whole heads, whichever connections they come from."""

    def __init__(self, proxies: Networks) -> None:
        self._proxies = proxies
        self._lines = _Lines()
        self._field_of = _Fields().__getitem__

    def peer(self, ip: str) -> Peer:
        """What `read` has to know of a connection, looked up once."""
        return Peer(ip, number_of(ip), self._proxies.trust(ip))

    def read(self, head: bytes, peer: Peer) -> tuple[Visit, bool] | None:
        """What a head asks for, and whether the client wants no other answer on this connection; None when Hypercorn
        has to read it. `head` ends with its empty line."""
        lines = head.split(b"\r\n")
        asked = self._lines[lines[0]]
        if asked is None:
            return None
        fields = dict(map(self._field_of, lines[1:-2]))
        if "" in fields or len(fields) != len(lines) - 3:  # a line that is not plain; a header twice
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
        ip, address = peer.ip, peer.address
        if peer.forwards and (forwarded := get("x-forwarded-for")):
            ip, address = forwarded_address(ip, forwarded, self._proxies)
        visit = Visit(
            ip,
            address,
            get("user-agent", ""),
            query,
            get("referer", ""),
            host,
            get("accept-language", ""),
            method,
            path,
            get("purpose", ""),
        )
        return visit, closes

    def read_hit(self, head: bytes, peer: Peer, *, skipped: int = 0) -> tuple[Hit, bool] | None:
        """As `read`, for a head that brings a postback or a pixel, out of whose query `skipped` bytes were taken. Asked
        second: short links pay nothing for it."""
        lines = head.split(b"\r\n")
        found = _HIT_LINE.fullmatch(lines[0])
        if found is None:
            return None
        fields = dict(map(self._field_of, lines[1:-2]))
        if "" in fields or len(fields) != len(lines) - 3:
            return None
        method, target, of_postback, of_pixel, query, version = found.groups()
        closes = version == b"0"
        if "host" not in fields and not closes:
            return None
        headers = [
            (name.lower(), value.strip(b" \t"))
            for name, _, value in (line.partition(b":") for line in lines[1:-2])
        ]
        hit = read_hit(
            (of_pixel or of_postback).decode("ascii"),
            is_pixel=of_pixel is not None,
            method=method.decode("ascii"),
            target=target,
            query=query or b"",
            headers=headers,
            peer=peer.ip,
            proxies=self._proxies,
            skipped=skipped,
        )
        return hit, closes or fields.get("connection") == "close"


def may_become_plain(start: bytes) -> bool:
    """False when bytes without an empty line, the beginning of a request, can not become one for the fast lane."""
    return (
        any(start[: len(begin)] == begin[: len(start)] for begin in _STARTS)
        and start.count(b"\n") == start.count(b"\r\n")
        and b"\0" not in start
    )


def may_become_long_hit(start: bytes) -> bool:
    """True for the beginning of a postback or a pixel whose query has not come to its end."""
    return _LONG_HIT.fullmatch(start) is not None


class _Lines(dict[bytes, Line | None]):
    """What request lines ask for, None where that is for Hypercorn. Those that repeat cost a look-up."""

    def __missing__(self, line: bytes) -> Line | None:
        found = _REQUEST_LINE.fullmatch(line)
        if found is None:
            return None
        path, _, query = found[2].partition(b"?")
        if not _is_slug(path):
            return None
        asked = found[1].decode("ascii"), path_of(path), query_of(query), found[3] == b"0"
        _remember(self, line, asked)
        return asked


class _Fields(dict[bytes, tuple[str, str]]):
    """Header lines, each as the name by which `Visit` knows it, and its text; _NOT_PLAIN for one that is for Hypercorn.
    Those that repeat cost a look-up, the others 1 us."""

    def __missing__(self, line: bytes) -> tuple[str, str]:
        if line[:16].lower() == b"x-forwarded-for:":  # another one for each visitor
            value = line[16:].strip(b" \t")
            text = value.decode("latin-1")
            if text.isascii() and text.isprintable() and len(text) <= _LONGEST_REMEMBERED:  # as nearly always
                return "x-forwarded-for", text
            return _NOT_PLAIN if value.translate(None, _IN_VALUES) else field_of(b"x-forwarded-for", value)
        name, colon, value = line.partition(b":")
        if not (name and colon) or name.translate(None, _IN_NAMES) or value.translate(None, _IN_VALUES):
            return _NOT_PLAIN
        name, value = name.lower(), value.strip(b" \t")
        if name in _NEEDS_MORE or (name == b"host" and not _HOST.fullmatch(value)):
            return _NOT_PLAIN
        if name == b"connection":
            wanted = _CONNECTION.get(value.lower())
            return _NOT_PLAIN if wanted is None else ("connection", wanted)
        field = field_of(name, value)
        _remember(self, line, field)
        return field


def _remember(known: dict[bytes, T], line: bytes, meaning: T) -> None:
    """Many lines never come back, such as cookies. A full memory is emptied, and what does come back is soon there:
    that costs less than to know of each line when it came last."""
    if len(line) <= _LONGEST_REMEMBERED:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[line] = meaning


def _is_slug(path: bytes) -> bool:
    """True for a path of one segment that the app leaves to the redirect route."""
    name = path[1:].decode("ascii")
    if "%" in name:
        name = unquote(name)
        if not name.isprintable():
            return False
    return bool(name) and "/" not in name and name not in OWN_PATHS
