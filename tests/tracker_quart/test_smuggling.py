"""Requests that are meant to be read in two ways: both lanes read them in one, and nothing hides behind them."""

from collections.abc import Iterator

import pytest

from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import HASH, URL
from tests.tracker_quart.lanes import LAST, Lane, outcomes, two_lanes

HOST = b"Host: localhost\r\n"
START = b"GET /sale HTTP/1.1\r\n" + HOST
HIDDEN = b"GET /gone HTTP/1.1\r\nHost: localhost\r\n\r\n"

CORPUS = {
    "two lengths": START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunked": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "length hides a request": START + b"Content-Length: 44\r\n\r\n" + HIDDEN,
    "chunked hides a request": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n2c\r\n"
    + HIDDEN,
    "chunked, spelt oddly": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: xchunked\r\n\r\n"
    + HIDDEN,
    "chunked, space before the colon": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding : chunked\r\n\r\n"
    + HIDDEN,
    "chunked in upper case": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n",
    "length with a sign": START + b"Content-Length: +4\r\n\r\nabcd",
    "length below nothing": START + b"Content-Length: -1\r\n\r\n",
    "length twice in a line": START + b"Content-Length: 4, 4\r\n\r\nabcd",
    "folded line": START + b"X-A: b\r\n c\r\n\r\n",
    "folded length": START + b"Content-Length:\r\n 4\r\n\r\nabcd",
    "folded with a tab": START + b"User-Agent: a\r\n\tb\r\n\r\n",
    "fold before any header": b"GET /sale HTTP/1.1\r\n x: y\r\n" + HOST + b"\r\n",
    "bare CR in a value": START + b"X-A: b\rX-C: d\r\n\r\n",
    "bare CR hides a length": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"X-A: b\rContent-Length: 44\r\n\r\n"
    + HIDDEN,
    "bare CR before CRLF": START + b"X-A: b\r\r\n\r\n",
    "bare LF in a value": START + b"X-A: b\nUser-Agent: c\r\n\r\n",
    "bare LF hides a length": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"X-A: b\nContent-Length: 44\r\n\r\n"
    + HIDDEN,
    "bare LF everywhere": b"GET /sale HTTP/1.1\nHost: localhost\n\n",
    "LF, CR and LF at the end": b"GET /sale HTTP/1.1\r\nHost: localhost\n\r\n",
    "CR and LF apart": START + b"X-A: b\rc\nX-D: e\r\n\r\n",
    "NUL in a value": START + b"User-Agent: a\0b\r\n\r\n",
    "NUL in a name": START + b"X\0Y: b\r\n\r\n",
    "NUL in the target": b"GET /sa\0le HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL first": b"\0GET /sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "control character in a value": START + b"User-Agent: a\x01b\x0bc\r\n\r\n",
    "space in a name": START + b"X A: b\r\n\r\n",
    "no name": START + b": b\r\n\r\n",
    "no colon": START + b"X-A\r\n\r\n",
    "high byte in a name": START + b"X-\xe7: b\r\n\r\n",
    "high bytes in a value": START + b"User-Agent: \xff\xfe\xc3\r\n\r\n",
    "high byte in the target": b"GET /promo\xe7ao HTTP/1.1\r\n" + HOST + b"\r\n",
    "huge header": START + b"X-A: " + b"b" * 12_000 + b"\r\n\r\n",
    "huger header": START + b"X-A: " + b"b" * 200_000 + b"\r\n\r\n",
    "huge target": b"GET /" + b"s" * 9_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "many headers": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"".join(b"X-%d: y\r\n" % n for n in range(400))
    + b"\r\n",
    "one header many times": START + b"X-A: y\r\n" * 200 + b"\r\n",
    "two hosts": START + b"Host: case.example\r\n\r\n",
    "two hosts, spelt differently": START + b"hOST: localhost\r\n\r\n",
    "no host": b"GET /sale HTTP/1.1\r\nX-A: b\r\n\r\n",
    "no host, HTTP/1.0": b"GET /sale HTTP/1.0\r\n\r\n",
    "HTTP/1.0 that stays": b"GET /sale HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n",
    "two agents": START + b"User-Agent: a\r\nUser-Agent: b\r\n\r\n",
    "two addresses": b"GET /sale HTTP/1.1\r\n"
    + HOST
    + b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n",
    "absolute target": b"GET http://localhost/sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute target, another host": b"GET http://case.example/sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute target with user info": b"GET http://localhost@case.example/sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "authority target": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "slash in percent": b"GET /sale%2fmore HTTP/1.1\r\n" + HOST + b"\r\n",
    "dots in percent": b"GET /%2e%2e/sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "bad UTF-8 in percent": b"GET /%c3%28 HTTP/1.1\r\n" + HOST + b"\r\n",
    "line break in percent": b"GET /sale%0d%0aX-A:b HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  /sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces before the version": b"GET /sale  HTTP/1.1\r\n" + HOST + b"\r\n",
    "space after the version": b"GET /sale HTTP/1.1 \r\n" + HOST + b"\r\n",
    "tab for a space": b"GET\t/sale\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "tab in the target": b"GET /sa\tle HTTP/1.1\r\n" + HOST + b"\r\n",
    "form feed in the target": b"GET /sa\x0cle HTTP/1.1\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /sa le HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /sale\r\n" + HOST + b"\r\n",
    "version 1.2": b"GET /sale HTTP/1.2\r\n" + HOST + b"\r\n",
    "version 3.7": b"GET /sale HTTP/3.7\r\n" + HOST + b"\r\n",
    "version 01.1": b"GET /sale HTTP/01.1\r\n" + HOST + b"\r\n",
    "lower case protocol": b"GET /sale http/1.1\r\n" + HOST + b"\r\n",
    "lower case method": b"get /sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "empty lines first": b"\r\n\r\nGET /sale HTTP/1.1\r\n" + HOST + b"\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
    "garbage behind a request": START + b"\r\n\x00\x01\x02 garbage \r\n\r\n",
    "a body that nobody announced": START + b"\r\na=b&c=d\r\n\r\n",
    "post with a body": b"POST /sale HTTP/1.1\r\n" + HOST + b"Content-Length: 7\r\n\r\na=b&c=d",
    "post with a large body": b"POST /sale HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 300000\r\n\r\n"
    + b"a" * 300_000,
    "password": b"POST /secret?a=1 HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n\r\npassword=abacaxi",
    "wrong password in chunks": b"POST /secret HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"9\r\npassword=\r\n1\r\nx\r\n0\r\n\r\n",
    "password in the query": b"GET /secret?password=abacaxi HTTP/1.1\r\n" + HOST + b"\r\n",
    "head of a locked link": b"HEAD /secret HTTP/1.1\r\n" + HOST + b"\r\n",
    "head": b"HEAD /sale HTTP/1.1\r\n" + HOST + b"\r\n" + b"HEAD /nobody HTTP/1.1\r\n" + HOST + b"\r\n",
    "expects": START + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "websocket": START + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "trailing spaces": b"GET /sale HTTP/1.1\r\nHost:   localhost   \r\nUser-Agent:  a b  \r\n\r\n",
}
CLOSE = {
    "no host, HTTP/1.0",
    "HTTP/1.0 that stays",
}  # by themselves; Hypercorn makes a race of what comes behind


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lane, Lane]]:
    with two_lanes(tmp_path_factory.mktemp("lanes") / "here") as lanes:
        for lane in lanes:
            lane.publisher.link("secret", LinkSnapshot(link_id=11, url=URL, password_hash=HASH))
        yield lanes


