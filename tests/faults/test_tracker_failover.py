"""Another Redis takes over while visitors come: planned, after a death, or a new one in place of one that hangs."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from core.contracts import keys
from core.contracts.link_snapshot import LinkSnapshot
from tests.faults.books import ON_DISK, balance
from tests.redis_setups.ports import free_port
from tests.tracker_quart.rig import Valkey, Visitors, rig, wait_until

pytestmark = pytest.mark.faults


@contextmanager
def another(folder: Path) -> Iterator[Valkey]:
    """A second server, empty."""
    folder.mkdir()
    valkey = Valkey(folder)
    try:
        yield valkey
    finally:
        valkey.close()


def listen(valkey: Valkey) -> int:
    """Let a server be reached over TCP, as replication needs; its port."""
    valkey.client.config_set("bind", "127.0.0.1")
    valkey.client.config_set("repl-diskless-sync-delay", "0")
    while True:
        port = free_port()
        with contextlib.suppress(redis.ResponseError):  # somebody else was faster
            valkey.client.config_set("port", port)
            return port


def follow(replica: Valkey, primary: Valkey) -> int:
    """Make `replica` a copy of `primary`, and return its port once it has caught up."""
    port = listen(replica)
    replica.client.replicaof("127.0.0.1", listen(primary))
    wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up", "replicated")
    return port


def hold_writes(primary: Valkey, replica: Valkey) -> None:
    """Let `primary` take no write for ten minutes; returns once `replica` has all that it took before."""
    primary.client.client_pause(600_000, all=False)
    wait_until(lambda: _offset(replica) == _offset(primary), "caught up")


async def test_it_follows_a_planned_failover(tmp_path: Path) -> None:
    """The demoted server lives on, and so do connections to it; it says that it may not be written to."""
    with rig(tmp_path) as (old, trackers), another(tmp_path / "replica") as new:
        address = old.socket
        port = follow(new, old)
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(200)
            old.client.execute_command("FAILOVER", "TO", "127.0.0.1", port)
            while "errorstat_READONLY" not in old.client.info("errorstats"):
                await visitors.answers(10)
            new.move_to(address)
            await visitors.answers(200)
            old.client.replicaof("127.0.0.1", free_port())  # so that it hears of no change any more

        await visitors.visit(16, scenario)
        assert new.client.role()[0] == b"master"
        balance(visitors, trackers, new)
        assert trackers.metric(ON_DISK) > 0
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown again")
        wait_until(lambda: new.client.pubsub_numsub(keys.CHANGED)[0][1] == 1, "listening")
        for _ in range(
            old.publisher.revision()
        ):  # what was replicated has the revisions of the old one's publisher
            new.publisher.revision()
        new.publisher.link("sale", LinkSnapshot(link_id=7, url="https://moved.example/"))
        wait_until(lambda: trackers.get("/sale")[1].startswith("https://moved.example/"), "moved")


async def test_it_leaves_a_server_that_lives_on_and_answers_no_write(tmp_path: Path) -> None:
    """It never says that it was demoted, and what only reads hears nothing of it either."""
    with rig(tmp_path) as (old, trackers), another(tmp_path / "replica") as new:
        address = old.socket
        follow(new, old)
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(200)
            hold_writes(old, new)
            await visitors.answers(200)
            new.client.replicaof("NO", "ONE")
            new.move_to(address)
            await visitors.answers(200)

        await visitors.visit(16, scenario)
        wait_until(lambda: new.client.pubsub_numsub(keys.CHANGED)[0][1] == 1, "listening")
        assert old.client.pubsub_numsub(keys.CHANGED)[0][1] == 0


async def test_it_goes_on_over_the_replica_of_a_redis_that_died(tmp_path: Path) -> None:
    """The replica had everything: writes are held until it has caught up. Replication does not wait by itself."""
    with rig(tmp_path, count=2) as (old, trackers), another(tmp_path / "replica") as new:
        address = old.socket
        follow(new, old)
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(200)
            hold_writes(old, new)
            old.kill()
            await visitors.answers(200)
            status, headers, _ = await asyncio.to_thread(trackers.answer, "/never-seen")
            assert (status, headers["retry-after"] is not None) == (503, True)
            new.client.replicaof("NO", "ONE")
            new.move_to(address)
            await visitors.answers(200)

        await visitors.visit(16, scenario)
        balance(visitors, trackers, new)
        assert trackers.metric(ON_DISK) > 0
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown again")


async def test_it_goes_on_over_a_new_redis_in_place_of_one_that_hangs(tmp_path: Path) -> None:
    """The new one has the snapshots and no clicks. What the old one does when it wakes up is in both."""
    with rig(tmp_path, count=2) as (old, trackers), another(tmp_path / "new") as new:
        address = old.socket
        visitors = Visitors(trackers.port)

        async def scenario() -> None:
            await visitors.answers(200)
            old.hang()
            await visitors.answers(200)
            new.publisher.world()
            new.move_to(address)
            while not new.ids():
                await visitors.answers(50)
            old.resume()
            await visitors.answers(100)

        await visitors.visit(16, scenario)
        assert balance(visitors, trackers, old, new) > 0
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "unknown again")


def _offset(valkey: Valkey) -> int:
    """How far the server's history of writes goes, as it knows it."""
    state = valkey.client.info("replication")
    return int(state["slave_repl_offset"] if state["role"] == "slave" else state["master_repl_offset"])
