"""Postbacks by the API: found as in the inbox, and one whole."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from admin_flask.api.blueprint import serve
from admin_flask.api.guard import caller
from admin_flask.api.postback_schemas import PostbackPageOut, PostbackQuery, PostbackWholeOut
from admin_flask.api.problems import Problem
from admin_flask.held import db, held, moment
from core.contracts.postback_event import KINDS
from core.db.conversions import Postback
from core.domain.periods import parse_period
from core.domain.permissions import may
from core.domain.reading import Line, from_stored
from core.observe import masked
from core.services import postbacks
from core.services.postbacks import InboxFilter, InboxRow, Opened


@serve("/postbacks", "postbacks.view", query=PostbackQuery, gives=PostbackPageOut)
def list_postbacks(query: dict[str, Any]) -> dict[str, Any]:
    """Postbacks that match, the newest first. Without `from` and `to`: all that are kept."""
    since = until = None
    if query["from_text"] or query["to_text"]:
        zone = held().settings.tz_default
        period = parse_period(query["from_text"], query["to_text"], now=moment(), zone=zone)
        since, until = period.start, period.end
    found = postbacks.find_postbacks(
        db.session(),
        InboxFilter(
            search=query["search"],
            verdicts=(query["verdict"],) if query["verdict"] else (),
            source_id=query.get("source_id"),
            since=since,
            until=until,
            before=query.get("cursor"),
            size=query["limit"],
        ),
    )
    return {
        "items": [_head(row, row.source) for row in found.rows],
        "next": str(found.rows[-1].id) if found.more else None,
    }


@serve("/postbacks/<uuid:postback_id>", "postbacks.view", gives=PostbackWholeOut)
def read_postback(postback_id: UUID) -> dict[str, Any]:
    """One postback, as it came and as it was read."""
    opened = postbacks.open_postback(db.session(), postback_id)
    if opened is None:
        raise Problem(404, f"There is no postback {postback_id}.")
    return _whole(opened)


def _head(row: InboxRow | Postback, source: str) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "at": postbacks.time_of(row.id).isoformat(),
        "source_id": row.source_id,
        "source": source,
        "verdict": row.verdict,
        "why": row.why,
        "click_id": str(row.click_id) if row.click_id is not None else None,
        "transaction_id": row.transaction_id,
        "event": row.event,
        "status": row.status,
        "amount": _money(row.amount, row.currency),
        "conversion_id": row.conversion_id,
        "answered": row.answered,
        "judged_at": row.judged_at.isoformat() if row.judged_at is not None else None,
    }


def _whole(opened: Opened) -> dict[str, Any]:
    row = opened.postback
    address = str(row.ip or "")
    return {
        **_head(row, opened.source.name if opened.source is not None else ""),
        "kind": KINDS[row.kind],
        "method": row.method,
        "query": row.query,
        "content_type": row.content_type,
        "body": row.body.decode("utf-8", "replace"),
        "address": address if may(caller().role, "addresses.view") else masked(address),
        "user_agent": row.user_agent,
        "refused": row.refused,
        "lines": [_line(line) for line in _lines(row)],
    }


def _money(amount: Decimal | None, currency: str) -> dict[str, str] | None:
    if amount is None:
        return None
    plain = amount.normalize()
    exponent = plain.as_tuple().exponent
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return {"amount": f"{plain:.{decimals}f}", "currency": currency}


def _lines(row: Postback) -> tuple[Line, ...]:
    try:
        reading = from_stored(row.reading)
    except msgspec.ValidationError:  # a newer release wrote it
        return ()
    return reading.lines if reading is not None else ()


def _line(line: Line) -> dict[str, str]:
    return {
        "name": line.name,
        "value": line.value,
        "read_as": line.read_as,
        "result": line.result,
        "note": line.note,
    }
