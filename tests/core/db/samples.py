"""Clicks for tests, and the plain way to count them that rollups and reports are compared with."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text

from core.contracts.click_event import unix_ms
from core.db.clicks import ClickStore, PreparedClick

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
_owners = itertools.count()


def click_id(at: datetime, tail: int) -> bytes:
    """A UUIDv7 of a time; `tail` tells clicks of one millisecond apart."""
    ms = round(at.timestamp() * 1000)
    return ms.to_bytes(6, "big") + b"\x70\x00" + (tail | 1 << 63).to_bytes(8, "big")


def click(at: datetime = NOW, *, tail: int | None = None, **fields: Any) -> PreparedClick:
    """A person's click on link 1, unless the fields say otherwise."""
    number = random.getrandbits(62) if tail is None else tail
    return PreparedClick(id=click_id(at, number), **{"link_id": 1, "visitor": number % 1000 + 1, **fields})


def new_store(engine: Engine, *, zone: ZoneInfo = SAO_PAULO) -> ClickStore:
    """What a fresh worker thread has."""
    return ClickStore(engine, zone=zone, owner=f"test-{next(_owners)}", shards=16)


def drop_partitions(engine: Engine) -> None:
    """As if the database were new."""
    with engine.begin() as connection:
        names = connection.scalars(
            text("select inhrelid::regclass::text from pg_inherits where inhparent = 'clicks'::regclass")
        )
        for name in names.all():
            connection.execute(text(f"drop table {name}"))


def rows(engine: Engine, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """All rows of a question, as plain tuples."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql), values)]


def raw_clicks(engine: Engine) -> list[dict[str, Any]]:
    """Every stored click, its texts in words."""
    words = dict(rows(engine, "select id, value from dictionaries"))
    with engine.connect() as connection:
        found = connection.execute(text("select * from clicks order by id")).mappings().all()
    names = ("country", "device", "browser", "os", "language", "referrer_host", "bot_reason", "door_bot")
    names += ("source", "rule", "variant")
    utm = tuple(f"utm_{name}" for name in ("source", "medium", "campaign", "content", "term"))
    return [{**row, **{name: words.get(row[name], "") for name in (*names, *utm)}} for row in found]


def at_of(identity: UUID) -> datetime:
    return datetime.fromtimestamp(unix_ms(identity.bytes) / 1000, UTC)


def counted(found: Iterable[dict[str, Any]]) -> tuple[int, int, int, int]:
    """People's clicks, uniques, robots and others among raw clicks."""
    sums: Counter[str] = Counter()
    for row in found:
        kind = "others" if row["outcome"] else "bots" if row["bot_reason"] else "clicks"
        sums[kind] += 1
        sums["uniques"] += row["is_unique"]
    return sums["clicks"], sums["uniques"], sums["bots"], sums["others"]


def shuffled_batches(
    clicks: Sequence[PreparedClick], rng: random.Random, *, repeated: int = 0
) -> list[list[PreparedClick]]:
    """Clicks as they may arrive: in any order, in lots of any size, some of them again."""
    all_of_them = [*clicks, *rng.choices(clicks, k=repeated)] if clicks else []
    rng.shuffle(all_of_them)
    batches = []
    while all_of_them:
        size = rng.randint(1, max(1, len(all_of_them)))
        batches.append(all_of_them[:size])
        all_of_them = all_of_them[size:]
    return batches
