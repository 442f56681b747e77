"""How the tracker speaks to Redis, and how it stops speaking."""

import asyncio

import pytest
import redis

from tracker_quart.contact import end, make_client


@pytest.mark.parametrize("steps", range(12))
async def test_it_ends_a_task_wherever_in_a_call_it_is(
    valkey: "redis.Redis[bytes]", redis_url: str, steps: int
) -> None:
    """Cancelled while it sends, a task may not notice."""
    client = make_client(redis_url)
    await client.ping()

    async def forever() -> None:
        while True:
            await client.eval("return #ARGV", 0, *[b"x" * 100] * 500)

    task = asyncio.create_task(forever())
    for _ in range(steps):
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await end(task)
    assert task.cancelled()
    await client.aclose()
