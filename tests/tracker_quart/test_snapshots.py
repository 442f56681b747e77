"""The cache in front of Redis: bounded, never wrong about "unknown", fresh after a change."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from core.contracts import keys, link_snapshot
from core.contracts.link_snapshot import LinkSnapshot, Rule, Variant
from tests.tracker_quart.conftest import Publisher
from tests.tracker_quart.rig import LIMIT_S
from tracker_quart.contact import Breaker, make_client
from tracker_quart.pipeline import Pipeline
from tracker_quart.snapshots import (
    FRESH_S,
    UNHEARD_S,
    UNKNOWN_S,
    Snapshots,
    Unavailable,
    link_in,
    reader,
)

A, B, C = (keys.link(1, slug) for slug in "abc")


def framed(link_id: int, revision: int = 1) -> bytes:
    return link_snapshot.encode(LinkSnapshot(link_id=link_id, url="https://a.example/"), revision=revision)


class World:
    """What Redis would say, by hand: `held`, whether it answers, and how often and what it was asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.held: dict[str, bytes] = {keys.SNAPSHOTS_READY: b"1"}
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.answers = True
        self.breaker = Breaker("test", clock=lambda: self.now)

    def snapshots(self, **limits: int) -> Snapshots:
        snapshots = Snapshots(read=self.read, breaker=self.breaker, clock=lambda: self.now, **limits)
        snapshots.listening = True
        return snapshots

    async def read(self, names: Sequence[str]) -> list[bytes | None]:
        self.asked.append(list(names[:-1]))
        replies = [self.held.get(name) for name in names]
        await self.gate.wait()
        if not self.answers:
            raise ConnectionError("refused")
        return replies


@pytest.fixture
async def world() -> World:
    return World()


async def test_it_asks_once_and_then_holds(world: World) -> None:
    world.held[A] = framed(7, revision=5)
    snapshots = world.snapshots()
    assert snapshots.held(A) is None
    entry = await snapshots.ask(A)
    compiled = link_in(entry)
    assert (compiled.link.link_id, compiled.revision) == (7, 5)
    assert snapshots.held(A) is entry
    world.now += FRESH_S - 1
    assert snapshots.held(A) is entry
    world.now += 2
    assert snapshots.held(A) is None
    assert link_in(await snapshots.ask(A)).link.link_id == 7
    assert world.asked == [[A], [A]]


async def test_it_gathers_what_is_asked_for_while_a_round_trip_travels(world: World) -> None:
    world.held |= {A: framed(1), B: framed(2)}
    snapshots = world.snapshots()
    world.gate.clear()
    asking = [asyncio.ensure_future(snapshots.ask(A))]
    await asyncio.sleep(0.01)
    asking += [asyncio.ensure_future(snapshots.ask(key)) for key in (A, B, C, B)]
    await asyncio.sleep(0.01)
    world.gate.set()
    entries = await asyncio.gather(*asking)
    assert [link_in(entry).link.link_id for entry in entries] == [1, 1, 2, 0, 2]
    assert world.asked == [[A], [B, C]]


async def test_it_forgets_an_unknown_slug_soon(world: World) -> None:
    snapshots = world.snapshots()
    assert link_in(await snapshots.ask(A)).link.is_tombstone
    held = snapshots.held(A)
    assert held is not None and held.framed is None
    world.now += UNKNOWN_S + 1
    assert snapshots.held(A) is None
    world.answers = False
    with pytest.raises(Unavailable):  # not "unknown" on the word of an old answer
        await snapshots.ask(A)


async def test_it_serves_stale_entries_while_redis_is_away_and_asks_again_after(world: World) -> None:
    world.held[A] = framed(1)
    snapshots = world.snapshots()
    await snapshots.ask(A)
    snapshots.mark_stale(A)
    world.held[A] = framed(2, revision=2)
    world.answers = False
    assert link_in(await snapshots.ask(A)).link.link_id == 1
    assert world.breaker.failing
    asked = len(world.asked)
    held = snapshots.held(A)
    assert held is not None and link_in(held).link.link_id == 1
    with pytest.raises(Unavailable):
        await snapshots.ask(B)
    assert len(world.asked) == asked  # nobody waits for a server that has just failed
    world.answers = True
    world.now += 1
    assert link_in(await snapshots.ask(A)).link.link_id == 2


async def test_it_does_not_keep_visitors_waiting_for_a_hung_redis(world: World) -> None:
    world.held[A] = framed(1)
    snapshots = world.snapshots()
    await snapshots.ask(A)
    snapshots.mark_stale(A)
    world.gate.clear()
    assert link_in(await snapshots.ask(A)).link.link_id == 1
    with pytest.raises(Unavailable):
        await snapshots.ask(B)
    assert world.breaker.failing


async def test_it_doubts_a_reply_that_a_change_overtook(world: World) -> None:
    world.held[A] = framed(1)
    snapshots = world.snapshots()
    world.gate.clear()
    asking = asyncio.ensure_future(snapshots.ask(A))
    await asyncio.sleep(0.01)
    world.held[A] = framed(2, revision=2)
    snapshots.mark_stale(A)
    world.gate.set()
    await asking
    assert snapshots.held(A) is None
    assert link_in(await snapshots.ask(A)).link.link_id == 2


