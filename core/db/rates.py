"""Exchange rates: what a unit of a currency is worth in the reporting one, by day."""

from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, select

from core.db.conversions import ExchangeRate


def rate_of(connection: Connection, currency: str, day: date, *, report_currency: str) -> Decimal | None:
    """The rate of a currency on a day: that of the last day not after it. 1 for the reporting currency itself, None
    where none is known."""
    if currency == report_currency:
        return Decimal(1)
    known = (
        select(ExchangeRate.rate)
        .where(ExchangeRate.currency == currency, ExchangeRate.day <= day)
        .order_by(ExchangeRate.day.desc())
        .limit(1)
    )
    return connection.scalar(known)


def fill_rates(connection: Connection, currency: str, from_day: date) -> int:
    """Count the conversions of a currency again that happened on `from_day` or later, by the rates of now; to be called
    after a rate was added, changed or removed. Returns how many changed."""
    raise NotImplementedError
