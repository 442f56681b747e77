"""Connections of the fast lane: order, patience, pressure, ends; and the parts of Hypercorn that it leans on."""

import asyncio
import contextlib
import inspect
import re
from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from quart import Quart

from core.config import Settings
from core.contracts.link_snapshot import LinkSnapshot
from core.contracts.postback_event import LARGEST
from tests.tracker_quart.conftest import TOKEN, URL, Publisher, source
from tracker_quart import connection as connections
from tracker_quart import fastlane
from tracker_quart.app import service_of
from tracker_quart.fastlane import FastLane
from tracker_quart.request_head import OWN_PATHS, HeadReader, may_become_plain

GET = b"GET /sale?n=%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIMIT_S = 30


@pytest.fixture
async def lane(app: Quart, tracker_settings: Settings) -> AsyncIterator[tuple[FastLane, int]]:
    """The fast lane in front of Hypercorn in this process, and its port."""
    loop = asyncio.get_running_loop()
    config = Config()
    config.include_server_header = False
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    context = WorkerContext(None)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await TCPServer(wrapped, loop, config, context, ConnectionState({}), reader, writer)

    lane = FastLane(service=service_of(app), reader=HeadReader(tracker_settings.trusted_proxies), talk=talk)
    server = await loop.create_server(lane.connect, "127.0.0.1", 0)
    sweeper = asyncio.create_task(lane.sweep())
    yield lane, server.sockets[0].getsockname()[1]
    server.close()
    sweeper.cancel()
    lane.end()
    await context.terminated.set()
    await lane.cut()


async def _said(port: int, data: bytes) -> bytes:
    """Everything until the tracker closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(LIMIT_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def _last(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def test_it_answers_pipelined_requests_in_their_order(
    lane: tuple[FastLane, int], publisher: Publisher
) -> None:
    for number in range(40):
        publisher.link(f"x{number}", LinkSnapshot(link_id=100 + number, url=f"https://x.example/{number}"))
    asked = [b"GET /x%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(40)]
    asked.insert(7, b"GET /nobody HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await _said(lane[1], b"".join(asked) + _last(b"/x0"))
    found = re.findall(rb"HTTP/1.1 (404|302 \r\nlocation: \S+)", answer)
    expected = [b"302 \r\nlocation: https://x.example/%d" % number for number in [*range(40), 0]]
    expected.insert(7, b"404")
    assert found == expected
    assert len(await publisher.kept(41)) == 41


async def test_it_hands_over_between_answers_and_comes_to_an_end(lane: tuple[FastLane, int]) -> None:
    answer = await _said(
        lane[1], GET % 1 + GET % 2 + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + GET % 3 + _last(b"/")
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"302", b"302", b"200", b"302", b"404"]
    assert answer.index(b"alive") > answer.index(b"location")


async def test_it_answers_what_was_asked_before_the_client_stopped_talking(
    lane: tuple[FastLane, int],
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", lane[1])
    writer.write(GET % 1 + GET % 2)
    writer.write_eof()
    async with asyncio.timeout(LIMIT_S):
        assert (await reader.read()).count(b"HTTP/1.1 302") == 2
    writer.close()


@pytest.mark.parametrize(
    "start", [b"", b"G", b"GET /sale HTTP/1.1\r\nHost: local", b"GET /sale HTTP/1.1\r\nHost: x\r\n\r"]
)
async def test_it_closes_on_those_who_take_for_ever(
    lane: tuple[FastLane, int], monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(fastlane, "_SWEEP_S", 0.01)
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    monkeypatch.setattr(connections, "KEEP_ALIVE_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", lane[1])
    writer.write(start)

    async def drip() -> None:
        while start and start[-1:] not in b"\r":
            await asyncio.sleep(0.02)
            writer.write(b"a")

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(LIMIT_S):
        with contextlib.suppress(ConnectionResetError):  # what was dripped meanwhile met a closed door
            assert await reader.read() == b""
    dripping.cancel()
    writer.close()
    assert not lane[0].connections


async def test_it_reads_no_more_than_it_can_answer(lane: tuple[FastLane, int], publisher: Publisher) -> None:
    """A client that never reads its answers: after a while nothing is taken from it, and no memory grows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", lane[1], limit=1 << 13)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    request = GET.replace(b"?n=%d", b"?" + b"q" * 2000)
    sent = 0
    while True:
        writer.write(request * 1000)
        sent += 1000
        try:
            async with asyncio.timeout(1):
                await writer.drain()
        except TimeoutError:
            break
        assert sent < connections.KEEP_ALIVE_REQUESTS
    (connection,) = lane[0].connections
    assert len(connection._turns) <= connections.MOST_TURNS
    assert len(connection._buffer) < 1 << 20
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(LIMIT_S):
        for _ in range(sent):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 302 ")
    writer.close()


