"""Sources and conversions for tests, as the worker would have written them."""

import itertools
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts.postback_event import KINDS, POSTBACK
from core.db.conversions import Conversion, ConversionHistory, ConversionSource, Postback
from core.domain import sources

AT = datetime(2026, 11, 27, 11, 30, tzinfo=UTC)
_numbers = itertools.count(1)


def add_source(db: Session, name: str = "Loja", **settings: Any) -> ConversionSource:
    """A source that calls things as Keitaro does, unless the settings say otherwise."""
    usual: dict[str, Any] = {
        "fields": {
            "click_id": ("subid",),
            "transaction_id": ("tid",),
            "amount": ("payout",),
            "status": ("status",),
        },
        "statuses": {"sale": "approved", "lead": "pending", "rejected": "rejected"},
        "currency": "BRL",
    }
    stored = sources.stored(sources.SourceSettings(**{**usual, **settings}))
    row = ConversionSource(name=name, preset="plain", settings=stored)
    db.add(row)
    db.commit()
    return row


def any_source(db: Session) -> ConversionSource:
    """The first source there is, made where there is none."""
    return db.scalars(select(ConversionSource).order_by(ConversionSource.id)).first() or add_source(db)


def new_click_id(at: datetime = AT) -> uuid.UUID:
    """A click id of a time."""
    ms = int(at.timestamp() * 1000)
    return uuid.UUID(int=ms << 80 | 7 << 76 | 2 << 62 | next(_numbers))


def add_conversion(db: Session, amount: str = "100", currency: str = "USD", **fields: Any) -> Conversion:
    """An approved sale that counts, with its first version. `rate` says what its currency is worth: None is unknown."""
    rate = fields.pop("rate", "1")
    source = fields.pop("source", None) or any_source(db)
    click_id = fields.setdefault("click_id", new_click_id())
    money = {name: Decimal(fields.pop(name, "0")) for name in ("payout", "cost")} | {
        "revenue": Decimal(amount)
    }
    values: dict[str, Any] = {
        "source_id": source.id,
        "ref_click": click_id or uuid.UUID(int=0),
        "transaction_id": f"AR-{next(_numbers)}",
        "status": "approved",
        "event": "sale",
        "at": AT,
        "attributed_by": "click" if click_id else "",
        "currency": currency,
        "rate": None if rate is None else Decimal(rate),
        **money,
        **{
            f"report_{name}": None if rate is None else value * Decimal(rate) for name, value in money.items()
        },
        **fields,
    }
    row = Conversion(**values)
    db.add(row)
    db.flush()
    db.add(
        ConversionHistory(
            conversion_id=row.id,
            version=1,
            at=row.at,
            actor=f"postback:{uuid.UUID(int=row.id)}",
            action="create",
            status=row.status,
            changed={"status": [None, row.status], "revenue": [None, str(row.revenue)]},
        )
    )
    db.commit()
    return row


def add_postback(db: Session, *, verdict: str = "conversion", at: datetime = AT, **fields: Any) -> Postback:
    """A postback of the inbox, judged already."""
    click_id = fields.get("click_id")
    values: dict[str, Any] = {
        "id": new_click_id(at),
        "kind": KINDS.index(POSTBACK),
        "method": "GET",
        "answered": 200,
        "verdict": verdict,
        "terms": [str(click_id)] if click_id else [],
        "body": b"",
        **dict.fromkeys(
            ("host", "query", "content_type", "user_agent", "referrer", "token_hint", "refused"), ""
        ),
        **fields,
    }
    row = Postback(**values)
    db.add(row)
    db.commit()
    return row
