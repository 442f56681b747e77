"""Where a connection shall go to: asked of sentinels, or of a cluster, each time that one is made."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError, RedisError

from core.contracts import keys
from core.redis_url import CLUSTER, RedisPlace

Address = tuple[str, int]
Find = Callable[[], Awaitable[Address]]

_ASK_S = 0.3
"""How long one sentinel or node may take to say where somebody is, before the next one is asked."""


def pool(place: RedisPlace, **options: Any) -> ConnectionPool:
    """Connections to the primary that sentinels name, or to the server of our slot in a cluster."""
    given, is_tls = _options(place, options)
    find = Cluster(place, **options).home if place.kind == CLUSTER else _primary(place, given, is_tls=is_tls)
    return ConnectionPool(connection_class=_TlsHome if is_tls else _PlainHome, find=find, **given)


class Cluster:
    """What the servers of a cluster say of themselves."""

    def __init__(self, place: RedisPlace, **options: Any) -> None:
        self._options, is_tls = _options(place, options)
        self._options["ssl"] = is_tls
        self._named = place.hosts
        self._hosts: Sequence[Address] = place.hosts
        self._turn = 0

    def client(self, address: Address) -> Redis:
        """One server; nothing connects yet."""
        host, port = address
        return Redis(host=host, port=port, **self._options)

    async def home(self) -> Address:
        """Where our slot is served. Raises ConnectionError."""
        asked, slots = await self._slots()
        try:
            return keys.home_of(slots, asked=asked)
        except LookupError as error:
            raise ConnectionError(str(error)) from error

    async def map(self) -> list[Address | None]:
        """The server of each slot, None where there is none. Raises ConnectionError."""
        found: list[Address | None] = [None] * keys.SLOTS
        asked, slots = await self._slots()
        for first, last, (host, port, *_), *_ in slots:
            address = keys.address_of(host, port, asked=asked)
            found[first : last + 1] = [address] * (last + 1 - first)
        return found

    async def _slots(self) -> tuple[str, Any]:
        """Who was asked, and what it said. Another one is asked first each time, so that nobody stays with one that is
        cut off from the rest."""
        failed: Exception | None = None
        turn = self._turn % len(self._hosts)
        self._turn += 1
        for address in [*self._hosts[turn:], *self._hosts[:turn]]:
            one = self.client(address)
            try:
                async with asyncio.timeout(_ASK_S):
                    slots = await one.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                self._hosts = keys.hosts_of(slots, asked=address[0], named=self._named)
                return address[0], slots
            except (RedisError, OSError, TimeoutError) as error:
                failed = error
            finally:
                await one.aclose()
        raise ConnectionError(f"no server of the cluster says who serves what: {failed}")


class _Home:
    """A connection to whichever server `find` names at the time that it connects."""

    host: str
    port: int

    def __init__(self, *, find: Find, **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    async def _connect(self) -> None:
        self.host, self.port = await self._find()
        await super()._connect()  # type: ignore[misc]


class _PlainHome(_Home, Connection):
    pass


class _TlsHome(_Home, SSLConnection):
    pass


def _options(place: RedisPlace, options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """What connections are made with, the address apart; and whether they are encrypted."""
    given: dict[str, Any] = {**options, **parse_url(place.url)}
    del given["host"], given["port"]
    return given, given.pop("connection_class", Connection) is SSLConnection


def _primary(place: RedisPlace, options: dict[str, Any], *, is_tls: bool) -> Find:
    taken = ("socket_connect_timeout", "socket_timeout", "retry", "driver_info", "protocol")
    of_sentinels = {
        name: value for name, value in options.items() if name in taken or name.startswith("ssl_")
    }
    login = dict(zip(("username", "password"), place.login, strict=True))
    of_sentinels |= {name: value for name, value in login.items() if value}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        place.hosts, sentinel_kwargs={**of_sentinels, "ssl": is_tls}
    )

    async def find() -> Address:
        host, port = await sentinels.discover_master(place.service)
        return str(host), int(port)

    return find
