"""One connection to Redis with many commands on their way, and the part of redis-py that it leans on."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError, ReadOnlyError, RedisError, ResponseError

from tests.tracker_quart.rig import LIMIT_S, Valkey
from tracker_quart import pipeline as pipelines
from tracker_quart.contact import make_client
from tracker_quart.pipeline import Pipeline, _Line, packed


@pytest.fixture
async def pipeline(redis_url: str) -> AsyncIterator[Pipeline]:
    client = make_client(redis_url)
    pipeline = Pipeline(client, patience=LIMIT_S)
    yield pipeline
    pipeline.close()
    await client.aclose()


Own = tuple[Valkey, Pipeline]


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Own]:
    """A server to maltreat, and a pipeline that waits for it as long as a visitor may notice."""
    valkey = Valkey(tmp_path)
    client = make_client(valkey.url)
    pipeline = Pipeline(client, patience=0.5)
    yield valkey, pipeline
    pipeline.close()
    await client.aclose()
    valkey.close()


async def test_it_gives_each_command_its_own_reply(pipeline: Pipeline) -> None:
    words = [b"%d" % number for number in range(300)]
    assert await asyncio.gather(*(pipeline.ask(packed(b"ECHO", word)) for word in words)) == words
    assert await pipeline.ask(packed(b"ECHO", b"a\r\n$1\r\n\xff")) == b"a\r\n$1\r\n\xff"


async def test_it_raises_an_error_for_its_own_command_alone(pipeline: Pipeline) -> None:
    replies = await asyncio.gather(
        pipeline.ask(packed(b"ECHO", b"a")),
        pipeline.ask(packed(b"NOTHING")),
        pipeline.ask(packed(b"ECHO", b"b")),
        return_exceptions=True,
    )
    assert [replies[0], type(replies[1]), replies[2]] == [b"a", ResponseError, b"b"]


async def test_it_ends_the_connection_when_nobody_waits_any_more(pipeline: Pipeline) -> None:
    """A late reply must not be taken for the next command's."""
    async with asyncio.timeout(LIMIT_S):
        name = await pipeline.ask(packed(b"CLIENT", b"ID"))
        stuck = asyncio.create_task(pipeline.ask(packed(b"BLPOP", b"nothing", b"0")))
        behind = asyncio.create_task(pipeline.ask(packed(b"ECHO", b"behind")))
        await asyncio.sleep(0.05)
        stuck.cancel()
        with pytest.raises(ConnectionError):
            await behind
        assert await pipeline.ask(packed(b"ECHO", b"next")) == b"next"
        assert await pipeline.ask(packed(b"CLIENT", b"ID")) != name


async def test_it_comes_back_after_a_server_that_went(own: Own) -> None:
    valkey, pipeline = own
    assert await pipeline.ask(packed(b"ECHO", b"a")) == b"a"
    valkey.client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises((ConnectionError, OSError)):
        for _ in range(100):
            await pipeline.ask(packed(b"ECHO", b"b"))
    assert await pipeline.ask(packed(b"ECHO", b"c")) == b"c"


async def test_it_leaves_a_server_that_turned_read_only(own: Own) -> None:
    valkey, _ = own
    pipeline = Pipeline(make_client(valkey.url), patience=LIMIT_S)
    name = await pipeline.ask(packed(b"CLIENT", b"ID"))
    valkey.client.replicaof("127.0.0.1", "1")
    with pytest.raises(ReadOnlyError):
        await pipeline.ask(packed(b"EVAL", b"return redis.call('SET', KEYS[1], '1')", b"1", b"a"))
    valkey.client.replicaof("NO", "ONE")
    assert await pipeline.ask(packed(b"CLIENT", b"ID")) != name
    pipeline.close()


async def test_it_gives_up_a_server_that_owes_a_reply_and_asks_a_new_connection(own: Own) -> None:
    valkey, pipeline = own
    assert await pipeline.ask(packed(b"ECHO", b"a")) == b"a"
    valkey.hang()
    asked = [asyncio.create_task(pipeline.ask(packed(b"ECHO", b"%d" % number))) for number in range(3)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in found] == [TimeoutError] * 3
    with pytest.raises((TimeoutError, RedisError)):
        await pipeline.ask(packed(b"ECHO", b"b"))
    valkey.resume()
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(TimeoutError, RedisError):
                if await pipeline.ask(packed(b"ECHO", b"c")) == b"c":
                    break


class Slow:
    """In front of a server: what connects waits for `delay` seconds before its first word is passed on."""

    def __init__(self, valkey: Path, *, delay: float) -> None:
        self.connections = 0
        self._valkey, self._delay = valkey, delay
        self._talking: list[asyncio.Task[Any]] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._talking.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        there, here = await asyncio.open_unix_connection(self._valkey)
        answers = asyncio.create_task(_pass_on(there, writer))
        try:
            await asyncio.sleep(self._delay)
            await _pass_on(reader, here)
            await answers
        except asyncio.CancelledError:
            answers.cancel()
        for end in (here, writer):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()

    async def end(self, server: asyncio.Server) -> None:
        """Pass nothing on any more."""
        server.close()
        for task in self._talking:
            task.cancel()
        await asyncio.wait(self._talking)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.write_eof()


