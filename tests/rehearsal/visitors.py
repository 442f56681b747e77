"""Those who ask: at a rate that does not depend on the answers, on connections that stay open and on new ones.

A connection is led to one of the ready pods, and stays with its pod after that has left the Service: so do clients that
keep their connections, and they are the hard case of a rollout. A connection that the server has closed meanwhile is
replaced before the next request; a request that has been sent is never sent again.
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

LIMIT_S = 30.0
_LATE_S = 1.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True, kw_only=True)
class Crowd:
    """So many requests a second by so many people, each on a connection of their own. `stays`: whether it is kept.

    `request` makes the request with a number, which `numbers` gives; `expected` is the status of every answer.
    `skipped` are requests that were due while this program itself was more than a second late, and were not sent."""

    name: str
    ports: Callable[[], Sequence[int]]
    request: Callable[[int], bytes]
    numbers: Iterator[int]
    expected: int
    a_second: float
    people: int
    stays: bool
    answered: set[int] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    connections: int = 0
    skipped: int = 0
    seconds: float = 0.0
    is_over: bool = False

    async def ask(self) -> None:
        """Ask until `is_over`, and return when the last answer is there."""
        begun = time.monotonic()
        await asyncio.gather(*(self._person(place) for place in range(self.people)))
        self.seconds = time.monotonic() - begun

    def told(self) -> str:
        """One line about it."""
        self.took.sort()
        middle, slow, longest = (self._share(share) for share in (0.5, 0.99, 1.0))
        return (
            f"{self.name}: {len(self.answered):,} answered, {len(self.failed)} failed, "
            f"{len(self.answered) / self.seconds:,.0f}/s, {self.connections:,} connections; "
            f"ms middle {middle:.1f}, p99 {slow:.1f}, longest {longest:.0f}; {self.skipped:,} not sent for want of time"
        )

    def _share(self, share: float) -> float:
        return self.took[min(int(len(self.took) * share), len(self.took) - 1)] * 1000 if self.took else 0.0

    async def _person(self, place: int) -> None:
        period = self.people / self.a_second
        due = time.monotonic() + period * place / self.people
        connection: Connection | None = None
        try:
            while not self.is_over:
                await asyncio.sleep(max(due - time.monotonic(), 0))
                connection = await self._visit(connection)
                due += period
                behind = int(max(time.monotonic() - due, 0) / period)
                if behind * period > _LATE_S:
                    self.skipped += behind
                    due += behind * period
        finally:
            await _close(connection)

    async def _visit(self, connection: Connection | None) -> Connection | None:
        """One request and its answer; the connection, if it goes on."""
        number, begun = next(self.numbers), time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                if connection is None or connection[0].at_eof():
                    await _close(connection)
                    connection = await self._connect()
                status, stays = await _talk(connection, self.request(number))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.failed.append(f"{self.name} {number}: {error!r}")
            await _close(connection)
            return None
        self.took.append(time.monotonic() - begun)
        if status == self.expected:
            self.answered.add(number)
        else:
            self.failed.append(f"{self.name} {number}: {status}")
        if stays and self.stays:
            return connection
        await _close(connection)
        return None

    async def _connect(self) -> Connection:
        self.connections += 1
        ports = self.ports()
        if not ports:
            raise ConnectionError("no pod is ready")
        return await asyncio.open_connection("127.0.0.1", random.choice(ports))


async def _talk(connection: Connection, request: bytes) -> tuple[int, bool]:
    """Status of the answer, and whether the connection goes on."""
    reader, writer = connection
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = re.search(rb"\r\ncontent-length: *(\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1]), b"\r\nconnection: close" not in head


async def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection[1].close()
        with suppress(OSError):
            await connection[1].wait_closed()
