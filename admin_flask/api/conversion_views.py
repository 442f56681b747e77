"""Conversions by the API: list, read, set a status, send."""

from decimal import Decimal
from random import SystemRandom
from typing import Any
from urllib.parse import urlencode

from redis import RedisError
from sqlalchemy import select

from admin_flask.api.blueprint import CONVERSION_ID, serve
from admin_flask.api.conversion_schemas import (
    ConversionPageOut,
    ConversionQuery,
    ConversionTold,
    ReceivedOut,
    SentConversions,
    StatusChange,
)
from admin_flask.api.guard import caller
from admin_flask.api.problems import FieldProblem, Problem
from admin_flask.api.report_views import range_of
from admin_flask.api.shapes import money_json
from admin_flask.held import db, held, moment, read_report
from core.contracts.postback_event import API, LARGEST, PostbackEvent
from core.db.conversions import Conversion, ConversionSource
from core.domain.conversions import COUNTING
from core.domain.sources import FIELDS
from core.services import conversions as service
from core.services.conversion_list import ConversionFilter, find_conversions
from core.services.receiving import new_lot, receive, row_id


@serve("/conversions", "conversions.view", query=ConversionQuery, gives=ConversionPageOut)
def list_conversions(query: dict[str, Any]) -> dict[str, Any]:
    """Conversions that match, page by page, the newest first unless asked otherwise."""
    bounded = query["from_text"] or query["to_text"]
    period = range_of(query)[0] if bounded else None
    page = read_report(
        find_conversions,
        filter=ConversionFilter(
            search=query["q"],
            link_id=query.get("link_id"),
            campaign_id=query.get("campaign_id"),
            source_id=query.get("source_id"),
            status=query["status"],
            event=query["event"],
            start=period.start if period else None,
            end=period.end if period else None,
            attributed_by=query["attributed_by"],
            late=query["late"],
            rated=query["rated"],
            sort=query["sort"],
            descending=query["order"] == "desc",
            after=query["cursor"],
            size=query["limit"],
        ),
    )
    items = [conversion_json(row.conversion, row.source) for row in page.rows]
    return {"items": items, "next": page.next or None}


@serve(f"/conversions/{CONVERSION_ID}", "conversions.view", gives=ConversionTold)
def read_conversion(conversion_id: int) -> dict[str, Any]:
    """One conversion with its history."""
    return _told(conversion_id)


@serve(
    f"/conversions/{CONVERSION_ID}",
    "conversions.edit",
    method="PATCH",
    body=StatusChange,
    gives=ConversionTold,
)
def change_conversion(fields: dict[str, Any], conversion_id: int) -> dict[str, Any]:
    """Set the status; with `version`, only while nothing changed the conversion meanwhile (else 409). Needs a key of an
    admin or of support."""
    try:
        service.set_status(db.session(), conversion_id=conversion_id, actor=caller(), now=moment(), **fields)
    except service.ConversionNotFound as error:
        raise Problem(404, str(error)) from error
    except service.ConversionRefused as refused:
        raise FieldProblem(refused.field, refused.message) from refused
    except service.StaleConversion as stale:
        current = conversion_json(stale.current, stale.current.source.name)
        more = {"code": "stale_version", "editor": stale.editor, "current": current}
        raise Problem(409, str(stale), more=more) from stale
    return _told(conversion_id)


@serve("/conversions", "conversions.edit", method="POST", body=SentConversions, gives=ReceivedOut, status=202)
def send_conversions(fields: dict[str, Any]) -> dict[str, Any]:
    """Send conversions as a network's postbacks would tell them. Each is judged within a second or two; sending one
    again changes nothing. Needs a key of an admin or of support."""
    one, many = fields.get("conversion"), fields.get("conversions")
    if (one is None) == (many is None):
        raise FieldProblem("conversions", "Send either `conversion`, an object, or `conversions`, a list.")
    source_id = _source_id(fields["source"])
    lot = new_lot(moment(), SystemRandom())
    sent = [one] if one is not None else many or []
    events = [_event(source_id, row_id(lot, place).bytes, told, place) for place, told in enumerate(sent)]
    try:
        receive(held().redis, events)
    except RedisError as error:
        raise Problem(
            503,
            "The queue does not answer. Send it again in a moment: nothing is counted twice that has a transaction_id.",
            headers={"Retry-After": "5"},
        ) from error
    return {"postbacks": [str(row_id(lot, place)) for place in range(len(events))]}


def conversion_json(row: Conversion, source: str) -> dict[str, Any]:
    """A conversion with everything that is known of it."""
    report = held().settings.report_currency

    def counted(amount: Decimal | None) -> dict[str, str] | None:
        return None if amount is None else money_json(amount, report)

    return {
        "id": row.id,
        "source_id": row.source_id,
        "source": source,
        "transaction_id": row.transaction_id,
        "event": row.event,
        "status": row.status,
        "counts": row.status in COUNTING and not row.is_late,
        "rebill": row.is_rebill,
        "repeat": row.repeat,
        "late": row.is_late,
        "at": row.at.isoformat(),
        "link_id": row.link_id,
        "rule_id": row.rule or None,
        "variant_id": row.variant or None,
        "click_id": str(row.click_id) if row.click_id else None,
        "clicked_at": row.clicked_at.isoformat() if row.clicked_at else None,
        "attributed_by": row.attributed_by,
        "revenue": money_json(row.revenue, row.currency),
        "payout": money_json(row.payout, row.currency),
        "cost": money_json(row.cost, row.currency),
        "report_revenue": counted(row.report_revenue),
        "report_payout": counted(row.report_payout),
        "report_cost": counted(row.report_cost),
        "rate": None if row.rate is None else f"{row.rate.normalize():f}",
        "customer_id": row.customer_id,
        "coupon": row.coupon,
        "fields": row.fields,
        "version": row.version,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


def _told(conversion_id: int) -> dict[str, Any]:
    try:
        row = service.get_conversion(db.session(), conversion_id=conversion_id)
    except service.ConversionNotFound as error:
        raise Problem(404, str(error)) from error
    history = service.history_of(db.session(), conversion_id=conversion_id)
    versions = [
        {
            "version": it.version,
            "at": it.at.isoformat(),
            "actor": it.actor,
            "action": it.action,
            "status": it.status,
            "changed": it.changed,
            "reason": it.reason,
        }
        for it in history
    ]
    return {**conversion_json(row, row.source.name), "history": versions}


def _source_id(named: object) -> int:
    """The source with this id or name."""
    found = None
    if isinstance(named, int) and not isinstance(named, bool) and 0 < named < 2**63:
        found = db.session().scalar(select(ConversionSource.id).where(ConversionSource.id == named))
    elif isinstance(named, str) and "\0" not in named:
        found = db.session().scalar(select(ConversionSource.id).where(ConversionSource.name == named))
    if found is None:
        raise FieldProblem("source", "There is no source of this id or name.")
    return found


def _event(source_id: int, identity: bytes, told: dict[str, Any], place: int) -> PostbackEvent:
    pairs = [(name, told[name]) for name in FIELDS if told.get(name)]
    own = told.get("fields") or {}
    clash = next((name for name in own if name in FIELDS), None)
    if clash is not None:
        raise FieldProblem(
            f"conversions.{place}.fields.{clash}", "This name is one of the conversion's own fields."
        )
    query = urlencode([*pairs, *own.items()], errors="replace")
    if len(query) > LARGEST:
        raise FieldProblem(f"conversions.{place}", f"It is larger than {LARGEST:,} bytes.")
    return PostbackEvent(id=identity, source_id=source_id, kind=API, method="POST", query=query)
