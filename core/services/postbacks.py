"""The inbox of postbacks: what lies in it, found by click id, order or any value, and one with all around it.

What matches is found in `core.db.inbox`; rows come by keyset, the newest first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from core.db.conversions import Conversion, ConversionSource, Postback, Webhook, WebhookDelivery
from core.db.inbox import (
    COUNTED,
    NO_SOURCE,
    Counts,
    InboxFilter,
    count,
    first_id,
    id_span,
    matching,
    readable,
    time_of,
)
from core.db.models import Link
from core.db.tracking import Click
from core.domain.conversions import NO_CLICK

__all__ = [
    "COUNTED",
    "NO_SOURCE",
    "Choice",
    "ClickSeen",
    "Counts",
    "Found",
    "InboxFilter",
    "InboxPage",
    "InboxRow",
    "Opened",
    "Sent",
    "count_lost",
    "count_postbacks",
    "days_before",
    "find_click",
    "find_postbacks",
    "first_id",
    "has_postbacks",
    "look_around",
    "open_postback",
    "readings_of",
    "source_choices",
    "time_of",
]

MOST_SENT = 10

_FIRST_YEAR = 2024
_LAST_ID = UUID("03ffffff-ffff-ffff-ffff-ffffffffffff")  # of the year 2109
_ROW = (
    Postback.id,
    Postback.source_id,
    ConversionSource.name.label("source"),
    Postback.verdict,
    Postback.why,
    Postback.refused,
    Postback.token_hint,
    Postback.click_id,
    Postback.transaction_id,
    Postback.event,
    Postback.status,
    Postback.amount,
    Postback.currency,
    Postback.conversion_id,
    Postback.answered,
    Postback.judged_at,
)


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A postback as a list shows it; `source` is its source's name, "" where it has none (any more)."""

    id: UUID
    source_id: int | None
    source: str
    verdict: str
    why: dict[str, Any]
    refused: str
    token_hint: str
    click_id: UUID | None
    transaction_id: str
    event: str
    status: str
    amount: Decimal | None
    currency: str
    conversion_id: int | None
    answered: int
    judged_at: datetime | None

    @property
    def at(self) -> datetime:
        """When it was received, in UTC."""
        return time_of(self.id)


@dataclass(frozen=True, slots=True)
class InboxPage:
    """Rows, the newest first, and whether older ones follow."""

    rows: list[InboxRow]
    more: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A source that postbacks can be filtered by."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class ClickSeen:
    """The click that a postback names: which link, and whether a person made it."""

    id: UUID
    link_id: int
    title: str
    by_person: bool

    @property
    def at(self) -> datetime:
        """When it was made, in UTC."""
        return time_of(self.id)