@pytest.mark.parametrize("when", ["before", "while a round trip travels"])
async def test_it_doubts_everything_after_missed_announcements(world: World, when: str) -> None:
    world.held[A] = framed(1)
    snapshots = world.snapshots()
    if when == "before":
        await snapshots.ask(A)
        snapshots.mark_all_stale()
    else:
        world.gate.clear()
        asking = asyncio.ensure_future(snapshots.ask(A))
        await asyncio.sleep(0.01)
        snapshots.mark_all_stale()
        world.gate.set()
        await asking
    assert snapshots.held(A) is None


async def test_it_trusts_entries_for_a_moment_only_while_no_announcement_is_heard(world: World) -> None:
    world.held[A] = framed(1)
    snapshots = world.snapshots()
    snapshots.listening = False
    await snapshots.ask(A)
    assert snapshots.held(A) is not None
    world.now += UNHEARD_S + 0.1
    assert snapshots.held(A) is None


def _odd(**fields: Any) -> bytes:
    link = LinkSnapshot(link_id=1, **{"url": "https://a.example/", **fields})
    return link_snapshot.encode(link, revision=1)


def _variants(weight: int = 1, id: int = 1) -> tuple[Variant, ...]:
    return (Variant(id=id, url="https://a.example/", weight=weight), Variant(id=2, url="https://a.example/"))


@pytest.mark.parametrize(
    "damaged",
    [
        b"short",
        framed(1)[:-3],
        framed(1).replace(b"a.ex", b"\xff.ex"),
        _odd(url="https://a.example/\u4f8b"),
        _odd(url="https://a.example/\u4f8b", state="paused"),
        _odd(split=_variants(weight=0)),
        _odd(split=_variants(id=-1)),
        _odd(rules=(Rule(id=1, split=_variants(weight=0)),)),
    ],
)
async def test_it_keeps_a_damaged_snapshot_from_harming_others(world: World, damaged: bytes) -> None:
    world.held |= {A: damaged, B: framed(2)}
    snapshots = world.snapshots()
    found = await asyncio.gather(snapshots.ask(A), snapshots.ask(B), return_exceptions=True)
    assert isinstance(found[0], Unavailable)
    assert not isinstance(found[1], BaseException) and link_in(found[1]).link.link_id == 2
    assert not world.breaker.failing


async def test_it_is_bounded_and_drops_what_was_not_used_for_longest(world: World) -> None:
    world.held |= {keys.link(1, str(number)): framed(number + 1) for number in range(10)}
    snapshots = world.snapshots(limit=5, unknown_limit=3)
    for number in range(5):
        await snapshots.ask(keys.link(1, str(number)))
    assert snapshots.held(keys.link(1, "0")) is not None
    await snapshots.ask(keys.link(1, "5"))
    assert snapshots.held(keys.link(1, "0")) is not None
    assert snapshots.held(keys.link(1, "1")) is None
    for number in range(100, 200):  # random slugs push out no link
        await snapshots.ask(keys.link(1, str(number)))
    assert snapshots.held(keys.link(1, "0")) is not None
    assert len(snapshots) == 8


async def test_it_answers_all_who_wait_even_from_a_full_cache(world: World) -> None:
    world.held |= {A: framed(1), B: framed(2), C: framed(3)}
    snapshots = world.snapshots(limit=1)
    entries = await asyncio.gather(*(snapshots.ask(key) for key in (A, B, C)))
    assert [link_in(entry).link.link_id for entry in entries] == [1, 2, 3]


async def test_it_reads_from_redis(publisher: Publisher, redis_url: str) -> None:
    publisher.link("sale", LinkSnapshot(link_id=7, url="https://a.example/"))
    client = make_client(redis_url)
    pipeline = Pipeline(client, patience=LIMIT_S)
    snapshots = Snapshots(read=reader(pipeline), breaker=Breaker("test"))
    try:
        assert link_in(await snapshots.ask(keys.link(1, "sale"))).link.link_id == 7
        with pytest.raises(Unavailable):  # not ready
            await snapshots.ask(keys.link(1, "other"))
        publisher.ready()
        assert link_in(await snapshots.ask(keys.link(1, "other"))).link.is_tombstone
    finally:
        pipeline.close()
        await client.aclose()


async def test_it_says_whether_entries_found_before_may_still_be_used(world: World) -> None:
    world.held |= {A: framed(1), B: framed(2), C: framed(3)}
    snapshots = world.snapshots(limit=2)
    first, second = await snapshots.ask(A), await snapshots.ask(B)
    assert snapshots.are_held(first, second)
    snapshots.mark_stale(B)
    assert not snapshots.are_held(first, second) and not snapshots.are_held(second, first)
    second = await snapshots.ask(B)
    assert snapshots.are_held(first, second)
    await snapshots.ask(C)  # pushes A out: nobody could say any more that it was changed
    assert not snapshots.are_held(first, second)
    third = await snapshots.ask(C)
    world.held.pop(C)
    snapshots.mark_stale(C)
    await snapshots.ask(C)
    assert not snapshots.are_held(second, third)
    second = await snapshots.ask(B)
    snapshots.mark_all_stale()
    assert not snapshots.are_held(second, second)
    second = await snapshots.ask(B)
    world.now += FRESH_S
    assert not snapshots.are_held(second, second)
