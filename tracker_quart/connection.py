"""One connection of the fast lane: requests in, answers out in their order, and the hand-over to Hypercorn.

What is read ahead, how long a head may take, and how long nothing may be said, are bounded.
"""

import asyncio
import math
from collections import deque
from collections.abc import Coroutine
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import msgspec

from core.contracts.postback_event import LARGEST
from core.histogram import Histogram
from core.observe import POSTBACK_SECONDS, REDIRECT_SECONDS, logger
from tracker_quart.answers import Answer
from tracker_quart.request_head import may_become_long_hit, may_become_plain

if TYPE_CHECKING:
    from tracker_quart.fastlane import FastLane

KEEP_ALIVE_S = 65.0  # above what load balancers keep (60 s), so that they close first
HEAD_S = 10.0
"""How long a request's head may take from its first byte to its last."""

KEEP_ALIVE_REQUESTS = 100_000
LONGEST_HEAD = 8192
LONGEST_QUERY = 2 << 20
"""Bytes of a postback's query that are waited for, so that whoever sends hears that they are too many."""

MOST_TURNS = 32
"""Requests of one connection that are worked on at a time; further ones wait unread."""

_FAILED_BODY = b"Internal Server Error\n"
FAILED = Answer(
    500,
    (
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-length", str(len(_FAILED_BODY))),
    ),
    _FAILED_BODY,
)

log = logger(__name__)


class Turn(msgspec.Struct, eq=False):
    """A request's place in the order of answers. `began` is when its head was there, on the clock of perf_counter;
    `seconds` is told how long the answer took from then on."""

    connection: "Connection"
    is_head: bool
    closes: bool
    began: float
    seconds: Histogram
    data: bytes | None = None

    def reply(self, answer: Answer) -> None:
        """Send the answer as soon as those before it are sent."""
        connection = self.connection
        lane = connection.lane
        drains = lane.service.draining and connection.is_last(self)
        self.data = lane.bytes_of(answer, self, drains=drains)
        if drains:
            self.closes = True
        connection.speak()

    def reply_later(self, answer: Coroutine[Any, Any, Answer]) -> None:
        """Send the answer when it comes."""
        self.connection.lane.answer_later(answer, self)

    def failed(self) -> None:
        """The client must not wait for nothing."""
        log.exception("redirect.failed")
        self.reply(FAILED)


class Connection(asyncio.Protocol):
    """One client, from its connection to its end or to its first request that is not plain."""

    def __init__(self, lane: "FastLane") -> None:
        self.lane = lane
        self.deadline = math.inf
        """Loop time at which the client has to have said, or read, something."""
        self._buffer = b""
        self._turns: deque[Turn] = deque()
        self._requests = 0
        self._head_begun = False
        self._skipped = 0
        self._heard_all = False
        self._choked = False
        self._handing_over = False
        self._closed = False
        self._paused = False
        self._working = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = self.lane.reader.peer(peer[0] if isinstance(peer, tuple) else "")
        self.lane.connections.add(self)
        self.deadline = self.lane.now + KEEP_ALIVE_S

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._turns.clear()
        self._buffer = b""
        self.lane.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if (  # one whole request, as nearly always: no need to look at all that may be
            not (self._turns or self._buffer or self._paused)
            and data.find(b"\r\n\r\n") == len(data) - 4 <= LONGEST_HEAD - 4
            and self._take(data, is_last=True)
        ):
            self._head_begun = False
            if self._turns:
                self.deadline = math.inf
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
        if self._choked or self._closed:
            self.abort()
        elif not self._turns:
            self._close()

    def abort(self) -> None:
        """Drop the connection, unsent answers included."""
        self._closed = True
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
            turn = turns.popleft()
            turn.seconds.observe(perf_counter() - turn.began)
            if turn.closes:
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
                if len(rest) > LONGEST_HEAD and not self._heard_all and self._is_long(rest):
                    buffer, start = self._shortened(rest), 0
                    break
                self._handing_over = self._heard_all or len(rest) > LONGEST_HEAD or not may_become_plain(rest)
                break
            self._head_begun = False
            if self._skipped:
                self._take_shortened(buffer[:end], is_last=end == len(buffer))
            elif end - start > LONGEST_HEAD or not self._take(buffer[start:end], is_last=end == len(buffer)):
                self._handing_over = True
                break
            start = end
        if self._closed:
            return False
        self._buffer = buffer[start:] if start else buffer
        return True

    def _take(self, head: bytes, *, is_last: bool) -> bool:
        """Begin an answer. False when the request is Hypercorn's to answer, as one that closes with more behind it."""
        began = perf_counter()
        asked = self.lane.reader.read(head, self._peer)
        if asked is None:
            return self._take_hit(head, began, is_last=is_last)
        visit, closes = asked
        if closes and not is_last:
            return False
        turn = self._turn(visit.method, closes, began, REDIRECT_SECONDS)
        try:
            self.lane.service.redirector.begin(visit, turn)
        except Exception:
            turn.failed()
        return True

    def _take_hit(self, head: bytes, began: float, *, is_last: bool) -> bool:
        """As `_take`, for a head that is no visit's."""
        asked = self.lane.reader.read_hit(head, self._peer, skipped=self._skipped)
        if asked is None:
            return False
        hit, closes = asked
        if closes and not is_last:
            return False
        turn = self._turn(hit.visit.method, closes, began, POSTBACK_SECONDS)
        try:
            self.lane.service.receiver.begin(hit, turn)
        except Exception:
            turn.failed()
        return True

    def _is_long(self, rest: bytes) -> bool:
        return self._skipped > 0 or may_become_long_hit(rest)

    def _shortened(self, rest: bytes) -> bytes:
        """What is kept of a postback with a query that can not be taken: enough of its beginning to be seen, and of its
        end to find where the head ends. Nobody fills the memory with it."""
        if len(rest) > LARGEST + 3 * LONGEST_HEAD:
            kept = rest[: LARGEST + LONGEST_HEAD] + rest[-LONGEST_HEAD:]
            self._skipped += len(rest) - len(kept)
            if self._skipped > LONGEST_QUERY:
                self.abort()
            return kept
        return rest

    def _take_shortened(self, head: bytes, *, is_last: bool) -> None:
        """Answer such a postback, whose head has come. It can not be handed over any more."""
        if not self._take_hit(head, perf_counter(), is_last=is_last):
            self.abort()
        self._skipped = 0

    def _turn(self, method: str, closes: bool, began: float, seconds: Histogram) -> Turn:
        """A place in the order of answers for the request at hand."""
        self._requests += 1
        turn = Turn(self, method == "HEAD", closes or self._requests >= KEEP_ALIVE_REQUESTS, began, seconds)
        self._turns.append(turn)
        return turn

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
        """Take nothing more. The lane knows the connection until it is lost: a client may never read what is left."""
        self._closed = True
        self.deadline = self.lane.now + HEAD_S
        self._transport.close()