async def test_it_finishes_a_handshake_that_takes_longer_than_anybody_waits(own: Own, tmp_path: Path) -> None:
    slow = Slow(own[0].socket, delay=0.4)
    server = await asyncio.start_unix_server(slow.talk, tmp_path / "slow")
    pipeline = Pipeline(make_client(f"unix://{tmp_path}/slow?db=1"), patience=0.1)
    async with asyncio.timeout(LIMIT_S):
        found = await asyncio.gather(
            *(pipeline.ask(packed(b"ECHO", b"a")) for _ in range(3)), return_exceptions=True
        )
        assert [type(error) for error in found] == [TimeoutError] * 3
        while not pipeline.send(packed(b"PING"), lambda _: None):
            with contextlib.suppress(TimeoutError):
                await pipeline.ask(packed(b"PING"))
        assert await pipeline.ask(packed(b"ECHO", b"b")) == b"b"
    assert slow.connections == 1
    pipeline.close()
    await slow.end(server)


async def test_it_ends_a_handshake_with_whoever_waits_for_it(own: Own, tmp_path: Path) -> None:
    slow = Slow(own[0].socket, delay=0.4)
    server = await asyncio.start_unix_server(slow.talk, tmp_path / "slow")
    pipeline = Pipeline(make_client(f"unix://{tmp_path}/slow?db=1"), patience=LIMIT_S)
    asked = asyncio.create_task(pipeline.ask(packed(b"PING")))
    async with asyncio.timeout(LIMIT_S):
        while not slow.connections:
            await asyncio.sleep(0.01)
        pipeline.close()
        with pytest.raises(ConnectionError):
            await asked
    await slow.end(server)


async def test_it_begins_anew_where_a_handshake_takes_for_ever(
    own: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "_CONNECT_S", 0.2)
    slow = Slow(own[0].socket, delay=1e6)
    server = await asyncio.start_unix_server(slow.talk, tmp_path / "slow")
    pipeline = Pipeline(make_client(f"unix://{tmp_path}/slow?db=1"), patience=0.05)
    async with asyncio.timeout(LIMIT_S):
        while slow.connections < 3:
            with pytest.raises(TimeoutError):
                await pipeline.ask(packed(b"PING"))
    pipeline.close()
    await slow.end(server)


async def test_it_gives_way_where_a_connection_is_lost_as_soon_as_it_is_made(own: Own) -> None:
    """The loop must go on: nothing else would ever end the waiting."""
    _, pipeline = own
    made = pipeline._connect

    async def lost() -> None:
        await made()
        pipeline.close()

    pipeline._connect = lost  # type: ignore[method-assign]
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises((ConnectionError, TimeoutError)):
            await pipeline.ask(packed(b"PING"))


async def test_it_leaves_a_connection_after_the_replies_that_it_owes(pipeline: Pipeline) -> None:
    name = await pipeline.ask(packed(b"CLIENT", b"ID"))
    owed = [asyncio.create_task(pipeline.ask(packed(b"ECHO", b"%d" % number))) for number in range(3)]
    await asyncio.sleep(0)
    pipeline.leave()
    assert await pipeline.ask(packed(b"CLIENT", b"ID")) != name
    assert await asyncio.gather(*owed) == [b"0", b"1", b"2"]
    assert name not in [
        line.split()[0] for line in (await pipeline.ask(packed(b"CLIENT", b"LIST"))).splitlines()
    ]


async def test_it_watches_an_older_command_before_a_newer_one() -> None:
    class Transport:
        def __getattr__(self, name: str) -> Callable[..., bool]:
            return lambda *_: False

    class Writer:
        transport = Transport()

    replies: list[object] = []
    line = _Line(cast("asyncio.StreamWriter", Writer()), 0.2)
    line.send(b"A", replies.append)
    await asyncio.sleep(0.1)
    line.send(b"B", replies.append)
    time.sleep(0.15)
    while line._watch is not None:  # until it was seen that the reply to A is late
        await asyncio.sleep(0)
    line.data_received(b"+a\r\n")
    line.send(b"C", replies.append)
    for _ in range(4):
        await asyncio.sleep(0)
    assert replies == [b"a"]
    watch = line._watch
    assert watch is not None and watch.when() == line._asked[0][1]
    line.abort(ConnectionError())


async def test_it_says_that_nobody_is_there() -> None:
    pipeline = Pipeline(make_client("unix:///nowhere/valkey.sock"), patience=LIMIT_S)
    with pytest.raises((ConnectionError, OSError)):
        await pipeline.ask(packed(b"PING"))
    pipeline.close()


async def test_it_drops_a_server_that_is_no_redis(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip().isupper() and b"CLIENT" not in line:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_unix_server(talk, tmp_path / "s.sock")
    pipeline = Pipeline(make_client(f"unix://{tmp_path}/s.sock"), patience=LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(ConnectionError):
            await pipeline.ask(packed(b"PING"))
        await left.wait()
    pipeline.close()
    server.close()


async def test_it_does_not_blame_redis_for_its_own_slowness(redis_url: str) -> None:
    client = make_client(redis_url)
    pipeline = Pipeline(client, patience=0.2)
    assert await pipeline.ask(packed(b"ECHO", b"a")) == b"a"
    asked = asyncio.create_task(pipeline.ask(packed(b"ECHO", b"b")))
    await asyncio.sleep(0)
    time.sleep(0.5)
    assert await asked == b"b"
    pipeline.close()
    await client.aclose()
