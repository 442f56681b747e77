"""The one way to a blocking Redis client: it answers or fails soon, and never retries behind the caller's back."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def make_redis(redis_url: str, *, connect_timeout: float = 0.5, timeout: float = 0.5) -> Redis:
    """A client over `redis_url` (the form of Settings.redis_url); replies are bytes; nothing connects yet.

    The library's own defaults hold a caller for seconds when Redis is away; here a call fails after `connect_timeout`
    or `timeout` seconds, once.
    """
    return Redis.from_url(
        redis_url,
        socket_connect_timeout=connect_timeout,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=30,
    )
