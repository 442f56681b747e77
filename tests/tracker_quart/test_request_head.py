"""Which heads the fast lane reads itself, what it makes of them, and that it remembers a bounded number of lines."""

import pytest

from core.domain.networks import parse_networks
from tracker_quart import request_head
from tracker_quart.request_head import HeadReader

PLAIN = b"GET /sale HTTP/1.1\r\nHost: localhost\r\n"


def read(head: bytes, *, proxies: str = "10.0.0.0/8", peer: str = "10.0.0.1") -> request_head.Asked | None:
    return HeadReader(parse_networks(proxies)).read(head + b"\r\n", peer=peer)


def test_it_reads_what_a_visit_is_made_of() -> None:
    asked = read(
        b"HEAD /s%C3%A3le?a=1?b HTTP/1.1\r\nhOsT:Go.Example:80\r\nUser-Agent: \tMozilla/5.0 (x)  \r\n"
        b"X-Forwarded-For: 1.2.3.4, 203.0.113.9\r\nReferer: https://a.example/\xc3\xa9\r\n"
        b"Accept-Language: pt-BR\r\nSec-Purpose: prefetch\r\nCookie: a=b\r\nX-Empty:\r\nConnection: Close\r\n"
    )
    assert asked is not None and asked.closes
    visit = asked.visit
    assert (visit.method, visit.host, visit.path, visit.query) == (
        "HEAD",
        "go.example",
        "/s%C3%A3le",
        "a=1?b",
    )
    assert (visit.ip, visit.user_agent, visit.referrer) == (
        "203.0.113.9",
        "Mozilla/5.0 (x)",
        "https://a.example/é",
    )
    assert (visit.language, visit.purpose) == ("pt-BR", "prefetch")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /sale HTTP/1.1\r\nHost: localhost\r\n",
        b"get /sale HTTP/1.1\r\nHost: localhost\r\n",
        b"GET  /sale HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /sale  HTTP/1.1\r\nHost: localhost\r\n",
        b"GET\t/sale HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /sale HTTP/1.2\r\nHost: localhost\r\n",
        b"GET /sale HTTP/2.0\r\nHost: localhost\r\n",
        b"GET /sale\r\nHost: localhost\r\n",
        b"GET http://localhost/sale HTTP/1.1\r\nHost: localhost\r\n",
        b"GET * HTTP/1.1\r\nHost: localhost\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /a/b HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /a%2fb HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /a%00b HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /a\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /ready%7a HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /sale HTTP/1.1\r\n",
        b"GET /sale HTTP/1.1\r\nHost: a b\r\n",
        b"GET /sale HTTP/1.1\r\nHost: a@b\r\n",
        *(
            PLAIN + line + b"\r\n"
            for line in (
                b"Host: localhost",
                b"A : b",
                b" A: b",
                b"\tA: b",
                b": b",
                b"A",
                b"",
                b"A\x80: b",
                b"A: b\rc",
                b"A: b\nc: d",
                b"A: b\x01",
                b"A: b\x7f",
                b"A: b\0",
                b"A\0: b",
                b"(A): b",
                b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8",
                b"Purpose: a\r\nX-Moz: b",
                b"Content-Length: 0",
                b"content-length: 5",
                b"Transfer-Encoding: chunked",
                b"Expect: 100-continue",
                b"Upgrade: websocket",
                b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
                b"Connection: upgrade",
                b"Connection: close, keep-alive",
            )
        ),
    ],
)
def test_it_leaves_to_hypercorn(head: bytes) -> None:
    assert read(head) is None
    assert read(head) is None  # also from memory


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (PLAIN, False),
        (PLAIN + b"Connection: keep-alive\r\n", False),
        (PLAIN + b"Connection: close\r\n", True),
        (b"GET /sale HTTP/1.0\r\n", True),
        (b"GET /sale HTTP/1.0\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_it_says_whether_the_connection_goes_on(head: bytes, closes: bool) -> None:
    asked = read(head)
    assert asked is not None and asked.closes is closes


def test_it_remembers_a_bounded_number_of_lines_and_no_long_ones() -> None:
    for known in (request_head._known_line, request_head._known_header):
        known.cache_clear()
    for number in range(5_000):
        assert read(b"GET /a%d HTTP/1.1\r\nHost: h%d\r\n" % (number, number)) is not None
    assert request_head._known_line.cache_info().currsize == request_head._REMEMBERED
    assert request_head._known_header.cache_info().currsize == request_head._REMEMBERED
    before = request_head._known_header.cache_info()
    assert read(PLAIN + b"Cookie: " + b"x" * 3_000 + b"\r\n") is not None
    assert request_head._known_header.cache_info() == before
