"""Feeds of exchange rates: the European Central Bank's XML, and plain CSV. Pure.

A feed is taken whole or not at all: one line that makes no sense casts doubt on all of them.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from core.domain.currencies import DECIMALS

_EARLIEST = date(1999, 1, 1)
_LARGEST = Decimal(10) ** 9
_KEPT = Decimal("0.000000000001")
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,15})?", re.ASCII)
_DAYS = re.compile(r"<Cube\s+time=(['\"])(?P<day>[^'\"]*)\1\s*>(?P<rates>.*?)</Cube>", re.DOTALL)
_RATE = re.compile(r"<Cube\s+currency=(['\"])(?P<currency>[^'\"]*)\1\s+rate=(['\"])(?P<rate>[^'\"]*)\3\s*/>")


class BadFeed(ValueError):
    """The feed can not be read, or says what can not be; the text says what."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of a currency is worth in the reporting one, from a day on."""

    currency: str
    day: date
    rate: Decimal


def parse_feed(data: bytes, *, report_currency: str, today: date) -> list[Rate]:
    """The rates in a feed. XML is the European Central Bank's: units of each currency for one euro, day by day. CSV has
    lines of `currency,day,rate`, the rate in the reporting currency for one unit, and may begin with these names.
    Currencies that we do not know are left out. Raises BadFeed."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFeed("it is no UTF-8") from error
    rates = _of_bank(text, report_currency) if text.lstrip().startswith("<") else _of_csv(text)
    for rate in rates:
        if not _EARLIEST <= rate.day <= today + timedelta(days=1):
            raise BadFeed(f"it has rates of {rate.day}")
        if not 0 < rate.rate < _LARGEST:
            raise BadFeed(f"the rate of {rate.currency} is {rate.rate}")
    if not rates:
        raise BadFeed("it has no rates")
    return [rate for rate in rates if rate.currency in DECIMALS and rate.currency != report_currency]


def _of_bank(text: str, report_currency: str) -> list[Rate]:
    if "<!" in text:  # no declarations, so no entities
        raise BadFeed("it is no list of the European Central Bank")
    rates = []
    for found in _DAYS.finditer(text):
        day = _day(found["day"])
        for_a_euro = {"EUR": Decimal(1)}
        for row in _RATE.finditer(found["rates"]):
            for_a_euro[row["currency"]] = _number(row["rate"])
        if report_currency not in for_a_euro:
            raise BadFeed(f"it has no rate of {report_currency}, the reporting currency")
        ours = for_a_euro[report_currency]
        rates += [Rate(code, day, (ours / rate).quantize(_KEPT)) for code, rate in for_a_euro.items()]
    return rates


def _of_csv(text: str) -> list[Rate]:
    rates = []
    for number, line in enumerate(text.splitlines()):
        cells = [cell.strip() for cell in line.split(",")]
        if cells == [""] or (number == 0 and [cell.lower() for cell in cells] == ["currency", "day", "rate"]):
            continue
        if len(cells) != 3:
            raise BadFeed(f"line {number + 1} has {len(cells)} cells, not 3")
        rates.append(Rate(cells[0].upper(), _day(cells[1]), _number(cells[2]).quantize(_KEPT)))
    return rates


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadFeed(f"{text[:40]!r} is no day") from error


def _number(text: str) -> Decimal:
    if _NUMBER.fullmatch(text) is None or not Decimal(text):
        raise BadFeed(f"{text[:40]!r} is no rate")
    return Decimal(text)
