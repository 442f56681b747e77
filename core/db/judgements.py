"""The verdicts on postbacks, as they are written down beside them."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection

from core.db.queries import query
from core.domain.reading import Reading, terms_of


class Judgement(msgspec.Struct, frozen=True):
    """What became of one postback, or would: `why` is {"code": one of domain.conversions.REASONS, ...facts}; `changed`
    says whether a conversion was made or changed by it; `before` and `after` are the conversion as it was and is
    ({"status", "revenue", "currency"}), empty where there was or is none."""

    postback_id: uuid.UUID
    verdict: str
    why: dict[str, Any]
    reading: Reading
    conversion_id: int | None = None
    changed: bool = False
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    attempts: int = 0
    next_try: datetime | None = None


def write_judgements(connection: Connection, judgements: Sequence[Judgement], *, now: datetime) -> None:
    """Write verdicts down beside their postbacks."""
    rows = [
        _Verdict(
            one.postback_id,
            one.verdict,
            one.why,
            one.reading,
            one.attempts,
            one.next_try,
            one.reading.click_id or None,
            one.reading.transaction_id,
            one.reading.event,
            one.reading.status,
            one.reading.amount,
            one.reading.currency,
            one.conversion_id,
            terms_of(one.reading),
        )
        for one in judgements
    ]
    if rows:
        connection.execute(query("set_verdicts"), {"rows": msgspec.json.encode(rows).decode(), "now": now})


class _Verdict(msgspec.Struct):
    """A row for `set_verdicts.sql`."""

    id: uuid.UUID
    verdict: str
    why: dict[str, Any]
    reading: Reading
    attempts: int
    next_try: datetime | None
    click_id: str | None
    transaction_id: str
    event: str
    status: str
    amount: Decimal | None
    currency: str
    conversion_id: int | None
    terms: list[str]
