"""What each form of REDIS_URL says."""

import pytest

from core.redis_url import CLUSTER, SENTINEL, SERVER, RedisPlace, read_redis_url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("unix:///run/redis.sock?db=3", RedisPlace(SERVER, "unix:///run/redis.sock?db=3")),
        ("rediss://u:p@cache/2", RedisPlace(SERVER, "rediss://u:p@cache/2")),
        (
            "redis+cluster://u:p%40ss@a:7001,b",
            RedisPlace(CLUSTER, "redis://u:p%40ss@a:7001/0", (("a", 7001), ("b", 6379))),
        ),
        (
            "rediss+cluster://[2001:db8::1]:7001/0?ssl_cert_reqs=none",
            RedisPlace(CLUSTER, "rediss://[2001:db8::1]:7001/0?ssl_cert_reqs=none", (("2001:db8::1", 7001),)),
        ),
        (
            "redis+sentinel://:p@a,b:26380/links/2?sentinel_username=s&sentinel_password=q%2Fq",
            RedisPlace(SENTINEL, "redis://:p@a:26379/2", (("a", 26379), ("b", 26380)), "links", ("s", "q/q")),
        ),
    ],
)
def test_it_reads_every_form(url: str, place: RedisPlace) -> None:
    assert read_redis_url(url) == place
