"""One connection to Redis on which a command does not wait for the replies to those before it.

redis-py makes the connection (addresses, TLS, user, password, database number); what travels on it is framed here,
because redis-py's own way costs more for a group of clicks than Redis needs to keep it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError, InvalidResponse, ReadOnlyError


class Pipeline:
    """Made again by the next command when the connection is lost. For one event loop."""

    def __init__(self, client: Redis) -> None:
        self._make: Callable[[], Any] = client.connection_pool.make_connection
        self._connecting = asyncio.Lock()
        self._line: _Line | None = None

    async def ask(self, command: bytes) -> Any:
        """The reply to a packed command. Raises RedisError or OSError; then it may have been carried out or not.

        Whoever stops waiting ends the connection: its replies would come too late, for the others as well. So does a
        server that turned read-only: after a failover the same address leads to another one.
        """
        line = self._line
        if line is None or line.is_lost:
            line = await self._connected()
        try:
            return await line.ask(command)
        except (asyncio.CancelledError, ReadOnlyError):
            line.abort()
            raise

    def close(self) -> None:
        """End the connection, whatever it waits for."""
        if self._line is not None:
            self._line.abort()

    async def _connected(self) -> "_Line":
        async with self._connecting:
            if self._line is None or self._line.is_lost:
                connection: Any = self._make()
                await connection.connect()
                writer, connection._writer, connection._reader = connection._writer, None, None
                self._line = _Line(writer)
            return self._line


def packed(words: Iterable[bytes], *, count: int) -> bytes:
    """A command of `count` words as Redis reads it."""
    return b"*%d\r\n%b" % (count, b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


class _Line(asyncio.Protocol):
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.is_lost = False
        self._writer = writer  # closes the transport when it is collected
        self._transport = cast(asyncio.Transport, writer.transport)
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=DefaultParser.parse_error)
        self._asked: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self.is_lost = True

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.is_lost:
            future.set_exception(ConnectionError("the connection to Redis was lost"))
            return future
        self._asked.append(future)
        self._transport.write(command)
        return future

    def abort(self) -> None:
        self._transport.abort()
        self.connection_lost(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                future = self._asked.popleft()
                if future.done():
                    continue
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except (InvalidResponse, IndexError):  # no Redis speaks there
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        while self._asked:
            future = self._asked.popleft()
            if not future.done():
                future.set_exception(ConnectionError(f"the connection to Redis was lost: {exc}"))
