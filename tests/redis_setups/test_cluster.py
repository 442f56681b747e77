"""A cluster of which one server is gone, was emptied, or is taken for a server of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import RedisError

from core.config import Settings
from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from core.ops.commands import CommandFailed
from core.ops.external import look_at_redis, redis_fault
from core.services import publishing
from core.services.redis_client import make_redis, servers
from tests.redis_setups.everywhere import everywhere
from tests.redis_setups.setups import Cluster, cluster
from tests.tracker_quart.conftest import URL, Publisher
from tests.tracker_quart.rig import Trackers, wait_until

pytestmark = pytest.mark.faults


@pytest.fixture
def three() -> Iterator[Cluster]:
    """Three servers, each of which goes on without the others."""
    with cluster(**{"cluster-require-full-coverage": "no"}) as made:
        yield made


@pytest.fixture
def client(three: Cluster) -> Iterator[Any]:
    client = everywhere(three.url)
    yield client
    client.close()


def test_it_leads_visitors_to_what_other_servers_hold(three: Cluster, client: Any, tmp_path: Path) -> None:
    gone = next(node for node in three.primaries if node not in (three.home, three.owner(keys.domain("*"))))
    slugs = [f"s{number}" for number in range(40)]
    lost = [slug for slug in slugs if three.owner(keys.link(1, slug)) is gone]
    seen, unseen = lost[:2], lost[2:]
    publisher = Publisher(client)
    publisher.world()
    for slug in slugs:
        publisher.link(slug, LinkSnapshot(link_id=7, url=URL))
    trackers = Trackers(tmp_path, three.url)
    try:
        for slug in seen:
            wait_until(lambda slug=slug: trackers.get(f"/{slug}")[0] == 302, "led")
        gone.kill()
        for slug in slugs:
            if slug in unseen:
                assert trackers.get(f"/{slug}")[0] == 503
            else:
                wait_until(lambda slug=slug: trackers.get(f"/{slug}")[0] == 302, "led all the same")
        gone.start()
        for slug in unseen:
            wait_until(lambda slug=slug: trackers.get(f"/{slug}")[0] == 302, "led again")
    finally:
        trackers.close()


def test_it_takes_no_link_of_an_emptied_server_for_unknown(
    three: Cluster, client: Any, tmp_path: Path
) -> None:
    publisher = Publisher(client)
    publisher.world()
    emptied = next(node for node in three.primaries if node is not three.owner(keys.domain("*")))
    slugs = [f"s{number}" for number in range(20)]
    here = [slug for slug in slugs if three.owner(keys.link(1, slug)) is emptied]
    trackers = Trackers(tmp_path, three.url)
    try:
        wait_until(lambda: trackers.get("/s0")[0] == 404, "all is published")
        assert publishing.is_published(client)
        emptied.client.flushall()
        assert not publishing.is_published(client)
        for slug in here[1:]:
            wait_until(lambda slug=slug: trackers.get(f"/{slug}")[0] == 503, "nobody knows")
        publisher.ready()
        for slug in here[1:]:
            wait_until(lambda slug=slug: trackers.get(f"/{slug}")[0] == 404, "unknown again")
    finally:
        trackers.close()


def test_it_says_what_is_wrong_with_a_cluster(three: Cluster, settings: Settings) -> None:
    with pytest.raises(CommandFailed, match=r"redis\+cluster://"):
        look_at_redis(f"redis://127.0.0.1:{three.primaries[0].port}")
    assert redis_fault(look_at_redis(three.url)) is None
    three.primaries[2].client.config_set("maxmemory-policy", "allkeys-lru")
    assert "noeviction" in (redis_fault(look_at_redis(three.url)) or "")


def test_it_connects_to_nothing_before_it_is_asked() -> None:
    client = make_redis("redis+cluster://127.0.0.1:1,127.0.0.1:2")
    for ask in (client.ping, lambda: servers(client), lambda: publishing.is_published(client)):
        with pytest.raises(RedisError):
            ask()
    client.close()
