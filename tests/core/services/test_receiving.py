"""Postbacks of uploads and of the API on their way to the workers."""

import random
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import keys, postback_event
from core.contracts.click_event import hour_name, unix_ms
from core.contracts.postback_event import UPLOAD, PostbackEvent
from core.services.receiving import lot_of, new_id, new_lot, receive, row_id

NOW = datetime(2026, 11, 27, 12, 0, 0, 250_000, tzinfo=UTC)


def test_each_is_an_entry_of_its_own_and_in_the_books(valkey: "redis.Redis") -> None:
    rng = random.Random(1)
    times = [NOW, NOW, NOW - timedelta(hours=1)] * 400
    events = [
        PostbackEvent(id=new_id(at, rng).bytes, kind=UPLOAD, query=f"n={n}") for n, at in enumerate(times)
    ]
    receive(valkey, events)
    entries = [fields[keys.EVENT_FIELD] for _, fields in valkey.xrange(keys.stream("conversion"))]
    assert [postback_event.decode(entry) for entry in entries] == events
    hours = Counter(hour_name(unix_ms(event.id)).encode() for event in events)
    assert {hour: int(count) for hour, count in valkey.hgetall(keys.RECEIVED).items()} == hours


def test_nothing_is_nothing(valkey: "redis.Redis") -> None:
    receive(valkey, [])
    assert not valkey.exists(keys.stream("conversion"), keys.RECEIVED)


def test_it_says_when_redis_is_away() -> None:
    away = redis.Redis(port=1)
    with pytest.raises(redis.RedisError):
        receive(away, [PostbackEvent(id=new_id(NOW, random.Random()).bytes)])


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2100, 1, 1)),
    st.randoms(use_true_random=False),
    st.integers(0, 10_000),
)
def test_the_rows_of_a_lot_follow_it(at: datetime, rng: random.Random, row: int) -> None:
    now = at.replace(tzinfo=UTC)
    lot = new_lot(now, rng)
    assert lot_of(lot) == lot
    one = row_id(lot, row)
    assert (one.version, one.variant) == (7, uuid.RFC_4122)
    assert unix_ms(one.bytes) == int(now.timestamp() * 1000)
    assert lot <= one < uuid.UUID(int=lot.int + 2**32)
    assert (lot_of(one) == one) is (row == 0)


def test_two_lots_are_never_one() -> None:
    rng = random.Random(2)
    assert len({new_lot(NOW, rng) for _ in range(5_000)}) == 5_000


def test_a_row_is_no_lot_and_neither_is_another_uuid() -> None:
    assert lot_of(uuid.UUID("0199b1c4-6f4e-7c0e-9b52-5f0c3a1d77e4")) is None
    assert lot_of(uuid.UUID("0199b1c4-6f4e-4c0e-9b52-5f0c00000000")) is None
