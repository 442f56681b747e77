"""One connection to Redis on which a command does not wait for the replies to those before it.

redis-py makes the connection (addresses, TLS, user, password, database number); what travels on it is framed here,
because redis-py's own way costs more for a group of clicks than Redis needs to keep it.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    InvalidResponse,
    NoScriptError,
    ReadOnlyError,
)

Reply = Callable[[Any], None]
"""Takes a reply, or the exception in place of one. It must not raise."""

GONE_BY = (ReadOnlyError, AskError, ClusterDownError)
"""What a server says that does not serve us any more, or not now; MOVED and MASTERDOWN are among them."""

_CONNECT_S = 1.0
"""How long it may take at least until a connection is made, with all that is said before the first command (redis-py
bounds the connecting itself). Callers wait less: it is made for those who come after them as well."""

_CLOSED = "the connection to Redis was closed by this end"


class Pipeline:
    """For one event loop. A connection that owes a reply for longer than `patience`, in seconds, is given up: later
    replies would come too late as well. So is one to a server that turned read-only, or lost our slot of a cluster:
    another one stands at the same address, or is found when the next connection is made. `gone_by` are the replies
    that say so."""

    def __init__(
        self, client: Redis, *, patience: float, gone_by: tuple[type[Exception], ...] = GONE_BY
    ) -> None:
        self._gone_by = gone_by
        self._make: Callable[[], Any] = client.connection_pool.make_connection
        self._patience = patience
        self._connecting: asyncio.Task[None] | None = None
        self._line: _Line | None = None

    def send(self, command: bytes, then: Reply) -> bool:
        """Send a packed command, and call `then` with its reply, or with the RedisError or OSError in place of one: it
        may have been carried out or not. Never waits: False where there is no connection, which `ask` makes."""
        line = self._line
        if line is None or line.is_lost:
            return False
        line.send(command, then)
        return True

    async def ask(self, command: bytes) -> Any:
        """The reply to a packed command. Raises what `send` gives; whoever stops waiting ends the connection."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def then(reply: Any) -> None:
            if future.done():
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        while not self.send(command, then):
            async with asyncio.timeout(self._patience):
                await self._connected()
        line = self._line
        try:
            return await future
        except asyncio.CancelledError:
            _abort(line)
            raise

    async def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """The replies to packed commands, sent together; a RedisError in place of one. Raises what making a connection
        raises; whoever stops waiting does not disturb others who wait on the connection."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        replies: list[Any] = []

        def then(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(commands) and not done.done():
                done.set_result(None)

        while not self.send(commands[0], then):
            async with asyncio.timeout(self._patience):
                await self._connected()
        for command in commands[1:]:
            self.send(command, then)
        await done
        return replies

    def close(self) -> None:
        """End the connection, whatever it waits for."""
        if self._connecting is not None:
            self._connecting.cancel()
        _abort(self._line)

    def leave(self) -> None:
        """As `close`, once the connection owes no reply any more: the next command makes another one."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.leave()

    async def _connected(self) -> None:
        """Wait for a connection, for which all who wait share one attempt. Raises what that raises."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._tried)
        attempt = self._connecting
        await asyncio.wait(
            [attempt]
        )  # always gives way to the loop, and whoever stops waiting does not end the attempt
        if attempt.cancelled():
            raise ConnectionError(_CLOSED)
        attempt.result()

    async def _connect(self) -> None:
        connection = self._make()
        try:
            async with asyncio.timeout(max(_CONNECT_S, self._patience)):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        writer, connection._writer, connection._reader = connection._writer, None, None
        self._line = _Line(writer, self._patience, self._gone_by)

    def _tried(self, attempt: "asyncio.Task[None]") -> None:
        self._connecting = None
        if not attempt.cancelled():
            attempt.exception()  # those who wait have it; perhaps nobody does any more


class Script:
    """A script of `core.contracts`, run by its digest."""

    def __init__(self, pipeline: Pipeline, name: str) -> None:
        self._pipeline = pipeline
        text = files("core.contracts").joinpath(name).read_bytes()
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode("ascii")
        self._by_digest = _framed((b"EVALSHA", digest))
        self._by_text = _framed((b"EVAL", text))

    async def run(self, words: Sequence[bytes]) -> Any:
        """Its reply. `words` are the number of keys, the keys and the arguments. Raises what `Pipeline.ask` raises."""
        start, rest = b"*%d\r\n" % (2 + len(words)), _framed(words)
        try:
            return await self._pipeline.ask(start + self._by_digest + rest)
        except NoScriptError:  # a new or emptied server; EVAL keeps the script there
            return await self._pipeline.ask(start + self._by_text + rest)

    def send(self, words: Sequence[bytes], then: Reply) -> bool:
        """As `Pipeline.send`. A server that does not have the script gives NoScriptError, and has done nothing."""
        start = b"*%d\r\n" % (2 + len(words))
        return self._pipeline.send(b"".join((start, self._by_digest, _framed(words))), then)


def packed(*words: bytes) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n%b" % (len(words), _framed(words))


def _framed(words: Sequence[bytes]) -> bytes:
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def _abort(line: "_Line | None") -> None:
    if line is not None:
        line.abort(ConnectionError(_CLOSED))


class _Line(asyncio.Protocol):
    def __init__(
        self,
        writer: asyncio.StreamWriter,
        patience: float,
        gone_by: tuple[type[Exception], ...] = GONE_BY,
    ) -> None:
        self.is_lost = False
        self._gone_by = gone_by
        self._writer = writer  # closes the transport when it is collected
        self._transport = cast(asyncio.Transport, writer.transport)
        self._patience = patience
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=DefaultParser.parse_error)
        self._asked: deque[tuple[Reply, float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self.is_lost = True

    def send(self, command: bytes, then: Reply) -> None:
        due = self._loop.time() + self._patience
        self._asked.append((then, due))
        if self._watch is None:  # one timer for all commands, not one for each
            self._watch = self._loop.call_at(due, self._look)
        self._transport.write(command)

    def leave(self) -> None:
        self.is_lost = True
        if not self._asked:
            self._transport.abort()

    def abort(self, error: Exception) -> None:
        self.is_lost = True
        self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self._asked:
            self._asked.popleft()[0](error)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._asked.popleft()[0](reply)
                if isinstance(reply, self._gone_by):
                    self.abort(reply)
            if self.is_lost and not self._asked:
                self._transport.abort()
        except (InvalidResponse, IndexError):
            self.abort(ConnectionError("no Redis speaks there"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort(ConnectionError(f"the connection to Redis was lost: {exc}"))

    def _look(self) -> None:
        self._watch = None
        if not self._asked:
            return
        due = self._asked[0][1]
        if self._loop.time() < due:
            self._watch = self._loop.call_at(due, self._look)
        else:  # this process may have been the slow one: what has come by now is read first, two steps of the loop on
            self._loop.call_soon(self._loop.call_soon, self._give_up)

    def _give_up(self) -> None:
        if self._asked and self._loop.time() >= self._asked[0][1]:
            self.abort(TimeoutError(f"no reply in {self._patience} s"))
            return
        if self._watch is not None:  # of a command that was sent meanwhile; older ones are due before it
            self._watch.cancel()
        self._look()
