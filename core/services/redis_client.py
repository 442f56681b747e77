"""The one way to a blocking Redis client: it answers or fails soon, and never retries behind the caller's back.

Nearly all names lie in one slot (`core.contracts.keys`), so a cluster is met like a primary that sentinels know: each
connection asks where that slot is served now, and a server that has lost it is left. Only snapshots are spread over
the servers of a cluster: what touches those goes through `spread`, `servers` and `ask_each`.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, cast

from redis import ConnectionError, Redis, RedisCluster, RedisClusterException, RedisError
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.exceptions import AskError, ClusterDownError, ReadOnlyError, TryAgainError
from redis.retry import Retry
from redis.sentinel import Sentinel

from core.contracts import keys
from core.redis_url import CLUSTER, SERVER, RedisPlace, read_redis_url

Command = tuple[Any, ...]
"""The words of a command."""

_GONE_BY = (ReadOnlyError, AskError, ClusterDownError)
"""What a server says that does not serve us any more, or not now; MOVED and MASTERDOWN are among them."""


def make_redis(
    redis_url: str, *, connect_timeout: float = 0.5, timeout: float = 0.5, **options: Any
) -> Redis:
    """A client over `redis_url` (the form of Settings.redis_url); replies are bytes; nothing connects yet.

    The library's own defaults hold a caller for seconds when Redis is away; here a call fails after `connect_timeout`
    or `timeout` seconds, once. `options` are redis-py's. A server that another one took over from gives
    ConnectionError, and the next call goes to the other one.
    """
    place = read_redis_url(redis_url)
    waits: dict[str, Any] = {
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
    }
    options = {"health_check_interval": 30, **waits, **options}
    if place.kind == SERVER:
        return Redis.from_url(redis_url, **options)
    given = {**options, **parse_url(place.url)}  # type: ignore[no-untyped-call]
    del given["host"], given["port"]
    is_tls = given.pop("connection_class", Connection) is SSLConnection
    if place.kind == CLUSTER:
        of_nodes = {name: value for name, value in given.items() if name not in ("db", "max_connections")}
        nodes = _Nodes(place, {**of_nodes, "ssl": is_tls})
        return _Cluster(nodes, connection_pool=_pool(is_tls, nodes.home, given))
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        place.hosts,
        sentinel_kwargs={**waits, **_login(place), **_tls(given), "ssl": is_tls},
    )

    def find() -> tuple[str, int]:
        host, port = sentinels.discover_master(place.service)  # type: ignore[no-untyped-call]
        return str(host), int(port)

    return Redis.from_pool(_pool(is_tls, find, given))


def spread(redis: Redis) -> Redis:
    """A client for commands on one name that is spread. Raises ConnectionError when no server of a cluster answers."""
    return cast(Redis, redis.nodes.client()) if isinstance(redis, _Cluster) else redis


def servers(redis: Redis) -> list[Redis]:
    """A client for each server that holds names. Raises as `spread`."""
    if not isinstance(redis, _Cluster):
        return [redis]
    cluster = redis.nodes.client()
    return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]  # type: ignore[no-untyped-call]


def ask_each(redis: Redis, commands: Sequence[tuple[str, Command]]) -> list[Any]:
    """The replies to commands on one name each, in that order, in one round trip to each server. Raises RedisError."""
    if isinstance(redis, _Cluster):
        return redis.nodes.ask_each(commands)
    with redis.pipeline(transaction=False) as pipe:
        for _, command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return list(pipe.execute())


def is_spread(redis: Redis) -> bool:
    """True for a cluster."""
    return isinstance(redis, _Cluster)


class _Home:
    """A connection to whichever server `find` names at the time that it connects."""

    host: str
    port: int

    def __init__(self, *, find: Callable[[], tuple[str, int]], **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    def _connect(self) -> Any:
        self.host, self.port = self._find()
        return super()._connect()  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except _GONE_BY as error:
            self.disconnect()  # type: ignore[attr-defined]
            raise ConnectionError(f"another server may have taken over: {error}") from error


class _PlainHome(_Home, Connection):
    pass


class _TlsHome(_Home, SSLConnection):
    pass


def _pool(is_tls: bool, find: Callable[[], tuple[str, int]], options: dict[str, Any]) -> ConnectionPool:
    return ConnectionPool(connection_class=_TlsHome if is_tls else _PlainHome, find=find, **options)


def _login(place: RedisPlace) -> dict[str, str]:
    return {name: value for name, value in zip(("username", "password"), place.login, strict=True) if value}


def _tls(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name.startswith("ssl_")}


class _Cluster(Redis):
    """Speaks to the server of our slot; `nodes` are all servers."""

    def __init__(self, nodes: "_Nodes", *, connection_pool: ConnectionPool) -> None:
        super().__init__(connection_pool=connection_pool)
        self.nodes = nodes

    def close(self) -> None:
        super().close()
        self.connection_pool.disconnect()
        self.nodes.close()


class _Library(RedisCluster):
    """Raises only RedisError."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisClusterException as error:
            raise ConnectionError(str(error)) from error


