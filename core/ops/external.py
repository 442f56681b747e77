"""PostgreSQL and Redis that somebody else runs: do they answer, and are they fit for Rastro?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import redis

from core.ops.commands import CommandFailed
from core.redis_url import CLUSTER, read_redis_url
from core.services.redis_client import make_redis, servers

OLDEST_POSTGRES = 15
OLDEST_REDIS = 7


@dataclass(frozen=True, slots=True)
class PostgresFacts:
    """`version` as people know it ("18.6"), `major` to compare. `is_pooled`: PgBouncer or its like stands in front."""

    version: str
    major: int
    is_pooled: bool = False


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """`name` is Redis or Valkey; `policy` is what it does when its memory is full; `is_of_cluster` says that it is one
    of several that hold a part each."""

    name: str
    version: str
    major: int
    policy: str
    keeps_on_disk: bool
    is_of_cluster: bool = False


def plain_url(database_url: str) -> str:
    """The address as libpq and its tools want it, from the form of Settings.database_url."""
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)


def look_at_postgres(database_url: str) -> PostgresFacts:
    """Connect and return what is there. Raises CommandFailed when it does not answer within 5 seconds."""
    try:
        with psycopg.connect(plain_url(database_url), connect_timeout=5) as connection:
            number = connection.info.server_version
            row = connection.execute("select pg_backend_pid()").fetchone()
            return PostgresFacts(
                f"{number // 10000}.{number % 10000}",
                number // 10000,
                is_pooled=row != (connection.info.backend_pid,),  # a pooler gives out numbers of its own
            )
    except psycopg.Error as error:
        raise CommandFailed(
            f"PostgreSQL does not answer ({_one_line(error)}). Check DATABASE_URL and that the server runs."
        ) from error


def require_own_session(facts: PostgresFacts, what: str) -> None:
    """Raise CommandFailed when the database is reached through a pooler, which would hand on to other programs what
    pg_dump and psql tell their session (an empty search path, no time limits)."""
    if facts.is_pooled:
        raise CommandFailed(
            f"DATABASE_URL leads to a pooler such as PgBouncer. {what} needs the server itself: "
            "give this command the server's own address as DATABASE_URL."
        )


def look_at_redis(redis_url: str) -> RedisFacts:
    """Connect and return what is there; of a cluster, a server that is at fault. Raises CommandFailed when it does not
    answer within 5 seconds."""
    client = make_redis(redis_url, connect_timeout=5, timeout=5)
    try:
        infos: list[Any] = [server.info() for server in servers(client)]
    except (redis.RedisError, OSError) as error:
        raise CommandFailed(
            f"Redis does not answer ({_one_line(error)}). Check REDIS_URL and that the server runs."
        ) from error
    finally:
        client.close()
    facts = [_facts(info) for info in infos]
    if facts[0].is_of_cluster and read_redis_url(redis_url).kind != CLUSTER:
        raise CommandFailed(
            "This server is one of a cluster. Let REDIS_URL begin with redis+cluster:// or rediss+cluster://."
        )
    return next((found for found in facts if redis_fault(found) or not found.keeps_on_disk), facts[0])


def _facts(info: Mapping[str, Any]) -> RedisFacts:
    valkey = info.get("valkey_version")
    version = str(valkey or info["redis_version"])
    return RedisFacts(
        name="Valkey" if valkey else "Redis",
        version=version,
        major=int(version.split(".")[0]),
        policy=str(info.get("maxmemory_policy", "unknown")),
        keeps_on_disk=bool(info.get("aof_enabled", 0)),
        is_of_cluster=bool(info.get("cluster_enabled", 0)),
    )


def postgres_fault(facts: PostgresFacts) -> str | None:
    """Why this PostgreSQL can not be used, or None."""
    if facts.major < OLDEST_POSTGRES:
        return f"PostgreSQL {facts.version} is too old; {OLDEST_POSTGRES} or newer is needed."
    return None


def redis_fault(facts: RedisFacts) -> str | None:
    """Why this Redis can not be used, or None. A server that evicts would throw clicks away."""
    if facts.major < OLDEST_REDIS:
        return f"{facts.name} {facts.version} is too old; {OLDEST_REDIS} or newer is needed."
    if facts.policy not in ("noeviction", "unknown"):
        return (
            f"{facts.name} may throw clicks away when its memory is full (maxmemory-policy is {facts.policy}). "
            "Set maxmemory-policy to noeviction."
        )
    return None


def require_fit(database_url: str | None, redis_url: str | None) -> None:
    """Raise CommandFailed unless each of the given servers answers and can be used."""
    if database_url:
        fault = postgres_fault(look_at_postgres(database_url))
        if fault:
            raise CommandFailed(f"DATABASE_URL: {fault}")
    if redis_url:
        fault = redis_fault(look_at_redis(redis_url))
        if fault:
            raise CommandFailed(f"REDIS_URL: {fault}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
