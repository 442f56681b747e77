"""Which heads the fast lane reads itself, what it makes of them, and that it remembers a bounded number of lines."""

import pytest

from core.domain.networks import parse_networks
from tracker_quart import request_head
from tracker_quart.request_head import HeadReader
from tracker_quart.visit import Visit

PLAIN = b"GET /sale HTTP/1.1\r\nHost: localhost\r\n"


def read(head: bytes, *, reader: HeadReader | None = None) -> tuple[Visit, bool] | None:
    reader = reader or HeadReader(parse_networks("10.0.0.0/8"))
    return reader.read(head + b"\r\n", reader.peer("10.0.0.1"))


def test_it_reads_what_a_visit_is_made_of() -> None:
    asked = read(
        b"HEAD /s%C3%A3le?a=1?b HTTP/1.1\r\nhOsT:Go.Example:80\r\nUser-Agent: \tMozilla/5.0 (x)  \r\n"
        b"X-Forwarded-For: 1.2.3.4, 203.0.113.9\r\nReferer: https://a.example/\xc3\xa9\r\n"
        b"Accept-Language: pt-BR\r\nSec-Purpose: prefetch\r\nCookie: a=b\r\nX-Empty:\r\nConnection: Close\r\n"
    )
    assert asked is not None
    visit, closes = asked
    assert closes
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
    reader = HeadReader(parse_networks("10.0.0.0/8"))
    assert read(PLAIN, reader=reader) is not None
    assert [read(head, reader=reader) for _ in range(2)] == [None, None]


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
    assert asked is not None and asked[1] is closes


def test_it_remembers_a_bounded_number_of_lines_and_no_long_ones() -> None:
    reader = HeadReader(parse_networks(""))
    lines, fields = reader._lines, reader._field_of.__self__
    for number in range(5_000):
        head = b"GET /a%d HTTP/1.1\r\nHost: h%d\r\n" % (number, number)
        assert read(head, reader=reader) is not None
        assert max(len(lines), len(fields)) <= request_head._REMEMBERED
    held = len(fields)
    for line in (b"Cookie: " + b"x" * 600, b"X-Forwarded-For: 192.0.2.7", b"Bad : line", b"Upgrade: h2c"):
        read(PLAIN + line + b"\r\n", reader=reader)
    assert len(fields) == held + 1  # the host of PLAIN
