"""The inbox of postbacks: what lies in it, found by click id, order or any value, and one with all around it.

Every question is bounded: rows come by keyset, the newest first, and counting ends at COUNTED.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, literal, select, text, union
from sqlalchemy.orm import Session

from core.contracts.click_event import unix_ms
from core.db.conversions import Conversion, ConversionSource, Postback, Webhook, WebhookDelivery
from core.db.models import Link
from core.db.tracking import Click
from core.domain.conversions import VERDICTS

COUNTED = 10_000
"""Postbacks of one verdict are counted so far; of more only this is said."""

NO_SOURCE = 0
"""The source of postbacks whose token belongs to nobody."""

TIME_LIMIT = "5s"

MOST_SENT = 10

_SHORTEST_PREFIX = 8
_MOST_WORDS = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR = 2024
_LAST_ID = UUID("03ffffff-ffff-ffff-ffff-ffffffffffff")  # of the year 2109
_HEX = re.compile(r"[0-9a-f]+")
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
class InboxFilter:
    """Which postbacks; what is empty filters nothing. `source_id` NO_SOURCE are those of no source, `since` is
    inclusive and `until` exclusive (aware), `before` is the last id of the page before."""

    search: str = ""
    verdicts: tuple[str, ...] = ()
    source_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    least: Decimal | None = None
    most: Decimal | None = None
    before: UUID | None = None
    size: int = 50


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
    _limit_time(session)
    newest = Postback.id.desc()
    ids = _matching(filter, most=filter.size + 1).subquery()
    query = (
        select(*_ROW)
        .outerjoin(ConversionSource, ConversionSource.id == Postback.source_id)
        .where(Postback.id.in_(select(ids.c.id)))
    )
    rows = [
        InboxRow(**{**row, "source": row["source"] or ""})
        for row in session.execute(query.order_by(newest).limit(filter.size + 1)).mappings()
    ]
    return InboxPage(rows[: filter.size], more=len(rows) > filter.size)


def count_postbacks(session: Session, filter: InboxFilter) -> dict[str, int]:
    """How many match by verdict, whatever `verdicts` and `before` say; each up to COUNTED, and COUNTED + 1 for more."""
    _limit_time(session)
    most = COUNTED + 1
    if _readable(filter.search):
        found = _matching(_without_place(filter), most=most).subquery()
        each = session.execute(
            select(Postback.verdict, func.count())
            .where(Postback.id.in_(select(found.c.id)))
            .group_by(Postback.verdict)
        )
        counts: dict[str, int] = {verdict: int(count) for verdict, count in each}
        return {verdict: counts.get(verdict, 0) for verdict in VERDICTS}
    wanted = _wanted(_without_place(filter))
    counted = [
        select(func.count())
        .select_from(select(literal(1)).where(*wanted, Postback.verdict == verdict).limit(most).subquery())
        .scalar_subquery()
        .label(verdict)
        for verdict in VERDICTS
    ]
    return dict(session.execute(select(*counted)).mappings().one())


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
    _limit_time(session)
    words = _readable(search)
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


def id_span(words: str) -> tuple[UUID, UUID] | None:
    """The least and the greatest id that begin as typed: a whole UUID in any of its spellings, or its first eight or
    more characters. None where the words are none."""
    digits = words.strip().lower().removeprefix("urn:uuid:").strip("{}").replace("-", "")
    if not _SHORTEST_PREFIX <= len(digits) <= 32 or not _HEX.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def time_of(identity: UUID) -> datetime:
    """The time in a UUIDv7, in UTC."""
    return datetime.fromtimestamp(unix_ms(identity.bytes) / 1000, UTC)


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


def _matching(filter: InboxFilter, *, most: int) -> Select[Any]:
    """Ids that match, the newest `most` of them. Each way to find one is asked for itself, by an index of its own:
    joined by OR the planner reads them all."""
    wanted = _wanted(filter)
    newest = Postback.id.desc()
    ways = list(_ways(_readable(filter.search)))
    if not ways:
        return select(Postback.id).where(*wanted).order_by(newest).limit(most)
    parts = [select(Postback.id).where(*wanted, way).order_by(newest).limit(most).subquery() for way in ways]
    together = union(*(select(part.c.id) for part in parts)).subquery()
    return select(together.c.id).order_by(together.c.id.desc()).limit(most)


def _wanted(filter: InboxFilter) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if filter.verdicts:
        one = len(filter.verdicts) == 1
        wanted.append(
            Postback.verdict == filter.verdicts[0] if one else Postback.verdict.in_(filter.verdicts)
        )
    if filter.source_id is not None:
        is_it = Postback.source_id == filter.source_id
        wanted.append(Postback.source_id.is_(None) if filter.source_id == NO_SOURCE else is_it)
    if filter.since is not None:
        wanted.append(Postback.id >= first_id(filter.since))
    if filter.until is not None:
        wanted.append(Postback.id < first_id(filter.until))
    if filter.before is not None:
        wanted.append(Postback.id < filter.before)
    if filter.least is not None:
        wanted.append(Postback.amount >= filter.least)
    if filter.most is not None:
        wanted.append(Postback.amount <= filter.most)
    return wanted


def _ways(words: str) -> Iterator[ColumnElement[bool]]:
    """What makes a postback an answer: its value, its click id or its own id as far as typed, or each word a value."""
    if not words:
        return
    yield Postback.terms.contains([words.lower()])
    span = id_span(words)
    if span is not None:
        yield Postback.click_id.between(*span)
        yield Postback.id.between(*span)
    parts = words.lower().split()[:_MOST_WORDS]
    if len(parts) > 1:
        yield Postback.terms.contains(parts)


def _readable(words: str) -> str:
    """Without what PostgreSQL can not be asked about: NUL and lone surrogates."""
    return words.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8").strip()[:500]


def _without_place(filter: InboxFilter) -> InboxFilter:
    return InboxFilter(
        search=filter.search,
        source_id=filter.source_id,
        since=filter.since,
        until=filter.until,
        least=filter.least,
        most=filter.most,
    )


def first_id(instant: datetime) -> UUID:
    """The smallest id that a postback at or after `instant` can have."""
    ms = -((_EPOCH - instant) // timedelta(milliseconds=1))
    return UUID(int=ms << 80)


def _clicks() -> Select[Any, Any, Any, Any]:
    title = func.coalesce(func.nullif(Link.title, ""), Link.slug, "")
    return select(Click.id, Click.link_id, title.label("title"), Click.bot_reason).outerjoin(
        Link, Link.id == Click.link_id
    )


def _click(row: Any) -> ClickSeen:
    return ClickSeen(
        id=row["id"], link_id=row["link_id"], title=row["title"], by_person=row["bot_reason"] == 0
    )


def _limit_time(session: Session) -> None:
    session.execute(text("select set_config('statement_timeout', :limit, true)"), {"limit": TIME_LIMIT})