async def test_it_waits_only_so_long_for_a_client_to_read_the_last_answers(
    lane: tuple[FastLane, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastlane, "_SWEEP_S", 0.01)
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", lane[1], limit=1 << 13)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    request = GET.replace(b"?n=%d", b"?" + b"q" * 2000)
    sent = 0
    async with asyncio.timeout(LIMIT_S):
        while not lane[0].connections:
            await asyncio.sleep(0.01)
        (connection,) = lane[0].connections
        while not connection._transport.get_write_buffer_size():
            writer.write(request * 16)
            sent += 16
            while connection._requests < sent or connection._turns:
                await asyncio.sleep(0.01)
        writer.write(_last(b"/sale"))
        while lane[0].connections:
            await asyncio.sleep(0.01)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            assert (await reader.read()).count(b"HTTP/1.1 302") < sent
    writer.close()


async def test_it_closes_while_it_drains(app: Quart, lane: tuple[FastLane, int]) -> None:
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", lane[1])
    service_of(app).begin_drain(hold=1)
    answer = await _said(lane[1], GET % 1)
    assert answer.count(b"connection: close\r\ndate: ") == 1
    answer = await _said(lane[1], GET % 1 + GET % 2)
    assert answer.count(b"HTTP/1.1 302") == 2
    assert answer.count(b"connection: close\r\n") == 1
    lane[0].end()
    async with asyncio.timeout(LIMIT_S):
        assert await idle_reader.read() == b""
    idle_writer.close()


async def test_it_says_that_it_failed(
    lane: tuple[FastLane, int], app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never seen; but whoever waits must be told, and the next visitor served."""

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(service_of(app).redirector, "prepare", broken)
    assert (await _said(lane[1], _last(b"/sale"))).startswith(b"HTTP/1.1 500 ")
    monkeypatch.undo()
    assert b"location: " + URL.encode() in await _said(lane[1], _last(b"/sale"))


@pytest.mark.parametrize("chunk", [1 << 14, 1 << 20])
@pytest.mark.parametrize("path", [f"/postback/{TOKEN}", f"/pixel/{TOKEN}.gif"])
async def test_it_keeps_the_beginning_of_a_postback_with_a_megabyte_of_parameters(
    app: Quart, lane: tuple[FastLane, int], publisher: Publisher, path: str, chunk: int
) -> None:
    publisher.sources(source())
    service_of(app)._sources._snapshots.mark_all_stale()
    query = b"clickid=1&x=" + b"y" * (1 << 20)
    head = b"GET %b?%b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: net/1\r\n\r\n" % (path.encode(), query)
    reader, writer = await asyncio.open_connection("127.0.0.1", lane[1])
    most = 0
    for start in range(0, len(head), chunk):
        writer.write(head[start : start + chunk])
        await writer.drain()
        await asyncio.sleep(0)
        most = max([most, *(len(one._buffer) for one in lane[0].connections)])
    writer.write(_last(b"/sale"))
    async with asyncio.timeout(LIMIT_S):
        answer = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"413" if "postback" in path else b"200", b"302"]
    assert most < LARGEST + 400_000  # what one look at the socket may bring, beside what is kept
    (kept,) = await publisher.posted(1)
    assert (kept.refused, kept.size, kept.query) == ("too_large", len(query), query[:LARGEST].decode())
    assert (kept.host, kept.user_agent) == ("localhost", "net/1")


async def test_it_hands_postbacks_with_a_body_over(
    app: Quart, lane: tuple[FastLane, int], publisher: Publisher
) -> None:
    publisher.sources(source())
    service_of(app)._sources._snapshots.mark_all_stale()
    start = f"POST /postback/{TOKEN} HTTP/1.1\r\nHost: localhost\r\n".encode()
    answer = await _said(
        lane[1],
        start
        + b"Content-Length: 9\r\n\r\nclickid=1"
        + start
        + b"Transfer-Encoding: chunked\r\n\r\n9\r\nclickid=2\r\n6\r\n&a=%20\r\n0\r\n\r\n"
        + start
        + b"Content-Length: 0\r\n\r\n"
        + _last(b"/sale"),
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"200", b"302"]
    kept = await publisher.posted(3)
    assert sorted(one.body for one in kept) == [b"", b"clickid=1", b"clickid=2&a=%20"]


@pytest.mark.parametrize(
    ("size", "chunked", "said"),
    [
        (1 << 20, False, 1 << 20),
        (1 << 20, True, 1 << 20),
        (64 << 20, False, 64 << 20),
        (64 << 20, True, None),
    ],
)
async def test_it_reads_no_more_of_a_body_than_it_needs(
    app: Quart,
    lane: tuple[FastLane, int],
    publisher: Publisher,
    size: int,
    chunked: bool,
    said: int | None,
) -> None:
    publisher.sources(source())
    service_of(app)._sources._snapshots.mark_all_stale()
    reader, writer = await asyncio.open_connection("127.0.0.1", lane[1])
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    writer.write(f"POST /postback/{TOKEN} HTTP/1.1\r\nHost: localhost\r\n{how}\r\n\r\n".encode())
    block = b"x" * (1 << 16)
    answering = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < size and not answering.done():
            writer.write(b"10000\r\n%b\r\n" % block if chunked else block)
            sent += len(block)
            await writer.drain()
            await asyncio.sleep(0)
        if chunked:
            writer.write(b"0\r\n\r\n")
    async with asyncio.timeout(LIMIT_S):
        assert (await answering).startswith(b"HTTP/1.1 413 ")
    writer.close()
    (kept,) = await publisher.posted(1)
    assert (kept.refused, kept.status) == ("too_large", 413)
    assert kept.size == said if said else 2 << 20 < kept.size < 3 << 20
    assert sent <= max(1 << 20, 8 << 20)
    assert set(kept.body) <= set(b"x") and len(kept.body) <= LARGEST


async def test_it_waits_for_no_query_without_an_end(lane: tuple[FastLane, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", lane[1])
    writer.write(b"GET /postback/x?")
    with contextlib.suppress(ConnectionError):
        for _ in range(64):
            writer.write(b"y" * (1 << 16))
            await writer.drain()
        async with asyncio.timeout(LIMIT_S):
            assert await reader.read() == b""
    writer.close()
    assert not lane[0].connections


def test_it_leaves_the_apps_own_paths_alone(app: Quart) -> None:
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    postbacks = {"/postback/<token>", "/pixel/<token>.gif"}
    assert {f"/{name}" for name in OWN_PATHS} == rules - postbacks - {"/", "/<path:slug>"}


def test_it_leans_on_these_parts_of_hypercorn() -> None:
    """A new Hypercorn: read its connection and HTTP/1 code again, then this."""
    assert version("hypercorn") == "0.18.0"
    names = ["self", "app", "loop", "config", "context", "state", "reader", "writer"]
    assert list(inspect.signature(TCPServer.__init__).parameters) == names
    source = inspect.getsource(TCPServer)
    assert set(re.findall(r"self\.reader\.(\w+)", source)) == {"at_eof", "read"}
    assert set(re.findall(r"self\.writer\.(\w+)", source)) == {
        "get_extra_info",
        "write",
        "drain",
        "write_eof",
        "close",
        "wait_closed",
    }
    assert {"keep_alive_max_requests", "keep_alive_timeout", "include_server_header"} <= set(dir(Config()))


def test_it_waits_only_for_what_may_become_plain() -> None:
    for start in (b"", b"G", b"GET /", b"HEAD /s", b"GET /sale HTTP/1.1\r\nHost"):
        assert may_become_plain(start), start
    for start in (b"P", b"GET h", b"\r\n", b"get /", b"GET / HTTP/1.1\n", b"GET /\0", b"PRI * HTTP/2.0\r\n"):
        assert not may_become_plain(start), start
