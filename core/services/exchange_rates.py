"""Exchange rates as an administrator sees them: filled in by hand or by a feed, and which are missing."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from sqlalchemy import and_, delete, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.db.conversions import Conversion, ExchangeRate
from core.db.rates import fill_rates
from core.domain.source_checks import SourceRefused, check_currency
from core.services import audit
from core.services.actor import Actor

MOST_DAYS = 400

_EARLIEST = date(2000, 1, 1)
_LARGEST = Decimal(10) ** 11
_DECIMALS = 12


class RateNotFound(Exception):
    """There is no rate of this currency from that day on."""


@dataclass(frozen=True, slots=True)
class LatestRate:
    """The rate of a currency that holds now, and how many days have one of their own."""

    currency: str
    day: date
    rate: Decimal
    origin: str
    days: int


@dataclass(frozen=True, slots=True)
class MissingRate:
    """A currency of conversions that are in no report, since no rate was known on their day."""

    currency: str
    conversions: int
    since: datetime


def latest_rates(session: Session) -> list[LatestRate]:
    """Each currency's last rate, by its code."""
    last = (
        select(ExchangeRate.currency, func.max(ExchangeRate.day).label("day"), func.count().label("days"))
        .group_by(ExchangeRate.currency)
        .subquery()
    )
    rows = session.execute(
        select(ExchangeRate, last.c.days)
        .join(last, and_(last.c.currency == ExchangeRate.currency, last.c.day == ExchangeRate.day))
        .order_by(ExchangeRate.currency)
    )
    return [LatestRate(row.currency, row.day, row.rate, row.origin, count) for row, count in rows]


def rates_of(session: Session, *, currency: str) -> list[ExchangeRate]:
    """A currency's rates, the newest first, at most MOST_DAYS."""
    query = select(ExchangeRate).where(ExchangeRate.currency == currency)
    return list(session.scalars(query.order_by(ExchangeRate.day.desc()).limit(MOST_DAYS)))


def missing_rates(session: Session) -> list[MissingRate]:
    """Currencies without a rate on the day of some conversion, the most conversions first."""
    count = func.count()
    query = (
        select(Conversion.currency, count, func.min(Conversion.at))
        .where(Conversion.rate.is_(None), Conversion.currency != "")
        .group_by(Conversion.currency)
        .order_by(count.desc(), Conversion.currency)
    )
    return [MissingRate(*row) for row in session.execute(query)]


def put_rate(
    session: Session,
    *,
    currency: str,
    day: date,
    rate: str,
    report_currency: str,
    actor: Actor,
    now: datetime,
) -> int:
    """Say what one unit of a currency is worth from a day on, and count its conversions by it. Returns how many
    conversions changed. Raises SourceRefused (currency, day, rate)."""
    code = check_currency("currency", currency)
    if code == report_currency:
        raise SourceRefused("currency", f"Reports are in {code}: one {code} is one {code}.")
    if not _EARLIEST <= day <= now.date() + timedelta(days=1):
        raise SourceRefused(
            "day", "A rate holds from a day on that is not before 2000 and not still to come."
        )
    worth = _number(rate)
    before = session.get(ExchangeRate, (code, day))
    old = None if before is None else str(before.rate.normalize())
    values = {"rate": worth, "origin": actor.name or str(actor), "created_at": now}
    new = postgresql.insert(ExchangeRate).values(currency=code, day=day, **values)
    session.execute(new.on_conflict_do_update(index_elements=["currency", "day"], set_=values))
    detail = {"currency": code, "day": day.isoformat(), "rate": str(worth), "before": old}
    audit.record(session, actor=actor, action="rate.put", subject=f"rate:{code}", now=now, detail=detail)
    return _counted_anew(session, code, day, report_currency)


def delete_rate(
    session: Session, *, currency: str, day: date, report_currency: str, actor: Actor, now: datetime
) -> int:
    """Take a rate away: the one before holds on. Returns how many conversions changed. Raises RateNotFound."""
    gone = session.scalars(
        delete(ExchangeRate)
        .where(ExchangeRate.currency == currency, ExchangeRate.day == day)
        .returning(ExchangeRate.rate)
    ).one_or_none()
    if gone is None:
        session.rollback()
        raise RateNotFound(f"There is no rate of {currency} from {day} on.")
    detail = {"currency": currency, "day": day.isoformat(), "rate": str(gone.normalize())}
    audit.record(
        session, actor=actor, action="rate.delete", subject=f"rate:{currency}", now=now, detail=detail
    )
    return _counted_anew(session, currency, day, report_currency)


def _counted_anew(session: Session, currency: str, day: date, report_currency: str) -> int:
    session.flush()
    changed = fill_rates(session.connection(), currency, day, report_currency=report_currency)
    session.commit()
    session.expire_all()
    return changed


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation as error:
        raise SourceRefused("rate", "Type a number, such as 0.1845.") from error
    if not number.is_finite() or not 0 < number < _LARGEST:
        raise SourceRefused("rate", "Type a number above 0, such as 0.1845.")
    if -int(number.as_tuple().exponent) > _DECIMALS:
        raise SourceRefused("rate", f"At most {_DECIMALS} decimals.")
    return number
