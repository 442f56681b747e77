"""The fast lane: connections that answer plain requests for short links, postbacks and pixels themselves, and hand the
rest to Hypercorn.

A connection starts here. Each head that `request_head` takes is answered by the same Redirector, or Receiver, as the
Quart route, with the same bytes. The first request that is anything else moves the connection, with all bytes from
that request on, to Hypercorn's own stack for good; a few requests later (HANDED_OVER_REQUESTS) Hypercorn closes it, so
that the client's next connection starts here again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any
from wsgiref.handlers import format_date_time

from core.observe import logger
from tracker_quart.answers import Answer, head_of
from tracker_quart.connection import Connection, Turn
from tracker_quart.contact import end, hold
from tracker_quart.request_head import HeadReader
from tracker_quart.service import Service

HANDED_OVER_REQUESTS = 10
"""Answers of Hypercorn after which a connection that was given to it is closed, to start in the lane again."""

_SWEEP_S = 1.0
_CLOSE = b"Connection: close\r\n"  # as h11 writes it
_DRAINS = b"connection: close\r\n"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""What talks to a client over streams: Hypercorn's stack."""

log = logger(__name__)


class FastLane:
    """What the connections of one process share. Made inside a running loop."""

    def __init__(self, *, service: Service, reader: HeadReader, talk: Talk) -> None:
        self.service = service
        self.reader = reader
        self.connections: set[Connection] = set()
        self.talks: set[asyncio.Task[None]] = set()
        """Connections that are here, and those that Hypercorn has got."""
        self.ending = False
        self.now = asyncio.get_running_loop().time()
        self._talk = talk
        self._date_of, self._date = 0, b""
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """Connections that live."""
        return len(self.connections) + len(self.talks)

    def connect(self) -> asyncio.Protocol:
        """A protocol for a new connection, as `loop.create_server` asks for it."""
        return Connection(self)

    def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give a connection to Hypercorn."""
        hold(self.talks, self._talk(reader, writer))

    async def sweep(self) -> None:
        """Close connections whose time is over, for ever. One look at all of them costs less than a timer for each."""
        loop = asyncio.get_running_loop()
        while True:
            self.now = loop.time()
            for connection in [one for one in self.connections if one.deadline < self.now]:
                connection.time_out()
            await asyncio.sleep(_SWEEP_S)

    def end(self) -> None:
        """Close idle connections now, and busy ones after their answer."""
        self.ending = True
        for connection in list(self.connections):
            connection.close_when_idle()

    async def cut(self) -> None:
        """Close every connection, whatever it waits for."""
        for connection in list(self.connections):
            connection.abort()
        await end(*self.talks)

    def answer_later(self, answer: Coroutine[Any, Any, Answer], turn: Turn) -> None:
        """Let an answer that needs Redis come when it comes."""

        async def wait() -> None:
            try:
                turn.reply(await answer)
            except Exception:
                turn.failed()

        hold(self._waiting, wait())

    def bytes_of(self, answer: Answer, turn: Turn, *, drains: bool) -> bytes:
        """An answer as Hypercorn would send the Quart route's: the same bytes, in the same order."""
        second = int(time.time())
        if second != self._date_of:
            self._date_of, self._date = second, f"date: {format_date_time(second)}\r\n".encode("ascii")
        head = answer.head or head_of(answer)
        if turn.closes:
            head = b"".join((head, self._date, _CLOSE, b"\r\n"))
        else:
            head = b"".join((head, _DRAINS if drains else b"", self._date, b"\r\n"))
        return head + answer.body if answer.body and not turn.is_head else head
