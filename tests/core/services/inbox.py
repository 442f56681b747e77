"""Sources and postbacks for tests of the inbox, written as a worker leaves them."""

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.contracts.postback_event import KINDS, POSTBACK, PostbackEvent
from core.db.conversions import ConversionSource, Postback
from core.domain.conversions import CONVERSION, REFUSED
from core.domain.reading import read, terms_of, to_stored
from core.domain.sources import SourceSettings, stored
from tests.core.db.samples import click_id

SETTINGS = SourceSettings(
    fields={
        "click_id": ("subid",),
        "transaction_id": ("pedido",),
        "amount": ("valor",),
        "status": ("status",),
    },
    statuses={"aprovado": "approved", "pendente": "pending", "cancelado": "rejected"},
    currency="BRL",
)
_tails = itertools.count(1)


def source(db: Session, name: str = "Loja online", settings: SourceSettings = SETTINGS) -> ConversionSource:
    """A source that is committed."""
    made = ConversionSource(name=name, preset="plain", settings=stored(settings))
    db.add(made)
    db.commit()
    return made


def postback_id(at: datetime) -> UUID:
    """An id that was made at `at`, another one each time."""
    return UUID(bytes=click_id(at, (2 << 62) + next(_tails)))


def postback(
    db: Session,
    query: str,
    *,
    at: datetime,
    of: ConversionSource | None = None,
    verdict: str = CONVERSION,
    why: dict[str, Any] | None = None,
    settings: SourceSettings = SETTINGS,
    **fields: Any,
) -> UUID:
    """A postback of the inbox with this verdict, read by `settings` unless it was refused; committed."""
    refused = fields.get("refused", "")
    id = postback_id(at)
    event = PostbackEvent(
        id=id.bytes, query=query, body=fields.get("body", b""), content_type=fields.get("content_type", "")
    )
    reading = None if refused else read(event, settings, now=at)
    read_values: dict[str, Any] = {}
    if reading is not None:
        read_values = {
            "reading": to_stored(reading),
            "click_id": UUID(reading.click_id) if reading.click_id else None,
            "transaction_id": reading.transaction_id,
            "event": reading.event,
            "status": reading.status if reading.status != "ignore" else "",
            "amount": reading.amount,
            "currency": reading.currency,
            "terms": terms_of(reading),
        }
    db.add(
        Postback(
            **{
                "id": id,
                "source_id": of.id if of is not None else None,
                "kind": KINDS.index(POSTBACK),
                "method": "GET",
                "host": "t.aroeira.example",
                "query": query,
                "content_type": "",
                "body": b"",
                "ip": "203.0.113.77",
                "user_agent": "Lojista/2.4",
                "referrer": "",
                "token_hint": "pb_k3…4f2c",
                "answered": 200,
                "verdict": REFUSED if refused else verdict,
                "why": {"code": refused} if refused else why or {"code": "matched"},
                "judged_at": at + timedelta(seconds=1.3),
                "refused": "",
                **read_values,
                **fields,
            }
        )
    )
    db.commit()
    return id
