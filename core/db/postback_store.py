"""The inbox's rows: postbacks written down as they came, and read back to be judged."""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update

from core.contracts.postback_event import KINDS, LARGEST, PostbackEvent
from core.db.conversions import Postback
from core.db.queries import query
from core.db.texts import storable
from core.domain.attribution import time_of
from core.domain.conversions import NEW

_LONGEST = 2048


class PostbackRow(msgspec.Struct, frozen=True):
    """A postback of the inbox as it came, with what was made of it until now."""

    event: PostbackEvent
    verdict: str = NEW
    why: dict[str, Any] = {}
    attempts: int = 0
    conversion_id: int | None = None

    @property
    def id(self) -> uuid.UUID:
        return uuid.UUID(bytes=self.event.id)


class _Raw(msgspec.Struct):
    """A row for `store_postbacks.sql`; `body` travels as Base64."""

    id: uuid.UUID
    source_id: int | None
    kind: int
    method: str
    host: str
    query: str
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    ip: str | None
    user_agent: str
    referrer: str
    token_hint: str
    refused: str
    answered: int
    size: int


def store(connection: Connection, events: Sequence[PostbackEvent], *, now: datetime) -> int:
    """Write postbacks down as they came, once however often they are given, and count them in the books. Returns how
    many were new."""
    by_id = {event.id: event for event in events}
    rows = [_raw(by_id[key]) for key in sorted(by_id)]
    values = {"rows": msgspec.json.encode(rows).decode(), "now": now}
    fresh = [row.id for row in connection.execute(query("store_postbacks"), values)]
    came = Counter(_hour(uuid.UUID(bytes=event.id)) for event in events)
    stored = Counter(map(_hour, fresh))
    hours = sorted(came)
    books = {
        "hours": hours,
        "stored": [stored[hour] for hour in hours],
        "duplicate": [came[hour] - stored[hour] for hour in hours],
    }
    connection.execute(query("add_postback_books"), books)
    return len(fresh)


def lock_new(connection: Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Those of these postbacks that nobody has judged, locked until the transaction ends."""
    wanted = [uuid.UUID(bytes=one) for one in ids]
    found = select(Postback.id).where(Postback.id.in_(wanted), Postback.verdict == NEW)
    return {row.id.bytes for row in connection.execute(found.order_by(Postback.id).with_for_update())}


def lock_waiting(connection: Connection, *, now: datetime, most: int) -> list[PostbackRow]:
    """Postbacks that are to be looked at again, at most `most`, locked; those that another process has locked are left
    to it."""
    due = (
        select(Postback.__table__)
        .where(Postback.next_try <= now)
        .order_by(Postback.next_try)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return sorted((row_of(row) for row in connection.execute(due).mappings()), key=lambda row: row.event.id)


def postpone(connection: Connection, id_: uuid.UUID, *, until: datetime) -> None:
    """Look at a postback that waits no earlier than then."""
    connection.execute(update(Postback).where(Postback.id == id_).values(next_try=until))


def blank_addresses(connection: Connection, *, before: datetime, most: int) -> int:
    """Forget from which address and with which agent postbacks came that were received before then. Returns how many,
    at most `most`."""
    return connection.execute(query("blank_postbacks"), {"before": first_id(before), "most": most}).rowcount


def prune(connection: Connection, *, before: datetime, most: int) -> int:
    """Remove postbacks that were received before then. Returns how many, at most `most`."""
    old = select(Postback.id).where(Postback.id < first_id(before)).order_by(Postback.id).limit(most)
    return connection.execute(delete(Postback).where(Postback.id.in_(old))).rowcount


def first_id(at: datetime) -> uuid.UUID:
    """The least id (UUIDv7) of a time: what was received before has a lesser one."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def rows_of(connection: Connection, ids: Sequence[uuid.UUID], *, locked: bool = False) -> list[PostbackRow]:
    """The postbacks with these ids, oldest first; those that do not exist are left out. `locked` keeps others from
    judging them until the transaction ends, and must be asked for before `conversion_store.judge`."""
    found = select(Postback.__table__).where(Postback.id.in_(ids)).order_by(Postback.id)
    if locked:
        found = found.with_for_update()
    return [row_of(row) for row in connection.execute(found).mappings()]


def row_of(row: Any) -> PostbackRow:
    """From a mapping of the table's columns."""
    event = PostbackEvent(
        id=row["id"].bytes,
        source_id=row["source_id"] or 0,
        kind=KINDS[row["kind"]],
        method=row["method"],
        host=row["host"],
        query=row["query"],
        content_type=row["content_type"],
        body=bytes(row["body"]),
        headers=tuple((name, value) for name, value in row["headers"]),
        ip=str(row["ip"]) if row["ip"] is not None else "",
        user_agent=row["user_agent"],
        referrer=row["referrer"],
        token_hint=row["token_hint"],
        refused=row["refused"],
        status=row["answered"],
        size=row["size"],
    )
    return PostbackRow(event, row["verdict"], row["why"], row["attempts"], row["conversion_id"])


def _raw(event: PostbackEvent) -> _Raw:
    return _Raw(
        uuid.UUID(bytes=event.id),
        event.source_id or None,
        KINDS.index(event.kind),
        storable(event.method, 16),
        storable(event.host, 255),
        storable(event.query, LARGEST),
        storable(event.content_type, 255),
        event.body[:LARGEST],
        tuple((storable(name, 255), storable(value, _LONGEST)) for name, value in event.headers),
        _address(event.ip),
        storable(event.user_agent, _LONGEST),
        storable(event.referrer, _LONGEST),
        storable(event.token_hint, 64),
        storable(event.refused, 64),
        event.status,
        event.size,
    )


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _hour(id_: uuid.UUID) -> datetime:
    return time_of(id_).replace(minute=0, second=0, microsecond=0)
