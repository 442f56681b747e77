"""The servers of a cluster, one pipelined connection to each: for names that are spread over them.

A server that fails keeps nobody from what the others hold, and whoever serves its slots then is looked for.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redis.exceptions import AskError, ConnectionError, MovedError, TryAgainError

from core.contracts import keys
from tracker_quart.contact import NOT_ANSWERED, PAUSE_S, Breaker
from tracker_quart.pipeline import Pipeline, packed
from tracker_quart.returning import Mark
from tracker_quart.snapshots import UNSAID, Read
from tracker_quart.whereabouts import Address, Cluster

_NODE_S = 0.3
"""How long one server may take: the others' replies wait for it, once in PAUSE_S."""

_TRIES = 3
_ASKING, _PING = packed(b"ASKING"), packed(b"PING")


class Nodes:
    """For one event loop. A server that owes a reply for longer than `patience`, in seconds, is given up."""

    def __init__(self, cluster: Cluster, *, patience: float) -> None:
        self._cluster = cluster
        self._patience = patience
        self._map: list[Address | None] = []
        self._looked = -PAUSE_S
        self._looking: asyncio.Task[None] | None = None
        self._nodes: dict[Address, _Node] = {}
        keys.ready_in(0)  # the first visitor does not wait until all such names are known

    async def meet(self) -> None:
        """Find all servers, and connect to each, before visitors come. Never fails."""
        await self._look()
        found = {address for address in self._map if address is not None}
        pings = (self._of_node(address, [_PING], [0], [None]) for address in found)
        await asyncio.gather(*pings)

    async def ask(self, commands: Sequence[tuple[int, bytes]]) -> list[Any]:
        """The reply to each packed command, given with the slot of its name; a RedisError, OSError or TimeoutError in
        place of one. A slot that has moved, or moves, is followed."""
        replies: list[Any] = [ConnectionError("nobody serves this slot")] * len(commands)
        left: Sequence[int] = range(len(commands))
        for _ in range(_TRIES):
            if not self._map:
                await self._look()
            by_address: dict[Address, list[int]] = defaultdict(list)
            for place in left:
                address = self._map[commands[place][0]] if self._map else None
                if address is not None:
                    by_address[address].append(place)
            await asyncio.gather(
                *(
                    self._of_node(address, [commands[place][1] for place in places], places, replies)
                    for address, places in by_address.items()
                )
            )
            left = [place for place in left if isinstance(replies[place], AskError | TryAgainError)]
            if not left:
                break
            if any(isinstance(replies[place], MovedError) for place in left):
                await self._look()
            for place in left:
                if isinstance(replies[place], AskError) and not isinstance(replies[place], MovedError):
                    await self._ask_there(replies[place], commands[place][1], place, replies)
            left = [place for place in left if isinstance(replies[place], AskError | TryAgainError)]
        return replies

    def leave(self) -> None:
        """Others may serve the slots by now: ask who does, and connect anew."""
        self._map = []
        for node in self._nodes.values():
            node.pipeline.leave()

    def close(self) -> None:
        """End the connections, whatever they wait for."""
        if self._looking is not None:
            self._looking.cancel()
        for node in self._nodes.values():
            node.pipeline.close()

    async def _of_node(
        self, address: Address, commands: list[bytes], places: list[int], replies: list[Any]
    ) -> None:
        node = self._node(address)
        found: Sequence[Any]
        if not node.breaker.allows:
            found = [ConnectionError("it failed a moment ago")] * len(commands)
        else:
            try:
                async with asyncio.timeout(_NODE_S):
                    found = await node.pipeline.ask_all(commands)
            except NOT_ANSWERED as error:
                node.breaker.failed(error)
                self._look_soon()
                found = [error] * len(commands)
            else:
                node.breaker.worked()
        for place, reply in zip(places, found, strict=True):
            replies[place] = reply

    async def _ask_there(self, where: AskError, command: bytes, place: int, replies: list[Any]) -> None:
        """A slot that moves: what has left already is asked for where it goes."""
        try:
            async with asyncio.timeout(_NODE_S):
                _, replies[place] = await self._node((where.host, where.port)).pipeline.ask_all(
                    [_ASKING, command]
                )
        except NOT_ANSWERED as error:
            replies[place] = error

    def _node(self, address: Address) -> "_Node":
        if address not in self._nodes:
            pipeline = Pipeline(self._cluster.client(address), patience=self._patience, gone_by=())
            self._nodes[address] = _Node(pipeline, Breaker("snapshots at {}:{}".format(*address)))
        return self._nodes[address]

    async def _look(self) -> None:
        """Ask who serves what; whoever stops waiting does not end that. What was known stays where nobody says."""
        self._look_soon(at_once=True)
        if self._looking is not None:
            await asyncio.wait([self._looking])

    def _look_soon(self, *, at_once: bool = False) -> None:
        if self._looking is None and (at_once or time.monotonic() - self._looked >= PAUSE_S):
            self._looking = asyncio.create_task(self._read_map())

    async def _read_map(self) -> None:
        try:
            self._map = await self._cluster.map()
            for address in self._nodes.keys() - set(self._map):
                self._nodes.pop(address).pipeline.leave()
        except NOT_ANSWERED:
            pass  # those who asked are told that nobody serves the slot, or are with the old map
        finally:
            self._looked = time.monotonic()
            self._looking = None


class _Node:
    def __init__(self, pipeline: Pipeline, breaker: Breaker) -> None:
        self.pipeline = pipeline
        self.breaker = breaker


def reader(nodes: Nodes) -> Read:
    """How Snapshots reads from a cluster: each name together with the ready marker of its slot."""

    async def read(names: Sequence[str]) -> list[bytes | None]:
        *wanted, _ = names  # the last is the marker of a Redis that is one server
        slots = [keys.slot_of(name) for name in wanted]
        replies = await nodes.ask(
            [
                (slot, packed(b"MGET", name.encode("utf-8"), keys.ready_in(slot).encode("ascii")))
                for slot, name in zip(slots, wanted, strict=True)
            ]
        )
        _raise_if_all(replies)
        said = [reply for reply in replies if not isinstance(reply, Exception)]
        is_ready = all(ready is not None for framed, ready in said if framed is None)
        found = [UNSAID if isinstance(reply, Exception) else reply[0] for reply in replies]
        return [*found, b"1" if is_ready else None]

    return read


def marker(nodes: Nodes) -> Mark:
    """How Visitors marks in a cluster. Whoever can not be asked for is new."""

    async def mark(names: Sequence[str]) -> Sequence[bool]:
        lasts = b"%d" % keys.SEEN_TTL_S
        replies = await nodes.ask(
            [
                (keys.slot_of(name), packed(b"SET", name.encode("utf-8"), b"1", b"EX", lasts, b"GET"))
                for name in names
            ]
        )
        _raise_if_all(replies)
        return [reply is not None and not isinstance(reply, Exception) for reply in replies]

    return mark


def _raise_if_all(replies: Sequence[Any]) -> None:
    if replies and all(isinstance(reply, Exception) for reply in replies):
        raise replies[0]
