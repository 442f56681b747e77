"""Find conversions: search, filters, order, pages, and what all that match come to. Fast at a million of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, or_, select, text, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.db.conversions import Conversion, ConversionSource
from core.db.models import Campaign, Link, LinkVariant
from core.db.texts import storable
from core.domain.conversions import COUNTING
from core.services.link_choices import MOST_CHOICES, Choice
from core.services.link_saving import loaded

Sort = Literal["at", "amount"]
SORTS: tuple[Sort, ...] = ("at", "amount")
TIME_LIMIT = "5s"
_RECENT = 5_000
_LONGEST = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_AMOUNT: ColumnElement[Any] = func.coalesce(Conversion.report_revenue, 0)


@dataclass(frozen=True, slots=True)
class ConversionFilter:
    """Which conversions, in which order, from where on. Empty values filter nothing. `start` is inclusive, `end` not;
    `late` and `rated` None mean both; `after` is the `next` of the page before. By amount, those without a rate come
    as zero."""

    search: str = ""
    link_id: int | None = None
    campaign_id: int | None = None
    source_id: int | None = None
    status: str = ""
    event: str = ""
    start: datetime | None = None
    end: datetime | None = None
    attributed_by: str = ""
    late: bool | None = None
    rated: bool | None = None
    sort: Sort = "at"
    descending: bool = True
    after: str = ""
    size: int = 50


@dataclass(frozen=True, slots=True)
class ConversionRow:
    """A conversion with the name of its source, its link (None where there is none) and the name of its variant."""

    conversion: Conversion
    source: str
    link: Link | None
    variant: str


@dataclass(frozen=True, slots=True)
class ConversionPage:
    """A page, and where the next one begins ("" at the end)."""

    rows: list[ConversionRow]
    next: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What the conversions of a filter come to, in the reporting currency. Money is of those that count: pending or
    approved, in time, and with a known rate. The others are told by why they are left out, each for one reason: not
    approved (`refused`), too late, without a rate."""

    found: int
    counted: int
    refused: int
    late: int
    unrated: int
    revenue: Decimal
    payout: Decimal
    cost: Decimal

    @property
    def profit(self) -> Decimal:
        return self.revenue - self.payout - self.cost


@dataclass(frozen=True, slots=True)
class ConversionChoices:
    """By what conversions can be told apart: sources, campaigns, and the events of those that came lately."""

    sources: list[Choice]
    campaigns: list[Choice]
    events: list[str]


def find_conversions(session: Session, *, filter: ConversionFilter) -> ConversionPage:
    """Conversions that match, one page of them. A pasted click id finds those of that click; else the beginning of a
    transaction id, in any case, or a whole customer id."""
    _limit_time(session)
    size = max(filter.size, 1)
    query = (
        select(Conversion).where(*_wanted(filter), *_after(filter)).order_by(*_order(filter)).limit(size + 1)
    )
    found = list(session.scalars(query))
    more = found[size:]
    rows = _with_names(session, found[:size])
    return ConversionPage(rows, _cursor(rows[-1].conversion, filter.sort) if more else "")


def every_conversion(
    session: Session, *, filter: ConversionFilter, lot: int = 1_000
) -> Iterator[list[ConversionRow]]:
    """All that match, in lots, each read by a statement of its own: an export holds no snapshot for minutes."""
    after = ""
    while True:
        page = find_conversions(session, filter=replace(filter, after=after, size=lot))
        session.commit()  # nothing was written; a rollback would have every row read again
        if page.rows:
            yield page.rows
        if not page.next:
            return
        after = page.next


