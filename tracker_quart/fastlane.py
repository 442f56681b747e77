"""The fast lane: connections that answer plain requests for short links themselves, and hand the rest to Hypercorn.

A connection starts here. Each head that `request_head` takes is answered by the same Redirector as the Quart route,
with the same bytes. The first request that is anything else moves the connection, with all bytes from that request
on, to Hypercorn's own stack for good; a few requests later (HANDED_OVER_REQUESTS) Hypercorn closes it, so that the
client's next connection starts here again.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast
from wsgiref.handlers import format_date_time

from core.observe import logger
from tracker_quart.contact import end
from tracker_quart.pages import Answer
from tracker_quart.request_head import HeadReader, may_become_plain
from tracker_quart.service import Service

KEEP_ALIVE_S = 65.0  # above what load balancers keep (60 s), so that they close first
HEAD_S = 10.0
"""How long a request's head may take from its first byte to its last."""

KEEP_ALIVE_REQUESTS = 100_000
HANDED_OVER_REQUESTS = 10
LONGEST_HEAD = 8192
MOST_TURNS = 32
"""Requests of one connection that are worked on at a time; further ones wait unread."""

_SWEEP_S = 1.0
_CLOSE = "Connection: close\r\n"  # as h11 writes it
_DRAINS = "connection: close\r\n"
_FAILED_BODY = b"Internal Server Error\n"
_FAILED = Answer(
    500,
    (
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-length", str(len(_FAILED_BODY))),
    ),
    _FAILED_BODY,
)

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
        self._date_of, self._date = 0, ""
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
        _remember(self.talks, self._talk(reader, writer))

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

    def answer_later(self, answer: Coroutine[Any, Any, Answer], turn: "Turn") -> None:
        """Let an answer that needs Redis come when it comes."""

        async def wait() -> None:
            try:
                turn.reply(await answer)
            except Exception:  # the client must not wait for nothing
                log.exception("redirect.failed")
                turn.reply(_FAILED)

        _remember(self._waiting, wait())

    def bytes_of(self, answer: Answer, *, method: str, closes: bool, drains: bool) -> bytes:
        """An answer as Hypercorn would send the Quart route's: the same bytes, in the same order."""
        draining = _DRAINS if drains and not closes else ""
        lines = "".join([f"{name}: {value}\r\n" for name, value in answer.headers])
        second = int(time.time())
        if second != self._date_of:
            self._date_of, self._date = second, f"date: {format_date_time(second)}\r\n"
        head = f"HTTP/1.1 {answer.status} \r\n{lines}{draining}{self._date}{_CLOSE if closes else ''}\r\n"
        return head.encode("latin-1") + (b"" if method == "HEAD" else answer.body)


class Turn:
    """A request's place in the order of answers."""

    __slots__ = ("_connection", "closes", "data", "method")

    def __init__(self, connection: "Connection", method: str, *, closes: bool) -> None:
        self._connection = connection
        self.method = method
        self.closes = closes
        self.data: bytes | None = None

    def reply(self, answer: Answer) -> None:
        """Send the answer as soon as those before it are sent."""
        connection = self._connection
        lane = connection.lane
        drains = lane.service.draining and connection.is_last(self)
        self.data = lane.bytes_of(answer, method=self.method, closes=self.closes, drains=drains)
        self.closes = self.closes or drains
        connection.speak()


