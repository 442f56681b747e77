"""The only writer of clicks, rollups and books: a batch goes in as a whole, once, however often it is delivered."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from psycopg.errors import CheckViolation
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from core.contracts.click_event import OUTCOMES, REDIRECT, unix_ms
from core.db.dictionaries import DictionaryIds
from core.db.partitions import KnownPartitions, month_of
from core.db.queries import query
from core.db.rollups import Counts, add_to_rollups, array, count
from core.db.shards import ShardLease
from core.db.texts import storable
from core.db.tracking import DICTIONARIES
from core.domain.periods import QUARTER_MS, day_of_quarter

CLOCK = "clock"
"""Why a click is refused whose time lies before 2024 or more than a day ahead."""

_EARLIEST_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
_AHEAD_MS = 24 * 3600 * 1000
_HOUR_MS = 3_600_000
_LONGEST_QUERY = 2048
_TEXT_KINDS = tuple(kind for kind in DICTIONARIES if kind != "bot_reason")
_ARRAY_COLUMNS = ("link_id", "revision", "visitor")


class PreparedClick(msgspec.Struct, frozen=True, gc=False):
    """A click as it is to be stored: enriched, its texts in full. `ip` is a network's address or ""; `visitor` 0 means
    not known; `bot_reason` is the final verdict and `door_bot` the tracker's ("" for a person); `rule` and `variant`
    are ids as text, "" for none."""

    id: bytes
    link_id: int
    revision: int = 0
    outcome: str = REDIRECT
    bot_reason: str = ""
    door_bot: str = ""
    is_head: bool = False
    visitor: int = 0
    ip: str = ""
    query: str = ""
    user_agent: str = ""
    browser: str = ""
    os: str = ""
    device: str = ""
    language: str = ""
    country: str = ""
    referrer_host: str = ""
    referrer: str = ""
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_content: str = ""
    utm_term: str = ""
    rule: str = ""
    variant: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch. `refused` has the index of every click that must be a dead letter, and why."""

    stored: int
    duplicate: int
    expired: int
    refused: dict[int, str]


class ClickStore:
    """What one worker thread keeps between batches: ids of texts, known partitions, its shard of the rollups.

    `zone` is the organisation's: its days decide what is unique. `owner` is unique among all threads of all processes.
    """

    def __init__(self, engine: Engine, *, zone: ZoneInfo, owner: str) -> None:
        self.engine = engine
        self.zone = zone
        self.dictionaries = DictionaryIds(engine)
        self.partitions = KnownPartitions(engine)
        self.lease = ShardLease(engine, owner=owner)


def store_batch(store: ClickStore, clicks: Sequence[PreparedClick], *, now: datetime) -> BatchResult:
    """Store a batch in one transaction and say what became of it; an error means that nothing was stored.

    A click whose id is stored already, or comes twice in the batch, changes nothing but the count of duplicates. One
    older than the oldest kept partition is counted as expired; one with an impossible time is refused.
    """
    refused = {index: CLOCK for index, click in enumerate(clicks) if not is_believable(click.id, now=now)}
    good = [click for index, click in enumerate(clicks) if index not in refused]
    by_id = {click.id: click for click in good}
    chosen = [by_id[key] for key in sorted(by_id)]
    received = Counter(_hour(click.id) for click in good)
    try:
        stored, expired = _store(store, chosen, received)
    except IntegrityError as error:
        if not isinstance(error.orig, CheckViolation):
            raise
        store.partitions.forget()  # retention may have dropped one that this process still believed in
        stored, expired = _store(store, chosen, received)
    return BatchResult(stored, len(good) - stored - expired, expired, refused)


def is_believable(click_id: bytes, *, now: datetime) -> bool:
    """False for the id of a click whose time lies before 2024 or more than a day after `now`."""
    return _EARLIEST_MS <= unix_ms(click_id) <= now.timestamp() * 1000 + _AHEAD_MS


def _store(store: ClickStore, clicks: Sequence[PreparedClick], received: Counter[int]) -> tuple[int, int]:
    """Store clicks that are in the order of their ids; how many were stored, how many came too late."""
    if not clicks:
        return 0, 0
    months = {hour: month_of(_instant(hour)) for hour in received}
    removed = store.partitions.admit(set(months.values()))
    expired: Counter[int] = Counter()
    if removed:
        expired = Counter(_hour(click.id) for click in clicks if months[_hour(click.id)] in removed)
        clicks = [click for click in clicks if months[_hour(click.id)] not in removed]
    batch = _Batch(store, clicks)
    shard = store.lease.shard()
    with store.engine.begin() as connection:
        unique = batch.insert_visitors(connection)
        fresh = batch.insert_clicks(connection, unique)
        add_to_rollups(connection, batch.count(fresh, unique), shard=shard)
        stored = Counter(_hour(clicks[index].id) for index in fresh)
        _write_books(connection, received, stored, expired, shard=shard)
    return len(fresh), expired.total()


