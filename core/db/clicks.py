"""The only writer of clicks, rollups and books: a batch goes in as a whole, once, however often it is delivered."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import astuple
from psycopg.errors import CheckViolation
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from core.contracts.click_event import OUTCOMES, REDIRECT, unix_ms
from core.db.arrays import bigints, booleans, dates, ints, smallints, texts, uuids
from core.db.dictionaries import DictionaryIds
from core.db.partitions import KnownPartitions, month_of
from core.db.queries import query
from core.db.rollups import Counts, Facts, add_to_rollups, count
from core.db.shards import ShardLease
from core.db.texts import storable
from core.db.tracking import DICTIONARIES
from core.domain.periods import QUARTER_MS, day_of_quarter

T = TypeVar("T")

CLOCK = "clock"
"""Why a click is refused whose time lies before 2024 or more than a day ahead."""

_EARLIEST_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
_AHEAD_MS = 24 * 3600 * 1000
_HOUR_MS = 3_600_000
_LONGEST_QUERY = 2048
_OUTCOMES = {outcome: place for place, outcome in enumerate(OUTCOMES)}
_REDIRECT = _OUTCOMES[REDIRECT]
_TEXT_KINDS = tuple(kind for kind in DICTIONARIES if kind != "bot_reason")


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

    `zone` is the organisation's: its days decide what is unique. `owner` is unique among all threads of all processes;
    `shards` as for ShardLease.
    """

    def __init__(self, engine: Engine, *, zone: ZoneInfo, owner: str, shards: int) -> None:
        self.engine = engine
        self.zone = zone
        self.dictionaries = DictionaryIds(engine)
        self.partitions = KnownPartitions(engine)
        self.lease = ShardLease(engine, owner=owner, shards=shards)


def store_batch(store: ClickStore, clicks: Sequence[PreparedClick], *, now: datetime) -> BatchResult:
    """Store a batch in one transaction and say what became of it; an error means that nothing was stored.

    A click whose id is stored already, or comes twice in the batch, changes nothing but the count of duplicates. One
    older than the oldest kept partition is counted as expired; one with an impossible time is refused.
    """
    possible = believable(now)
    refused = {index: CLOCK for index, click in enumerate(clicks) if unix_ms(click.id) not in possible}
    good = [click for index, click in enumerate(clicks) if index not in refused] if refused else clicks
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


def believable(now: datetime) -> range:
    """The times that the id of a click may say, in ms since 1970: from 2024 to a day after `now`."""
    return range(_EARLIEST_MS, int(now.timestamp() * 1000) + _AHEAD_MS + 1)


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
    batch = _Batch(store, clicks) if clicks else None
    shard = store.lease.shard()
    with store.engine.begin() as connection:
        fresh: Sequence[int] = ()
        if batch is not None:
            unique = batch.insert_visitors(connection)
            fresh = batch.insert_clicks(connection, unique)
            add_to_rollups(connection, batch.count(fresh, unique), shard=shard)
        stored = Counter(_hour(clicks[index].id) for index in fresh)
        _write_books(connection, received, stored, expired, shard=shard)
    return len(fresh), expired.total()


class _Batch:
    """A batch as columns, with ids for its texts."""

    def __init__(self, store: ClickStore, clicks: Sequence[PreparedClick]) -> None:
        self._size = len(clicks)
        rows = zip(*map(astuple, clicks), strict=True)
        self._columns: dict[str, Sequence[Any]] = dict(
            zip(PreparedClick.__struct_fields__, rows, strict=True)
        )
        self.ids: Sequence[bytes] = self._columns["id"]
        self._quarters = [unix_ms(click_id) // QUARTER_MS for click_id in self.ids]
        days = {quarter: day_of_quarter(quarter, store.zone).toordinal() for quarter in set(self._quarters)}
        self._days = [days[quarter] for quarter in self._quarters]
        self._outcomes = [_OUTCOMES[outcome] for outcome in self._columns["outcome"]]
        ids_of = store.dictionaries.ids_of
        self._bots = ids_of("bot_reason", self._columns["bot_reason"])
        self._doors = ids_of("bot_reason", self._columns["door_bot"])
        self._texts = {kind: ids_of(kind, self._columns[kind]) for kind in _TEXT_KINDS}

    def insert_visitors(self, connection: Connection) -> set[bytes]:
        """Ids of the clicks that are the first of their visitor on their link that day.

        Before the clicks, because they carry the answer; in the order of the key, so that workers that hold the same
        visitors wait for one another instead of locking each other out.
        """
        first: dict[tuple[int, int, int], bytes] = {}
        facts = (self._days, self._columns["link_id"], self._columns["visitor"], self._bots, self._outcomes)
        for day, link, visitor, bot, outcome, click_id in zip(*facts, self.ids, strict=True):
            if visitor and not bot and outcome == _REDIRECT:
                first.setdefault((day, link, visitor), click_id)
        if not first:
            return set()
        keys = sorted(first)
        days, links, visitors = zip(*keys, strict=True)
        values = {
            "days": dates(days),
            "links": bigints(links),
            "visitors": bigints(visitors),
            "ids": uuids([first[key] for key in keys]),
        }
        return set(_ids(connection.scalar(query("store_visitors"), values)))

    def insert_clicks(self, connection: Connection, unique: Collection[bytes]) -> Sequence[int]:
        """Insert what is new; the indexes of what was."""
        columns = self._columns
        values: dict[str, object] = {
            name: bigints(columns[name]) for name in ("link_id", "revision", "visitor")
        }
        values |= {kind: ints(ids) for kind, ids in self._texts.items()}
        values |= {
            "id": uuids(self.ids),
            "outcome": smallints(self._outcomes),
            "is_unique": booleans([click_id in unique for click_id in self.ids]),
            "is_head": booleans(columns["is_head"]),
            "bot_reason": ints(self._bots),
            "door_bot": ints(self._doors),
            "ip": texts([ip or None for ip in columns["ip"]]),
            "query": texts([storable(text, _LONGEST_QUERY) or None for text in columns["query"]]),
        }
        found = _ids(connection.scalar(query("store_clicks"), values))
        if len(found) == self._size:
            return range(self._size)
        fresh = set(found)
        return [index for index, click_id in enumerate(self.ids) if click_id in fresh]

    def count(self, fresh: Sequence[int], unique: Collection[bytes]) -> Counts:
        """Counts of the rows that were new."""

        def new(column: Sequence[T]) -> Sequence[T]:
            return column if len(fresh) == self._size else [column[index] for index in fresh]

        facts = Facts(
            links=new(self._columns["link_id"]),
            quarters=new(self._quarters),
            days=new(self._days),
            outcomes=new(self._outcomes),
            bots=new(self._bots),
            uniques=new([click_id in unique for click_id in self.ids]),
            values={kind: new(ids) for kind, ids in {**self._texts, "bot_reason": self._bots}.items()},
        )
        return count(facts)


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