class _Nodes:
    """The servers of a cluster, by the library's client, which is made when it is first needed: it connects at once."""

    def __init__(self, place: RedisPlace, options: dict[str, Any]) -> None:
        self._named = place.hosts
        self._hosts: Sequence[tuple[str, int]] = place.hosts
        self._options = options
        self._lock = threading.Lock()
        self._client: _Library | None = None
        self._turn = 0

    def client(self) -> RedisCluster:
        """Raises ConnectionError."""
        with self._lock:
            if self._client is None:
                startup = [ClusterNode(host, port) for host, port in self._hosts]  # type: ignore[no-untyped-call]
                try:
                    self._client = _Library(
                        startup_nodes=startup, require_full_coverage=False, **self._options
                    )
                except RedisClusterException as error:
                    raise ConnectionError(str(error)) from error
            return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def home(self) -> tuple[str, int]:
        """Where our slot is served, by what the first server says that answers; another one is asked first each time,
        so that nobody stays with one that is cut off from the rest. Raises ConnectionError."""
        failed: Exception | None = None
        hosts, turn = self._hosts, self._turn % len(self._hosts)
        self._turn += 1
        for host, port in [*hosts[turn:], *hosts[:turn]]:
            with Redis(host=host, port=port, **self._options) as one:
                try:
                    slots = one.execute_command("CLUSTER SLOTS")
                    self._hosts = keys.hosts_of(slots, asked=host, named=self._named)
                    return keys.home_of(slots, asked=host)
                except (RedisError, OSError, LookupError) as error:
                    failed = error
        raise ConnectionError(f"no server of the cluster says where {keys.HOME} is: {failed}")

    def ask_each(self, commands: Sequence[tuple[str, Command]]) -> list[Any]:
        cluster = self.client()
        places: dict[ClusterNode, list[int]] = defaultdict(list)
        try:
            for place, (name, _) in enumerate(commands):
                places[cluster.get_node_from_key(name)].append(place)  # type: ignore[no-untyped-call]
            replies: list[Any] = [None] * len(commands)
            for node, of_node in places.items():
                with cluster.get_redis_connection(node).pipeline(transaction=False) as pipe:
                    for place in of_node:
                        pipe.execute_command(*commands[place][1])  # type: ignore[no-untyped-call]
                    for place, reply in zip(of_node, pipe.execute(raise_on_error=False), strict=True):
                        replies[place] = reply
            for place, reply in enumerate(replies):
                if isinstance(reply, AskError | TryAgainError):  # its slot moves, or has moved
                    replies[place] = cluster.execute_command(*commands[place][1])  # type: ignore[no-untyped-call]
                elif isinstance(reply, Exception):
                    raise reply
        except (ConnectionError, RedisClusterException, TimeoutError, ClusterDownError) as error:
            self.close()  # whoever comes next looks anew at who serves what
            raise ConnectionError(str(error)) from error
        return replies