@pytest.mark.parametrize("name", CORPUS)
def test_it_reads_them_alike(lanes: tuple[Lane, Lane], name: str) -> None:
    fast, slow = outcomes(lanes, CORPUS[name] if name in CLOSE else CORPUS[name] + LAST)
    assert fast == slow


@pytest.mark.parametrize(
    "name", ["two spaces", "bare LF everywhere", "head", "huge header", "post with a body", "folded line"]
)
def test_it_reads_them_alike_behind_a_good_request_and_in_pieces(lanes: tuple[Lane, Lane], name: str) -> None:
    before = b"GET /sale?first HTTP/1.1\r\n" + HOST + b"\r\n"
    data = before + CORPUS[name] + LAST
    whole = outcomes(lanes, data)
    assert whole[0] == whole[1]
    pieces = outcomes(lanes, *(data[start : start + 7] for start in range(0, len(data), 7)))
    assert pieces[0] == whole[0]
    assert "first" in [click.query for click in whole[0].clicks]


def test_it_hides_no_request_in_another(lanes: tuple[Lane, Lane]) -> None:
    for name in ("bare CR hides a length", "bare LF hides a length", "chunked, spelt oddly", "two lengths"):
        for outcome in outcomes(lanes, CORPUS[name]):
            assert outcome.answers.count(b"HTTP/1.1 ") <= 1, name
