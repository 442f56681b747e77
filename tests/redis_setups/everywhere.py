"""A client for tests that speak to a cluster as they speak to one server: by name, wherever that lies."""

from collections.abc import Iterator
from typing import Any

from redis import Redis

from core.contracts import keys
from core.services.redis_client import ask_each, is_spread, make_redis, servers, spread


def everywhere(redis_url: str) -> "Redis[Any]":
    """A client of whatever `redis_url` names; of a cluster it reaches what is spread, too."""
    client: Any = make_redis(redis_url, connect_timeout=5, timeout=30)
    if is_spread(client):
        client.__class__ = type("Everywhere", (_Everywhere, type(client)), {})
    return client


class _Everywhere:
    """The one ready marker of a single server stands for those of all slots."""

    def execute_command(self, *words: Any, **options: Any) -> Any:
        client: Any = self
        if words[0] in ("EXISTS", "SET", "DEL") and keys.SNAPSHOTS_READY in words[1:2]:
            names = [keys.ready_in(slot) for slot in range(keys.SLOTS)]
            replies = ask_each(client, [(name, (words[0], name, *words[2:])) for name in names])
            return int(all(replies))
        if words[0] in ("EXISTS", "DEL") and len(words) > 2:
            return sum(self.execute_command(words[0], name) for name in words[1:])
        name = words[3] if words[0] in ("EVALSHA", "EVAL") else words[1] if len(words) > 1 else ""
        if _is_spread_name(name):
            return spread(client).execute_command(*words, **options)
        return super().execute_command(*words, **options)  # type: ignore[misc]

    def flushdb(self, **_: Any) -> bool:
        return all(server.flushdb() for server in servers(self))  # type: ignore[arg-type]

    flushall = flushdb

    def keys(self, pattern: str = "*") -> list[bytes]:
        return [name for server in servers(self) for name in server.keys(pattern)]  # type: ignore[arg-type]

    def scan_iter(self, **options: Any) -> Iterator[bytes]:
        for server in servers(self):  # type: ignore[arg-type]
            yield from server.scan_iter(**options)

    def script_load(self, script: str) -> Any:
        digests = [server.script_load(script) for server in servers(self)]  # type: ignore[arg-type]
        return digests[0]


def _is_spread_name(name: Any) -> bool:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return text.startswith("rastro:") and text != keys.CHANGED
