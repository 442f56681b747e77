"""Exchange rates: what a unit of a currency is worth in the reporting one, by day (UTC)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal

from sqlalchemy import Connection

from core.db.arrays import dates, texts
from core.db.queries import query
from core.domain.rate_feeds import Rate

TOO_MUCH = Decimal(10) ** 14
"""What no amount's column can hold: an amount that a rate would make as large is not counted in that currency."""


def rate_of(connection: Connection, currency: str, day: date, *, report_currency: str) -> Decimal | None:
    """The rate of a currency on a day: that of the last day not after it. 1 for the reporting currency itself, None
    where none is known."""
    return rates_of(connection, [(currency, day)], report_currency=report_currency).get((currency, day))


def rates_of(
    connection: Connection, wanted: Iterable[tuple[str, date]], *, report_currency: str
) -> dict[tuple[str, date], Decimal]:
    """The rates of many currencies and days, as `rate_of`; those that are not known are left out."""
    pairs = set(wanted)
    found = {pair: Decimal(1) for pair in pairs if pair[0] == report_currency}
    others = sorted(pairs - found.keys())
    if others:
        currencies, days = zip(*others, strict=True)
        values = {"currencies": texts(currencies), "days": dates([day.toordinal() for day in days])}
        rows = connection.execute(query("find_rates"), values)
        found |= {(row.currency, row.day): row.rate for row in rows}
    return found


def store_rates(connection: Connection, rates: Sequence[Rate], *, origin: str) -> int:
    """Store rates; those of the same currency and day that have another origin stay. Returns how many are new or
    others than before."""
    by_day = {(rate.currency, rate.day): rate.rate for rate in rates}
    if not by_day:
        return 0
    currencies, days = zip(*by_day, strict=True)
    values = {
        "currencies": texts(currencies),
        "days": dates([day.toordinal() for day in days]),
        "rates": texts([str(rate) for rate in by_day.values()]),
        "origin": origin,
    }
    return connection.execute(query("store_rates"), values).rowcount


def fill_rates(connection: Connection, currency: str, from_day: date, *, report_currency: str) -> int:
    """Count the conversions of a currency ("" for all) again that happened on `from_day` or later, by the rates of now;
    to be called after a rate was added, changed or removed. Returns how many changed."""
    values = {
        "currency": currency,
        "since": datetime.combine(from_day, time(), UTC),
        "report_currency": report_currency,
        "too_much": TOO_MUCH,
    }
    return connection.execute(query("fill_rates"), values).rowcount