class Connection(asyncio.Protocol):
    """One client, from its connection to its end or to its first request that is not plain."""

    def __init__(self, lane: FastLane) -> None:
        self.lane = lane
        self.deadline = math.inf
        """Loop time at which the client has to have said, or read, something."""
        self._peer = ""
        self._buffer = b""
        self._turns: deque[Turn] = deque()
        self._requests = 0
        self._head_begun = False
        self._heard_all = False
        self._choked = False
        self._handing_over = False
        self._closed = False
        self._paused = False
        self._working = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self.lane.connections.add(self)
        self.deadline = self.lane.now + KEEP_ALIVE_S

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._turns.clear()
        self._buffer = b""
        self.lane.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if (
            not (self._turns or self._buffer or self._paused)
            and data.find(b"\r\n\r\n") == len(data) - 4 <= LONGEST_HEAD - 4
            and self._take(data, is_last=True)
        ):
            self._head_begun = (
                False  # one whole request, as nearly always: no need to look at all that may be
            )
            self.deadline = math.inf if self._turns else self.lane.now + KEEP_ALIVE_S
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._work()

    def eof_received(self) -> bool:
        self._heard_all = True
        self._work()
        return bool(self._turns) or self._handing_over

    def pause_writing(self) -> None:
        self._choked = True
        self._listen()
        self.deadline = self.lane.now + KEEP_ALIVE_S

    def resume_writing(self) -> None:
        self._choked = False
        self._work()

    def time_out(self) -> None:
        """Its deadline has passed."""
        if self._choked:
            self.abort()
        elif not self._turns:
            self._close()

    def abort(self) -> None:
        """Drop the connection, unsent answers included."""
        self._transport.abort()

    def close_when_idle(self) -> None:
        """Close unless an answer is still to be sent."""
        if not self._turns and not self._handing_over:
            self._close()

    def is_last(self, turn: Turn) -> bool:
        """True when no further request was taken after this one."""
        return bool(self._turns) and self._turns[-1] is turn

    def speak(self) -> None:
        """Send the answers that are ready, in the order of their requests."""
        turns = self._turns
        while turns and not self._closed and (data := turns[0].data) is not None:
            self._transport.write(data)
            if turns.popleft().closes:
                self._close()
                return
        if turns or self._working:
            return
        if self._buffer or self._paused or self._heard_all or self._handing_over or self.lane.ending:
            self._work()
        else:
            self.deadline = self.lane.now + KEEP_ALIVE_S

    def _work(self) -> None:
        """Take the requests that have come, as many as may wait for an answer at a time."""
        if self._closed:
            return
        self._working = True
        try:
            lives = self._take_requests()
        finally:
            self._working = False
        if not lives:
            return
        if self._handing_over and not self._turns and not self._choked:
            self._hand_over()
            return
        if not self._turns and (self._heard_all or self.lane.ending):
            self._close()
            return
        self._listen()
        self._set_deadline()

    def _take_requests(self) -> bool:
        """Take what the buffer holds. False when the connection ended meanwhile."""
        buffer, start = self._buffer, 0
        while not (self._closed or self._handing_over or self._choked or len(self._turns) >= MOST_TURNS):
            if start == len(buffer) or (self._turns and self._turns[-1].closes):
                break
            end = buffer.find(b"\r\n\r\n", start) + 4
            if end < 4:
                rest = buffer[start:] if start else buffer
                self._handing_over = self._heard_all or len(rest) > LONGEST_HEAD or not may_become_plain(rest)
                break
            self._head_begun = False
            if end - start > LONGEST_HEAD or not self._take(buffer[start:end], is_last=end == len(buffer)):
                self._handing_over = True
                break
            start = end
        if self._closed:
            return False
        self._buffer = buffer[start:] if start else buffer
        return True

    def _take(self, head: bytes, *, is_last: bool) -> bool:
        """Begin an answer. False when the request is Hypercorn's to answer, as one that closes with more behind it."""
        asked = self.lane.reader.read(head, peer=self._peer)
        if asked is None or (asked.closes and not is_last):
            return False
        self._requests += 1
        visit = asked.visit
        turn = Turn(self, visit.method, closes=asked.closes or self._requests >= KEEP_ALIVE_REQUESTS)
        self._turns.append(turn)
        try:
            later = self.lane.service.redirector.begin(visit, turn.reply)
        except Exception:
            log.exception("redirect.failed")
            turn.reply(_FAILED)
            return True
        if later is not None:
            self.lane.answer_later(later, turn)
        return True

    def _listen(self) -> None:
        """Read on, unless what was read has not been worked off."""
        turns = self._turns
        pause = self._choked or self._handing_over or len(turns) >= MOST_TURNS
        pause = pause or (bool(turns) and turns[-1].closes)
        if pause != self._paused and not self._transport.is_closing():
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _set_deadline(self) -> None:
        if self._choked:
            return
        if self._turns:
            self.deadline = math.inf
        elif not self._buffer:
            self._head_begun = False
            self.deadline = self.lane.now + KEEP_ALIVE_S
        elif not self._head_begun:
            self._head_begun = True
            self.deadline = self.lane.now + HEAD_S

    def _hand_over(self) -> None:
        """Give the connection, and every byte from the present request on, to Hypercorn."""
        self._closed = True
        self.lane.connections.discard(self)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._paused:
            self._transport.resume_reading()
        reader.feed_data(self._buffer)
        if self._heard_all:
            reader.feed_eof()
        self._buffer = b""
        self.lane.converse(reader, asyncio.StreamWriter(self._transport, protocol, reader, loop))

    def _close(self) -> None:
        self._closed = True
        self.lane.connections.discard(self)
        self._transport.close()


def _remember(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
