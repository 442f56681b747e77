"""Queues with entries in every state, put there by the workers' own storage."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import redis

from core.contracts import click_event, keys, task_message
from core.contracts.click_event import ClickEvent
from core.contracts.task_message import TaskMessage
from tasks.letters import FAILED, dead_letter
from tasks.streams import StreamStorage, make_client, now_ms

Bury = Callable[..., list[str]]


@pytest.fixture
def storage(redis_url: str, valkey: redis.Redis) -> Iterator[StreamStorage]:
    """The workers' side of the queues, empty."""
    client = make_client(redis_url)
    yield StreamStorage("rastro", client=client, lease=15)
    client.close()


@pytest.fixture
def bury(storage: StreamStorage) -> Bury:
    """`bury("track", click(), click(link_id=9))`: dead letters of these payloads and of all that waits;
    gives their ids, oldest first."""

    def make(queue: str, *payloads: bytes, error: Exception | None = None, reason: str = FAILED) -> list[str]:
        if payloads:
            storage.add(queue, list(payloads))
        (lot,) = storage.take([queue], "host-1-abc.0.ff", most=1000)
        problem = error or ValueError("value too long for type character varying(2048)")
        for place, entry in enumerate(lot.ids):
            message = (
                None if keys.field_of(queue) == keys.EVENT_FIELD else task_message.decode(lot.payloads[place])
            )
            letter = dead_letter(lot, place, reason=reason, now_ms=now_ms(), error=problem, message=message)
            assert storage.bury(lot, entry, letter=letter, now_ms=now_ms())
        storage.drop(lot)
        found = storage.client.xrevrange(keys.dead(queue), count=len(lot))
        return [letter_id.decode() for letter_id, _ in reversed(found)]

    return make


def click(*, at: datetime | None = None, **fields: object) -> bytes:
    """An encoded click; `at` is its time, now without it."""
    ms = int((at or datetime.now(UTC)).timestamp() * 1000)
    number = ms << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (1 << 62) - 1
    event = {
        "id": number.to_bytes(16, "big"),
        "link_id": 7,
        "host": "go.example.com",
        "path": "/sale",
        **fields,
    }
    return click_event.encode(ClickEvent(**event))  # type: ignore[arg-type]


def task(name: str, *args: int | str, id: str = "7") -> bytes:
    """An encoded task."""
    return task_message.encode(TaskMessage(id=id, task=name, args=args))