class _Batch:
    """A batch as columns, with ids for its texts."""

    def __init__(self, store: ClickStore, clicks: Sequence[PreparedClick]) -> None:
        self._clicks = clicks
        self._quarters = [unix_ms(click.id) // QUARTER_MS for click in clicks]
        self._days = [day_of_quarter(quarter, store.zone) for quarter in self._quarters]
        self._outcomes = [OUTCOMES.index(click.outcome) for click in clicks]
        ids_of = store.dictionaries.ids_of
        self._bots = ids_of("bot_reason", [click.bot_reason for click in clicks])
        self._doors = ids_of("bot_reason", [click.door_bot for click in clicks])
        self._texts = {kind: ids_of(kind, [getattr(click, kind) for click in clicks]) for kind in _TEXT_KINDS}

    def insert_visitors(self, connection: Connection) -> set[bytes]:
        """Ids of the clicks that are the first of their visitor on their link that day.

        Before the clicks, because they carry the answer; in the order of the key, so that workers that hold the same
        visitors wait for one another instead of locking each other out.
        """
        first: dict[tuple[date, int, int], bytes] = {}
        for click, day, bot in zip(self._clicks, self._days, self._bots, strict=True):
            if click.visitor and not bot and click.outcome == REDIRECT:
                first.setdefault((day, click.link_id, click.visitor), click.id)
        if not first:
            return set()
        keys = sorted(first)
        values = {
            "days": array(key[0] for key in keys),
            "links": array(key[1] for key in keys),
            "visitors": array(key[2] for key in keys),
            "ids": array(first[key].hex() for key in keys),
        }
        return set(_ids(connection.scalar(query("store_visitors"), values)))

    def insert_clicks(self, connection: Connection, unique: Collection[bytes]) -> Sequence[int]:
        """Insert what is new; the indexes of what was."""
        clicks = self._clicks
        if not clicks:
            return range(0)
        values: dict[str, Any] = {
            name: array(getattr(click, name) for click in clicks) for name in _ARRAY_COLUMNS
        }
        values |= {kind: array(ids) for kind, ids in self._texts.items()}
        values |= {
            "id": array(click.id.hex() for click in clicks),
            "outcome": array(self._outcomes),
            "is_unique": array("t" if click.id in unique else "f" for click in clicks),
            "is_head": array("t" if click.is_head else "f" for click in clicks),
            "bot_reason": array(self._bots),
            "door_bot": array(self._doors),
            "ip": array(click.ip or "NULL" for click in clicks),
            "query": [storable(click.query, _LONGEST_QUERY) or None for click in clicks],
        }
        found = _ids(connection.scalar(query("store_clicks"), values))
        if len(found) == len(clicks):
            return range(len(clicks))
        fresh = set(found)
        return [index for index, click in enumerate(clicks) if click.id in fresh]

    def count(self, fresh: Sequence[int], unique: Collection[bytes]) -> Counts:
        """Counts of the rows that were new."""
        clicks = self._clicks
        links = [click.link_id for click in clicks]
        firsts = [click.id in unique for click in clicks]
        rows = zip(links, self._quarters, self._days, self._outcomes, self._bots, firsts, strict=True)
        return count(rows, {**self._texts, "bot_reason": self._bots}, fresh)


def _write_books(
    connection: Connection, received: Counter[int], stored: Counter[int], expired: Counter[int], *, shard: int
) -> None:
    hours = sorted(received)
    values = {
        "shard": shard,
        "hours": [_instant(hour) for hour in hours],
        "stored": [stored[hour] for hour in hours],
        "expired": [expired[hour] for hour in hours],
        "duplicate": [received[hour] - stored[hour] - expired[hour] for hour in hours],
    }
    connection.execute(query("add_books"), values)


def _hour(click_id: bytes) -> int:
    """Hours since 1970 in a click's id."""
    return unix_ms(click_id) // _HOUR_MS


def _instant(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)


def _ids(joined: bytes | None) -> list[bytes]:
    """Ids that a statement returned as one value: 5,000 of them as rows would cost 10 ms."""
    data = bytes(joined or b"")
    return [data[start : start + 16] for start in range(0, len(data), 16)]
