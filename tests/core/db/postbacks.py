"""Sources, clicks and postbacks for tests, and how the inbox judges them."""

import itertools
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from core.contracts.postback_event import PostbackEvent
from core.db.clicks import store_batch
from core.db.conversion_store import Judgement, judge, load_sources
from core.db.conversions import ConversionSource
from core.db.postback_store import rows_of, store
from core.domain.sources import SourceSettings, stored
from tests.core.db.samples import NOW, click, click_id, new_store

FIELDS = {
    "click_id": ("subid", "clickid"),
    "transaction_id": ("tid",),
    "amount": ("payout",),
    "currency": ("currency",),
    "status": ("status",),
    "event": ("goal",),
    "customer_id": ("customer",),
    "coupon": ("coupon",),
    "cost": ("cost",),
    "payout": ("paid",),
    "time": ("time",),
}
STATUSES = {
    "lead": "pending",
    "sale": "approved",
    "trash": "rejected",
    "refund": "refunded",
    "rebill": "rebill",
    "hold": "ignore",
}
REPORT = "USD"
CLICKED = NOW - timedelta(hours=1)
CLICK = str(uuid.UUID(bytes=click_id(CLICKED, 7)))
_numbers = itertools.count(1)


def make_source(engine: Engine, name: str = "Shop", **settings: Any) -> int:
    """A source with the spellings of FIELDS and STATUSES. Its id."""
    given = {"fields": FIELDS, "statuses": STATUSES, "currency": "USD", **settings}
    with Session(engine) as session:
        source = ConversionSource(name=name, preset="plain", settings=stored(SourceSettings(**given)))
        session.add(source)
        session.commit()
        return source.id


def store_click(engine: Engine, *, at: datetime = CLICKED, tail: int = 7, **fields: Any) -> str:
    """A stored click. Its id."""
    made = click(at, tail=tail, **fields)
    store_batch(new_store(engine), [made], now=NOW)
    return str(uuid.UUID(bytes=made.id))


def postback(source_id: int, *, at: datetime = NOW, **parameters: Any) -> PostbackEvent:
    """A GET postback with these parameters, with a new id."""
    query = urlencode(parameters, doseq=True)
    return PostbackEvent(id=click_id(at, next(_numbers)), source_id=source_id, query=query, ip="203.0.113.9")


def take(engine: Engine, *events: PostbackEvent, now: datetime = NOW) -> list[Judgement]:
    """Store and judge postbacks, one batch."""
    with engine.begin() as connection:
        store(connection, events, now=now)
    return again(engine, *events, now=now)


def again(engine: Engine, *events: PostbackEvent, now: datetime = NOW) -> list[Judgement]:
    """Judge stored postbacks (again)."""
    with engine.begin() as connection:
        return judge_in(connection, [uuid.UUID(bytes=event.id) for event in events], now=now)


def judge_in(connection: Connection, ids: Sequence[uuid.UUID], *, now: datetime = NOW) -> list[Judgement]:
    rows = rows_of(connection, ids, locked=True)
    return judge(connection, rows, sources=load_sources(connection), now=now, report_currency=REPORT)


def verdicts(judgements: Sequence[Judgement]) -> list[tuple[str, str]]:
    """(verdict, code) of each."""
    return [(one.verdict, one.why["code"]) for one in judgements]


def conversions(engine: Engine) -> list[dict[str, Any]]:
    """Every conversion, by id."""
    with engine.connect() as connection:
        return [
            dict(row) for row in connection.execute(text("select * from conversions order by id")).mappings()
        ]


def history(engine: Engine) -> list[tuple[Any, ...]]:
    """(conversion, version, action, status) of every version."""
    asked = "select conversion_id, version, action, status from conversion_history order by 1, 2"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(asked))]
