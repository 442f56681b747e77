"""While visitors come, another server takes over: slots move in a cluster, primaries die and leave it to replicas."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from sqlalchemy import Engine

from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from tests.faults.books import ON_DISK, balance, held
from tests.faults.programs import Workers
from tests.faults.test_worker_kill import each_once, stored
from tests.redis_setups.everywhere import everywhere
from tests.redis_setups.setups import Node, cluster, until, watched
from tests.tracker_quart.conftest import Publisher
from tests.tracker_quart.rig import Trackers, Valkey, Visitors, wait_until

pytestmark = pytest.mark.faults
Client = Any
Tell = Callable[[str], None]


@contextmanager
def trackers_over(url: str, folder: Path) -> Iterator[tuple[Client, Trackers]]:
    """A client that lives as long as the programs', and a tracker over the world."""
    client = everywhere(url)
    try:
        Publisher(client).world()
        trackers = Trackers(folder, url)
        try:
            wait_until(lambda: trackers.get("/never-seen")[0] == 404, "all servers are met")
            yield client, trackers
        finally:
            trackers.close()
    finally:
        client.close()


def balanced(visitors: Visitors, trackers: Trackers, client: Client) -> int:
    """The clicks that are kept, once the books balance."""
    store = cast(Valkey, SimpleNamespace(client=client))
    wait_until(lambda: not list(trackers.spool.glob("*.spool")), "nothing waits on disk")
    wait_until(lambda: sum(held(store).answered.values()) == len(visitors.answered), "all is told")
    balance(visitors, trackers, held(store))
    return len(visitors.answered)


def hold_writes(primary: Node, replica: Node) -> None:
    """Let `primary` take no write for ten minutes; returns once `replica` has all that it took before."""
    primary.client.client_pause(600_000, all=False)

    def offset(node: Node, name: str) -> int:
        return int(node.client.info("replication")[name])

    until(
        lambda: offset(replica, "slave_repl_offset") == offset(primary, "master_repl_offset"), "all is copied"
    )


async def test_it_follows_slots_to_other_servers(
    tmp_path: Path, environment: dict[str, str], engine: Engine, clean_database: None
) -> None:
    """Our own slot with all clicks in it, that of a link, and our own once more while workers empty it."""
    with cluster() as made, trackers_over(made.url, tmp_path) as (client, trackers):
        visitors = Visitors(trackers.port)

        async def move(name: str) -> None:
            target = next(node for node in made.primaries if node is not made.owner(name))
            await asyncio.to_thread(made.move, keys.slot_of(name), target)
            assert made.owner(name) is target
            await visitors.answers(200)

        async def scenario() -> None:
            await visitors.answers(200)
            await move(keys.HOME)
            await move(keys.link(1, "sale"))
            wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown")

        await visitors.visit(16, scenario)
        clicks = await asyncio.to_thread(balanced, visitors, trackers, client)
        workers = Workers({**environment, "REDIS_URL": made.url}, tmp_path)
        try:
            workers.start()
            until(lambda: client.xlen(keys.stream("track")) < clicks, "begun")
            made.move(keys.slot_of(keys.HOME), next(node for node in made.primaries if node is not made.home))
            until(lambda: client.xlen(keys.stream("track")) == 0, "all is stored")
        finally:
            workers.end_all()
        assert stored(engine) == each_once(clicks)


async def test_it_goes_on_when_a_server_of_the_cluster_dies(tmp_path: Path, tell: Tell) -> None:
    """Its replica had everything, since writes were held. Links of the others are led all the time."""
    with cluster(replicas=1) as made, trackers_over(made.url, tmp_path) as (client, trackers):
        home = made.home
        replica = made.replicas[made.primaries.index(home)]
        await _dies(client, trackers, home, replica, lambda: made.home is replica, tell)
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown again")
        _publishes(client, trackers)


async def test_it_goes_on_when_sentinels_name_another_primary(tmp_path: Path, tell: Tell) -> None:
    """The replica had everything, since writes were held."""
    with watched() as made, trackers_over(made.url, tmp_path) as (client, trackers):
        primary, replica = made.primary, made.replica
        is_primary = partial(_is_primary, replica)
        await _dies(client, trackers, primary, replica, is_primary, tell)
        _publishes(client, trackers)


async def _dies(
    client: Client,
    trackers: Trackers,
    primary: Node,
    replica: Node,
    has_taken_over: Callable[[], bool],
    tell: Tell,
) -> None:
    """The primary is killed under load, and its replica takes over: no answered click is lost."""
    visitors = Visitors(trackers.port)

    async def scenario() -> None:
        await visitors.answers(200)
        await asyncio.to_thread(hold_writes, primary, replica)
        primary.kill()
        died = time.monotonic()
        await visitors.answers(200)
        await asyncio.to_thread(until, has_taken_over, "taken over")
        tell(f"the replica has taken over after {time.monotonic() - died:.1f} s")
        await asyncio.to_thread(_takes_clicks, client)
        tell(f"it takes clicks after {time.monotonic() - died:.1f} s")
        await visitors.answers(200)

    await visitors.visit(16, scenario)
    await asyncio.to_thread(balanced, visitors, trackers, client)
    on_disk = trackers.metric(ON_DISK)
    tell(f"{on_disk:.0f} of {len(visitors.answered)} answered clicks came by way of the disk, none is lost")
    assert on_disk > 0


def _is_primary(node: Node) -> bool:
    return bool(node.client.role()[0] == b"master")


def _takes_clicks(client: Client) -> None:
    before: list[int] = []

    def more() -> bool:
        before.append(client.xlen(keys.stream("track")))
        return before[-1] > before[0]

    until(more, "clicks arrive")


def _publishes(client: "redis.Redis[Any]", trackers: Trackers) -> None:
    """What changes now is heard of."""

    publisher = Publisher(client)
    for _ in range(20):  # the world's publisher has used these revisions
        publisher.revision()
    publisher.link("sale", LinkSnapshot(link_id=7, url="https://moved.example/"))
    wait_until(lambda: trackers.get("/sale")[1].startswith("https://moved.example/"), "moved")
