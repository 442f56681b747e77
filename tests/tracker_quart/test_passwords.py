"""Passwords judged: counted in Redis first, then checked one by one."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis

from core.contracts import keys
from tests.tracker_quart.conftest import HASH
from tracker_quart.contact import Breaker, make_client
from tracker_quart.passwords import (
    BUSY,
    MOST_WAITING,
    RIGHT,
    TOO_MANY,
    TRIES_OF_ALL,
    TRIES_OF_ONE,
    UNCHECKED,
    WRONG,
    Passwords,
    verify,
)


class World:
    """Passwords over the test Valkey, whose `now` and check are the test's."""

    def __init__(self, url: str) -> None:
        self.now = 1_764_230_400.0
        self.client = make_client(url)
        self.breaker = Breaker("test")
        self.passwords = Passwords(
            self.client,
            breaker=self.breaker,
            verify=lambda held, typed: self.check(held, typed),
            clock=lambda: self.now,
        )
        self.check: Callable[[str, str], bool] = lambda held, typed: held == typed

    async def judge(self, password: str, *, ip: str = "192.0.2.7", link_id: int = 7) -> str:
        return await self.passwords.judge(password, password_hash="right", link_id=link_id, ip=ip)


@pytest.fixture
async def world(valkey: "redis.Redis[Any]", redis_url: str) -> AsyncIterator[World]:
    world = World(redis_url)
    yield world
    world.passwords.close()
    await world.client.aclose()


def test_it_knows_the_right_password_by_its_hash() -> None:
    assert verify(HASH, "abacaxi")
    assert not verify(HASH, "manga")
    assert not verify("no hash at all", "abacaxi")
    assert not verify("", "")


async def test_it_counts_wrong_tries_alone(world: World, valkey: "redis.Redis[Any]") -> None:
    assert [await world.judge("right") for _ in range(TRIES_OF_ONE + 1)] == [RIGHT] * (TRIES_OF_ONE + 1)
    assert [await world.judge("x") for _ in range(TRIES_OF_ONE + 1)] == [WRONG] * TRIES_OF_ONE + [TOO_MANY]
    assert await world.judge("right") == TOO_MANY
    minute = int(world.now) // 60
    assert valkey.get(keys.password_tries(7, minute)) == b"%d" % TRIES_OF_ONE
    for name in valkey.keys("{rastro}:tries:*"):
        assert 0 < valkey.ttl(name) <= keys.PASSWORD_TRIES_TTL_S


async def test_it_lets_them_try_again_after_a_minute(world: World) -> None:
    for _ in range(TRIES_OF_ONE):
        await world.judge("x")
    assert await world.judge("right") == TOO_MANY
    world.now += 60
    assert await world.judge("right") == RIGHT


async def test_it_takes_a_network_for_one_visitor_and_a_link_for_itself(world: World) -> None:
    for number in range(TRIES_OF_ONE):
        await world.judge("x", ip=f"2001:db8::{number}")
    assert await world.judge("right", ip="2001:db8::ffff") == TOO_MANY
    assert await world.judge("right", ip="2001:db8:0:1::1") == RIGHT
    assert await world.judge("right", ip="2001:db8::1", link_id=8) == RIGHT


async def test_it_lets_no_crowd_guess_at_a_link(world: World) -> None:
    for number in range(TRIES_OF_ALL):
        assert await world.judge("x", ip=f"192.0.2.{number}") == WRONG
    assert await world.judge("right", ip="198.51.100.1") == TOO_MANY
    assert await world.judge("right", ip="198.51.100.1", link_id=8) == RIGHT


async def test_it_lets_no_single_address_use_up_a_link(world: World) -> None:
    for _ in range(TRIES_OF_ALL + 1):
        await world.judge("x", ip="192.0.2.1")
    assert await world.judge("right", ip="192.0.2.2") == RIGHT


@pytest.mark.parametrize("password", ["", "   ", "x" * 129])
async def test_it_does_not_count_what_can_not_be_right(
    world: World, valkey: "redis.Redis[Any]", password: str
) -> None:
    assert await world.judge(password) == WRONG
    assert valkey.dbsize() == 0


async def test_it_reads_accents_and_spaces_as_people_mean_them(world: World) -> None:
    world.check = lambda _, typed: typed == "caf\u00e9"
    assert await world.judge(" cafe\u0301\u00a0") == RIGHT


async def test_it_checks_nothing_that_was_not_counted(world: World, valkey: "redis.Redis[Any]") -> None:
    """Redis full or read-only answers as one that is away: without counting anybody could guess."""
    checked: list[str] = []
    world.check = lambda _, typed: bool(checked.append(typed))
    valkey.set(keys.password_tries(7, int(world.now) // 60, "192.0.2.7"), "no number")
    assert await world.judge("right") == UNCHECKED
    assert world.breaker.failing
    assert await world.judge("right", ip="192.0.2.8") == UNCHECKED  # nobody waits for the next failure
    assert checked == []


async def test_it_checks_one_at_a_time_and_keeps_few_waiting(
    world: World, valkey: "redis.Redis[Any]"
) -> None:
    gate, at_once, most = threading.Event(), 0, 0

    def slow(_: str, typed: str) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        assert gate.wait(30)
        at_once -= 1
        return typed == "right"

    world.check = slow
    waiting = [asyncio.create_task(world.judge("right", ip=f"192.0.2.{n}")) for n in range(MOST_WAITING + 1)]
    await _until(lambda: world.passwords._in_hand == MOST_WAITING + 1)
    assert await world.judge("right", ip="198.51.100.1") == BUSY
    assert valkey.get(keys.password_tries(7, int(world.now) // 60, "198.51.100.1")) == b"0"
    waiting[0].cancel()  # who leaves makes no room before the thread is done
    await asyncio.sleep(0)
    assert await world.judge("right", ip="198.51.100.1") == BUSY
    gate.set()
    assert [await one for one in waiting[1:]] == [RIGHT] * MOST_WAITING
    assert most == 1
    await _until(lambda: world.passwords._in_hand == 0)
    assert await world.judge("right", ip="198.51.100.1") == RIGHT


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)