def total_conversions(session: Session, *, filter: ConversionFilter) -> Totals:
    """What all that match come to."""
    _limit_time(session)
    in_time = Conversion.is_late.is_(False)
    good = Conversion.status.in_(COUNTING)
    counted = and_(good, in_time, Conversion.report_revenue.is_not(None))

    def summed(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.coalesce(func.sum(case((counted, column))), 0)

    row = session.execute(
        select(
            func.count(),
            func.count().filter(counted),
            func.count().filter(~good),
            func.count().filter(good, ~in_time),
            func.count().filter(good, in_time, Conversion.report_revenue.is_(None)),
            summed(Conversion.report_revenue.expression),
            summed(Conversion.report_payout.expression),
            summed(Conversion.report_cost.expression),
        )
        .select_from(Conversion)
        .where(*_wanted(filter))
    ).one()
    return Totals(*row[:5], *(Decimal(value) for value in row[5:]))


def has_conversions(session: Session) -> bool:
    """Whether there is any conversion at all."""
    return session.scalar(select(Conversion.id).limit(1)) is not None


def conversion_choices(session: Session) -> ConversionChoices:
    """What filters offer now."""
    latest = select(Conversion.event).order_by(Conversion.at.desc()).limit(_RECENT).subquery()
    return ConversionChoices(
        sources=_choices(
            session, select(ConversionSource.id, ConversionSource.name).order_by(ConversionSource.name)
        ),
        campaigns=_choices(session, select(Campaign.id, Campaign.name).order_by(func.lower(Campaign.name))),
        events=list(session.scalars(select(latest.c.event).distinct().order_by(latest.c.event))),
    )


def _choices(session: Session, query: Select[int, str]) -> list[Choice]:
    return [Choice(id=number, name=name) for number, name in session.execute(query.limit(MOST_CHOICES))]


def _limit_time(session: Session) -> None:
    session.execute(text("select set_config('statement_timeout', :limit, true)"), {"limit": TIME_LIMIT})


def _wanted(filter: ConversionFilter) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    equals = (
        (Conversion.link_id, filter.link_id),
        (Conversion.source_id, filter.source_id),
        (Conversion.status, filter.status or None),
        (Conversion.event, filter.event or None),
        (Conversion.attributed_by, filter.attributed_by or None),
        (Conversion.is_late, filter.late),
    )
    wanted += [column == value for column, value in equals if value is not None]
    if filter.campaign_id is not None:
        wanted.append(Conversion.link_id.in_(select(Link.id).where(Link.campaign_id == filter.campaign_id)))
    if filter.start is not None:
        wanted.append(Conversion.at >= filter.start)
    if filter.end is not None:
        wanted.append(Conversion.at < filter.end)
    if filter.rated is not None:
        known = Conversion.report_revenue.is_not(None)
        wanted.append(known if filter.rated else ~known)
    if filter.search.strip():
        wanted.append(_found_by(filter.search.strip()))
    return wanted


def _found_by(search: str) -> ColumnElement[bool]:
    try:
        return Conversion.click_id == UUID(search)
    except ValueError:
        pass
    words = storable(search, _LONGEST)
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return or_(
        func.lower(Conversion.transaction_id).like(func.lower(f"{escaped}%")),
        and_(
            Conversion.customer_id == words, Conversion.customer_id != literal_column("''")
        ),  # the index is of those that have one
    )


def _order(filter: ConversionFilter) -> tuple[ColumnElement[Any], ...]:
    first = _AMOUNT if filter.sort == "amount" else Conversion.at.expression
    columns: tuple[ColumnElement[Any], ...] = (first, Conversion.id.expression)
    return tuple(column.desc() for column in columns) if filter.descending else columns


def _after(filter: ConversionFilter) -> list[ColumnElement[bool]]:
    read = _read_cursor(filter.after, filter.sort)
    if read is None:
        return []
    first = _AMOUNT if filter.sort == "amount" else Conversion.at.expression
    place, last = tuple_(first, Conversion.id), tuple_(*read)
    return [place < last if filter.descending else place > last]


def _cursor(last: Conversion, sort: Sort) -> str:
    """Where a page ended: amount or microseconds since 1970, and the id."""
    value = (last.report_revenue or 0) if sort == "amount" else (last.at - _EPOCH) // _MICROSECOND
    return f"{value}_{last.id}"


def _read_cursor(text: str, sort: Sort) -> tuple[Any, int] | None:
    value, _, identity = text[:100].partition("_")
    try:
        if not identity.isascii() or not 0 < int(identity) < 2**63:
            return None
        if sort == "at":
            return _EPOCH + int(value) * _MICROSECOND, int(identity)
        amount = Decimal(value)
        return (amount, int(identity)) if amount.is_finite() and abs(amount) < 10**14 else None
    except (ValueError, InvalidOperation, OverflowError):
        return None


def _with_names(session: Session, found: Sequence[Conversion]) -> list[ConversionRow]:
    links = {
        link.id: link
        for link in session.scalars(
            select(Link).where(Link.id.in_({row.link_id for row in found if row.link_id})).options(*loaded())
        )
    }
    sources = _names(session, ConversionSource.id, ConversionSource.name, {row.source_id for row in found})
    variants = _names(
        session, LinkVariant.id, LinkVariant.name, {row.variant for row in found if row.variant}
    )
    return [
        ConversionRow(
            conversion=row,
            source=sources.get(row.source_id, ""),
            link=links.get(row.link_id or 0),
            variant=variants.get(row.variant, str(row.variant or "")),
        )
        for row in found
    ]


def _names(
    session: Session,
    identity: InstrumentedAttribute[int],
    name: InstrumentedAttribute[str],
    ids: Collection[int],
) -> dict[int, str]:
    rows = session.execute(select(identity, name).where(identity.in_(ids)))
    return {number: text for number, text in rows}  # noqa: C416 (rows are no pairs to the type checker)