@dataclass(frozen=True, slots=True)
class Found:
    """What lies around a search that found no postback: a click with that id, a conversion with that order; whether the
    text can be a click id at all, and when such a click would have been made."""

    click: ClickSeen | None = None
    conversion_id: int | None = None
    is_click_id: bool = False
    made_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery that was sent on for the conversion of a postback: to which webhook, how it stands, what was answered
    when it was last tried."""

    id: int
    webhook_id: int
    name: str
    state: str
    response_status: int | None
    error: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Opened:
    """One postback with all around it; `sent` has the newest deliveries of its conversion, at most MOST_SENT."""

    postback: Postback
    source: ConversionSource | None
    click: ClickSeen | None
    conversion: Conversion | None
    sent: list[Sent]


def open_postback(session: Session, postback_id: UUID) -> Opened | None:
    """A postback with its source, click, conversion and deliveries; None where there is none (any more)."""
    postback = session.get(Postback, postback_id, populate_existing=True)
    if postback is None:
        return None
    conversion = session.get(Conversion, postback.conversion_id) if postback.conversion_id else None
    source = session.get(ConversionSource, postback.source_id) if postback.source_id else None
    click_id = conversion.click_id if conversion is not None and conversion.click_id else postback.click_id
    return Opened(
        postback=postback,
        source=source,
        click=find_click(session, click_id),
        conversion=conversion,
        sent=[] if conversion is None else _sent(session, conversion.id),
    )


def find_postbacks(session: Session, filter: InboxFilter) -> InboxPage:
    """Postbacks that match, the newest first."""
    ids = matching(session, filter, most=filter.size + 1)
    query = (
        select(*_ROW)
        .outerjoin(ConversionSource, ConversionSource.id == Postback.source_id)
        .where(Postback.id.in_(ids[: filter.size]))
        .order_by(Postback.id.desc())
    )
    rows = [InboxRow(**{**row, "source": row["source"] or ""}) for row in session.execute(query).mappings()]
    return InboxPage(rows, more=len(ids) > filter.size)


def count_postbacks(session: Session, filter: InboxFilter) -> Counts:
    """How many match, whatever `verdicts` and `before` say."""
    return count(session, filter)


def count_lost(session: Session, *, since: datetime, most: int) -> int:
    """How many postbacks since then name no click that there is; `most` for that many or more."""
    lost = select(Postback.id).where(Postback.verdict == NO_CLICK, Postback.id >= first_id(since)).limit(most)
    return session.scalar(select(func.count()).select_from(lost.subquery())) or 0


def has_postbacks(session: Session) -> bool:
    """Whether any postback ever came (and is still kept)."""
    return bool(session.scalar(select(exists(select(Postback.id)))))


def readings_of(
    session: Session, source_id: int, *, first: UUID | None = None, most: int = 20
) -> list[dict[str, Any]]:
    """How the newest postbacks of a source were read, as stored; that of the postback `first` before all others."""
    of_source = select(Postback.reading).where(Postback.source_id == source_id, Postback.refused == "")
    begin = list(session.scalars(of_source.where(Postback.id == first))) if first is not None else []
    return begin + list(session.scalars(of_source.order_by(Postback.id.desc()).limit(most)))


def days_before(now: datetime, days: int) -> datetime:
    """So many times 24 hours before."""
    return now - timedelta(days=days)


def source_choices(session: Session) -> list[Choice]:
    """Every source, by name."""
    rows = session.execute(
        select(ConversionSource.id, ConversionSource.name).order_by(func.lower(ConversionSource.name))
    )
    return [Choice(id, name) for id, name in rows]


def look_around(session: Session, search: str) -> Found:
    """What there is to a search that found no postback."""
    words = readable(search)
    span = id_span(words)
    click = None
    if span is not None:
        click = session.execute(_clicks().where(Click.id.between(*span)).limit(1)).mappings().one_or_none()
    conversion_id = session.scalar(
        select(Conversion.id)
        .where(func.lower(Conversion.transaction_id) == words.lower())
        .order_by(Conversion.id.desc())
        .limit(1)
    )
    made_at = time_of(span[0]) if span is not None and span[0] < _LAST_ID else None
    return Found(
        click=None if click is None else _click(click),
        conversion_id=conversion_id,
        is_click_id=span is not None,
        made_at=made_at if made_at is not None and made_at.year >= _FIRST_YEAR else None,
    )


def find_click(session: Session, click_id: UUID | None) -> ClickSeen | None:
    """The click of this id, with its link; None where none is stored."""
    if click_id is None:
        return None
    found = session.execute(_clicks().where(Click.id == click_id)).mappings().one_or_none()
    return None if found is None else _click(found)


def _sent(session: Session, conversion_id: int) -> list[Sent]:
    rows = session.execute(
        select(
            WebhookDelivery.id,
            WebhookDelivery.webhook_id,
            Webhook.name,
            WebhookDelivery.state,
            WebhookDelivery.response_status,
            WebhookDelivery.error,
            WebhookDelivery.ended_at,
        )
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.conversion_id == conversion_id)
        .order_by(WebhookDelivery.id.desc())
        .limit(MOST_SENT)
    )
    return [Sent(**row) for row in rows.mappings()]


def _clicks() -> Select[Any, Any, Any, Any]:
    title = func.coalesce(func.nullif(Link.title, ""), Link.slug, "")
    return select(Click.id, Click.link_id, title.label("title"), Click.bot_reason).outerjoin(
        Link, Link.id == Click.link_id
    )


def _click(row: Any) -> ClickSeen:
    return ClickSeen(
        id=row["id"], link_id=row["link_id"], title=row["title"], by_person=row["bot_reason"] == 0
    )
