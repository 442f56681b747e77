"""Answer times at a load that is offered, not taken: requests start by the clock, whatever became of earlier ones.

Arrivals are random, as visitors' are (exponential gaps), and each answer is timed from the moment at which its request
was due: what waits because the server, or this client, was busy counts as waiting. (A tool that asks again only when it
has its answer leaves those out; h2load's clock ticks every 10 ms and sends in bursts.) How late and how busy the client
was itself is shown beside, so that one sees whether it was the limit.
"""

import gc
import random
import re
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.load import Load

_TICK_S = 50e-6
_SLACK_S = 100e-6  # a sleep may last longer by as much on a processor that is free
_MOST_BUSY = 0.9
_LAST_ANSWERS_S = 5.0


@dataclass(frozen=True, slots=True)
class Paced:
    """What a round at a fixed load gave; times in milliseconds. `late`: how late 99 of 100 requests left at most
    because this client was busy (not because every connection waited for the server); `busy`: the share of the time
    in which it had something to do, or wanted to and had no processor."""

    per_second: float
    p50: float
    p99: float
    p999: float
    late: float
    busy: float
    answered: int
    failed: int

    @property
    def client_was_the_limit(self) -> bool:
        """True when the times say more of the client than of the server."""
        return self.late > self.p99 / 2 or self.busy > _MOST_BUSY


def is_possible() -> bool:
    """True where this system has what the client needs."""
    return hasattr(select, "epoll")


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of all are not above (nearest rank); 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def arrivals(rng: random.Random, *, per_second: float, seconds: float) -> list[float]:
    """The seconds at which requests are due, from 0 on."""
    due, at = [], 0.0
    while (at := at + rng.expovariate(per_second)) < seconds:
        due.append(at)
    return due


def run_paced(port: int, load: Load, *, due: Sequence[float], connections: int) -> Paced:
    """Ask at the times `due`, each time on a connection that is free; where none is, the request waits for one."""
    client = _Client(port, load.requests, connections)
    gc.collect()
    gc.disable()
    try:
        client.run(due)
    finally:
        gc.enable()
        client.close()
    took, late = sorted(client.took), sorted(client.late)
    return Paced(
        per_second=len(took) / client.seconds,
        p50=percentile(took, 0.5) * 1000,
        p99=percentile(took, 0.99) * 1000,
        p999=percentile(took, 0.999) * 1000,
        late=percentile(late, 0.99) * 1000,
        busy=1 - client.idle / client.seconds,
        answered=len(took),
        failed=len(due) - len(took),
    )


@dataclass(slots=True)
class _Line:
    """A connection; `due` is when the request was due whose answer it waits for, `heard` what came of the answer,
    `free` since when it waits for nothing."""

    socket: socket.socket
    due: float = 0.0
    free: float = 0.0
    heard: bytes = field(default=b"")


class _Client:
    def __init__(self, port: int, requests: Sequence[bytes], connections: int) -> None:
        self.took: list[float] = []
        self.late: list[float] = []
        self.seconds = self.idle = 0.0
        self._port = port
        self._requests = requests
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._free: deque[int] = deque()
        for _ in range(connections):
            self._connect()

    def run(self, due: Sequence[float]) -> None:
        clock, free, lines, poll = time.perf_counter, self._free, self._lines, self._poll.poll
        requests, number = self._requests, len(self._requests)
        start = clock() + 0.05
        times = [start + at for at in due]
        total, sent = len(times), 0
        times.append(float("inf"))
        deadline = start + (due[-1] if due else 0.0) + _LAST_ANSWERS_S
        while sent < total or len(free) < len(lines):
            now = clock()
            if now > deadline:
                break
            while free and times[sent] <= now:
                self._ask(free.popleft(), requests[sent % number], due=times[sent], now=now)
                sent += 1
            events = poll(0)
            if events:
                now = clock()
                for place, _ in events:
                    self._hear(place, now)
                continue
            gap = _TICK_S if not free else min(times[sent] - clock(), _TICK_S)
            if gap > 0:  # never spin: Valkey lives on the same core
                slept = clock()
                time.sleep(gap)
                self.idle += min(clock() - slept, gap + _SLACK_S)
        self.seconds = clock() - start

    def close(self) -> None:
        for line in self._lines.values():
            line.socket.close()
        self._poll.close()

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._lines[connection.fileno()] = _Line(connection)
        self._poll.register(connection.fileno(), select.EPOLLIN)
        self._free.append(connection.fileno())

    def _ask(self, place: int, request: bytes, *, due: float, now: float) -> None:
        line = self._lines[place]
        line.due = due
        self.late.append(now - max(due, line.free))
        try:
            line.socket.send(request)
        except OSError:
            self._replace(place)

    def _hear(self, place: int, now: float) -> None:
        line = self._lines[place]
        try:
            data = line.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._replace(place)
            return
        answer = line.heard + data if line.heard else data
        if not is_whole(answer):
            line.heard = answer
            return
        line.heard, line.free = b"", now
        if answer.startswith(b"HTTP/1.1 302 "):
            self.took.append(now - line.due)
        self._free.append(place)

    def _replace(self, place: int) -> None:
        """The server has closed a connection; what it was asked there has failed."""
        if place in self._free:
            self._free.remove(place)
        self._poll.unregister(place)
        self._lines.pop(place).socket.close()
        self._connect()


def is_whole(answer: bytes) -> bool:
    """True when head and body of an answer are there."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = _LENGTH.search(head)
    return len(body) >= (int(length[1]) if length else 0)


_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
