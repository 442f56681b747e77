"""Postbacks that did not come over the tracker: uploads and those of the API, on their way to the same workers."""

import random
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files

from redis import Redis

from core.contracts import keys, postback_event
from core.contracts.click_event import hour_name, unix_ms
from core.contracts.postback_event import PostbackEvent

_AT_ONCE = 500
_ROW_BITS = 32


def receive(redis: Redis, events: Sequence[PostbackEvent]) -> None:
    """Put postbacks into the queue `conversion`, and count them in the books as received.

    They are in the inbox a moment later. Sending the same ids again does no harm. Raises RedisError; then some of them
    may be in, all of those before others.
    """
    script = redis.register_script(_script())
    for start in range(0, len(events), _AT_ONCE):
        lot = events[start : start + _AT_ONCE]
        hours = Counter(hour_name(unix_ms(event.id)) for event in lot)
        words: list[bytes | str | int] = [len(hours)]
        for hour, count in hours.items():
            words += (hour, count)
        words += [postback_event.encode(event) for event in lot]
        script(keys=[keys.stream("conversion"), keys.RECEIVED], args=words)


def new_id(now: datetime, rng: random.Random) -> uuid.UUID:
    """A UUIDv7 of the time `now`, as clicks and postbacks have."""
    ms = int(now.timestamp() * 1000)
    return uuid.UUID(int=ms << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62))


def new_lot(now: datetime, rng: random.Random) -> uuid.UUID:
    """The id of a lot of rows that are sent together: its rows have the ids that follow it (`row_id`)."""
    return uuid.UUID(int=new_id(now, rng).int >> _ROW_BITS << _ROW_BITS)


def row_id(lot: uuid.UUID, row: int) -> uuid.UUID:
    """The id of a row (from 0) of a lot: the same each time, so that a lot that is sent twice is stored once."""
    return uuid.UUID(int=lot.int + row)


def lot_of(identity: uuid.UUID) -> uuid.UUID | None:
    """`identity` where it can be the id of a lot, else None."""
    is_lot = identity.version == 7 and not identity.int & ((1 << _ROW_BITS) - 1)
    return identity if is_lot else None


@cache
def _script() -> str:
    """As the tracker commits clicks: entries and books in one step."""
    return files("core.contracts").joinpath("commit_clicks.lua").read_text(encoding="utf-8")
